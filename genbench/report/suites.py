"""Chapters: what a report is of. Each published suite of a results folder is one, and what belongs to none is the last.

A suite is known by RESULTS/SUITE/records.jsonl.gz, which lists its runs. A run that is kept in RESULTS/runs is read
from there, with its provenance; otherwise, as in a fresh checkout, its published record is read.
"""

import csv
import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from genbench.errors import ConfigError, unknown
from genbench.results.frames import costs, frame, names_of
from genbench.runs.record import Record, read_published, read_record
from genbench.runs.spec import restore
from genbench.runs.store import Store
from genbench.runs.versions import without_stale
from genbench.storage.files import Damaged

log = logging.getLogger("genbench")

RECORDS, TABLE, COST, ORIGINS = "records.jsonl.gz", "table.csv", "cost.csv", "origins.json"
FLAT = {RECORDS: "-records.jsonl.gz", TABLE: ".csv", COST: "-cost.csv", ORIGINS: "-origins.json"}
FLAT |= {"drawings.npz": "-drawings.npz"}
"""Files of a suite, and the ending of RESULTS/SUITE* that earlier versions gave them."""
OTHERS = "runs"
"""What the chapter of runs that no published suite has is called."""


@dataclass(frozen=True)
class Kept:
    """A record, and the folder that holds its evaluation; None where the record alone was published."""

    record: Record
    name: str
    folder: Path | None

    @property
    def data(self) -> str:
        """The data set, as tables call it."""
        return self.record["labels"]["data"]

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.record["spec"]["seed"]


@dataclass(frozen=True)
class Chapter:
    """The runs of one suite, each with what tables call its model, and its failures.

    Args:
        name: of the suite.
        runs: current records; stale ones are left out.
        failures: as for `genbench.report.tables.comparisons`; None where nothing failed.
    """

    name: str
    runs: tuple[Kept, ...]
    failures: pd.DataFrame | None

    @property
    def records(self) -> list[Record]:
        """The records alone."""
        return [kept.record for kept in self.runs]

    @cached_property
    def values(self) -> pd.DataFrame:
        """One row a measured value."""
        return frame(self.records)

    @cached_property
    def costs(self) -> pd.DataFrame:
        """One row a run."""
        return costs(self.records)


def chapters(store: Store, only: Collection[str] = ()) -> list[Chapter]:
    """Return the chapters of a results folder, in the order of their names.

    Args:
        store: the folder.
        only: names of published suites to restrict them to.

    Raises:
        ConfigError: if there is nothing to report, or a suite of that name was never published.
    """
    kept = dict(_kept(store))
    suites = published_suites(store.root)
    for name in only:
        if name not in suites:
            raise unknown("no published suite called", name, suites)
    found, told = [], set()
    for name in only or suites:
        published = _published(store.root, name)
        runs = [kept.pop(key, (record, None)) for key, record in published.items()]
        failed = _failures(published_file(store.root, name, TABLE))
        told |= {(row["model"], row["data"]) for row in failed}
        found.append(_chapter(name, runs, failed))
    if not only:
        rows = [_failed(failure.spec, failure.reason) for _, failure in store.failures()]
        left = [row for row in rows if (row["model"], row["data"]) not in told]
        found.append(_chapter(OTHERS, list(kept.values()), left))
    found = [chapter for chapter in found if chapter.runs or chapter.failures is not None]
    if not found:
        raise ConfigError(f"{store.root} holds no current records; genbench run or genbench sweep makes some")
    return found


def published_suites(root: Path) -> list[str]:
    """Return the names of the suites that a results folder has published."""
    flat = (path.name.removesuffix(FLAT[RECORDS]) for path in root.glob(f"*{FLAT[RECORDS]}"))
    return sorted({*flat, *(path.parent.name for path in root.glob(f"*/{RECORDS}"))})


def published_file(root: Path, suite: str, name: str) -> Path:
    """Return the path of a file of a suite: RESULTS/SUITE/NAME, or where an earlier version wrote it."""
    path, flat = root / suite / name, root / f"{suite}{FLAT[name]}"
    return flat if flat.exists() and not path.exists() else path


def digest(*parts: Any) -> str:
    """Return a short hash of plain JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _key(record: Record) -> tuple[str, str]:
    """What tells one evaluation of one run from all others."""
    return record["labels"]["run"], digest(record["spec"]["sample"], record["spec"]["evaluation"])


def _kept(store: Store) -> Iterator[tuple[tuple[str, str], tuple[Record, Path]]]:
    for path in store.record_paths():
        try:
            record = read_record(path)
        except Damaged as error:
            log.warning("%s; it is left out", error)
            continue
        yield _key(record), (record, path.parent)


def _published(root: Path, suite: str) -> dict[tuple[str, str], Record]:
    """Read the records of a suite, with what its cost table and its origins say of their provenance."""
    records = read_published(published_file(root, suite, RECORDS))
    spent: dict[str, list[dict[str, str]]] = {}
    for row in _rows(published_file(root, suite, COST)):
        spent.setdefault(row["run"], []).append(row)
    false = {row["data"] for row in _rows(published_file(root, suite, TABLE)) if row["original"] == "False"}
    made = _made(published_file(root, suite, ORIGINS))
    found = {}
    for record, model in zip(records, names_of(records), strict=True):
        run, original = record["labels"]["run"], record["labels"]["data"] not in false
        rows = spent.get(run, [None])  # one for each evaluation of the run
        own = next((row for row in rows if row and row["model"] == model), rows[-1])
        found[_key(record)] = {**record, "provenance": _provenance(own, original) | made.get(run, {})}
    return found


def _made(path: Path) -> dict[str, dict[str, Any]]:
    """Read what code, data and machine made each run."""
    if not path.exists():
        return {}
    try:
        origins = json.loads(path.read_text(encoding="utf-8"))
        return {
            run: {name: made[name] for name in ("code", "data", "machine")} for made in origins for run in made["runs"]
        }
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} holds no origins: {error}") from error


def _provenance(spent: Mapping[str, str] | None, original: bool) -> dict[str, Any]:
    known: dict[str, Any] = {"code": {}, "data": {"original": original}, "machine": {}, "cost": {}}
    if spent is not None:
        words = ("run", "model", "data", "seed", "original", "peak_mib", "device")
        cost = {name: float(value) for name, value in spent.items() if name not in words and value}
        known |= {"cost": cost, "machine": {"device": spent["device"]}}
    return known


def _failures(path: Path) -> list[dict[str, Any]]:
    """Read the failed runs off the published table: how many a model has, and why."""
    return [
        {"model": row["model"], "data": row["data"], "seed": number, "reason": row["reason"]}
        for row in _rows(path)
        for number in range(int(row["failed_runs"] or 0))
    ]


def _failed(spec: Mapping[str, Any], reason: str) -> dict[str, Any]:
    try:
        known = restore(spec)
        model, data = known.model_label, known.data_label
    except ConfigError:  # of another version, or of a plug-in that is not here
        model, data = spec["model"]["name"], spec["data"]["name"]
    return {"model": model, "data": data, "seed": spec["seed"], "reason": reason.splitlines()[-1] if reason else "-"}


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _chapter(name: str, runs: Sequence[tuple[Record, Path | None]], failed: Sequence[Mapping[str, Any]]) -> Chapter:
    folders = {_key(record): folder for record, folder in runs}
    current = without_stale(record for record, _ in runs)
    named = zip(current, names_of(current), strict=True)
    members = tuple(Kept(record, model, folders[_key(record)]) for record, model in named)
    return Chapter(name, members, pd.DataFrame(failed) if failed else None)
