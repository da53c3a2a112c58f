"""Suites: the published suites of a results folder, and its runs that belong to no suite.

RESULTS/SUITE/ holds table.* and cost.* (md, csv, tex), records.jsonl.gz, origins.json and drawings.npz. The records
list the runs of the suite. A run that is kept in RESULTS/runs is read from there, with its provenance; otherwise, as in
a fresh checkout, its published record is read.
"""

import csv
import hashlib
import io
import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, TypeAdapter

from genbench.analysis.labels import plain, unguarded
from genbench.analysis.values import Cost, Failure, Value, all_values, group_by, read_costs, without_contradictions
from genbench.errors import ConfigError, first_line, unknown
from genbench.registry import models
from genbench.results.frames import names_of
from genbench.runs.make_spec import restore_spec
from genbench.runs.record import Record, read_kept, read_published, read_record
from genbench.runs.store import Store
from genbench.runs.versions import without_outdated
from genbench.storage import files
from genbench.storage.files import Damaged
from genbench.storage.memory import paused_collection
from genbench.validation import explain

log = logging.getLogger("genbench")

T = TypeVar("T")

RECORDS, TABLE, COST = "records.jsonl.gz", "table.csv", "cost.csv"
ORIGINS, DRAWINGS = "origins.json", "drawings.npz"
FLAT = {RECORDS: "-records.jsonl.gz", TABLE: ".csv", COST: "-cost.csv"}
FLAT |= {ORIGINS: "-origins.json", DRAWINGS: "-drawings.npz"}
"""Files of a suite, and the suffix that earlier versions gave them: RESULTS/SUITE-records.jsonl.gz."""
OTHER_RUNS = "other-runs"
"""Name under which the runs of no suite are reported."""
MAX_FAILED = 100_000
"""Failed runs of one model above which a published table is not believed."""


@dataclass(frozen=True)
class Run:
    """A run.

    Args:
        model: label of its model in tables.
        folder: folder of its evaluation; None if only its record was published.
    """

    record: Record
    model: str
    folder: Path | None

    @property
    def data(self) -> str:
        """The label of its data set in tables."""
        return self.record["labels"]["data"]

    @property
    def seed(self) -> int:
        """Its seed."""
        return self.record["spec"]["seed"]

    @property
    def stated(self) -> str:
        """The setting that decides most about its method, as kappa=1.0; empty if its label names it, or without one."""
        model = self.record["spec"]["model"]
        setting = models[model["name"]].traits.get("stated") if model["name"] in models else None
        hidden = model.get(setting) is not None and f" {setting}=" not in self.model
        return f"{setting}={model[setting]}" if hidden else ""


@dataclass(frozen=True)
class SuiteResults:
    """The results of a suite.

    Args:
        runs: without outdated ones.
    """

    name: str
    runs: tuple[Run, ...]
    failures: tuple[Failure, ...]

    @property
    def records(self) -> list[Record]:
        """The records of its runs."""
        return [run.record for run in self.runs]

    @cached_property
    def values(self) -> list[Value]:
        """All measured values; later ones that contradict earlier ones are reported and left out."""
        return without_contradictions(all_values(self.records))

    @cached_property
    def costs(self) -> list[Cost]:
        """The costs of all runs."""
        return read_costs(self.records)


@paused_collection()
def load_suites(store: Store, only: Collection[str] = ()) -> list[SuiteResults]:
    """Read the suites of a results folder, in the order of their names, then its other runs.

    Args:
        only: names of published suites; all suites and other runs by default.

    Raises:
        ConfigError: if there are no current records, or no published suite of that name.
    """
    kept = dict(_kept(store))
    published = suite_names(store.root)
    for name in only:
        if name not in published:
            raise unknown("no published suite called", name, published)
    suites, failed_cells = [], set()
    for name in only or published:
        runs = [kept.pop(key, (record, None)) for key, record in published_records(store.root, name).items()]
        failed = published_failures(store.root, name)
        failed_cells |= {(failure.model, failure.data) for failure in failed}
        suites.append(_results(name, runs, failed))
    if not only:
        failures = [_failure(failure.spec, failure.reason) for _, failure in store.failures()]
        others = [failure for failure in failures if (failure.model, failure.data) not in failed_cells]
        suites.append(_results(OTHER_RUNS, list(kept.values()), others))
    suites = [suite for suite in suites if suite.runs or suite.failures]
    if not suites:
        raise ConfigError(f"{store.root} holds no current records; create some with genbench run or genbench sweep")
    return suites


def load_records(path: Path, results: Path = Path("results")) -> list[Record]:
    """Read the records of a results folder, a run, a record file, a published suite or its records.jsonl.gz.

    A results folder without runs, such as a committed one, is read from its published suites.

    Args:
        path: what to read; may be the name of a run in the results folder.

    Raises:
        ConfigError: if there are no records.
    """
    if not path.exists():
        run = results / "runs" / path
        if not run.exists():
            hint = "" if path == results else "; to compare two models, add --dataset NAME"
            raise ConfigError(f"{path} is not a folder or run with records{hint}")
        path = run
    if path.name.endswith(".jsonl.gz"):
        return read_published(path)
    if path.is_file():
        return [read_record(path)]
    kept = Store(path).records() or [read_record(p) for p in sorted(path.glob("**/record.json"))]
    if not kept:
        published = [*path.glob(RECORDS), *(suite_file(path, suite, RECORDS) for suite in suite_names(path))]
        kept = [record for file in published for record in read_published(file)]
    if not kept:
        raise ConfigError(f"{path} holds no records")
    return kept


def suite_names(root: Path) -> list[str]:
    """Return the names of the suites that are published in a results folder."""
    flat = (path.name.removesuffix(FLAT[RECORDS]) for path in root.glob(f"*{FLAT[RECORDS]}"))
    return sorted({*flat, *(path.parent.name for path in root.glob(f"*/{RECORDS}"))})


def suite_file(root: Path, suite: str, name: str) -> Path:
    """Return the path of a file of a suite: RESULTS/SUITE/NAME, or where an earlier version wrote it."""
    path, flat = root / suite / name, root / f"{suite}{FLAT[name]}"
    return flat if flat.exists() and not path.exists() else path


def digest(*parts: Any) -> str:
    """Return a short hash of plain JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def evaluation_of(record: Record) -> tuple[str, str]:
    """Return what identifies an evaluation of a run."""
    return record["labels"]["run"], digest(record["spec"]["sample"], record["spec"]["evaluation"])


def _kept(store: Store) -> Iterator[tuple[tuple[str, str], tuple[Record, Path]]]:
    for path in store.record_paths():
        try:
            record = read_kept(path)
        except Damaged as error:
            log.warning("%s; it is left out", error)
            continue
        yield evaluation_of(record), (record, path.parent)


DamageHandler = Callable[[Path, str], None]
"""What to do with a damaged file, given its path and what is wrong with it."""


def leave_out(path: Path, reason: str) -> None:
    """Report a damaged file of a suite, without which its records are read."""
    log.warning("%s is left out: %s", files.shown(path), reason)


def published_records(root: Path, suite: str, damaged: DamageHandler = leave_out) -> dict[tuple[str, str], Record]:
    """Read the records of a suite, with the provenance that its tables and its origins state.

    Args:
        damaged: called for each damaged file of costs, values or origins, which is read as if it were not there.

    Raises:
        Damaged: if the file of the records is damaged.
    """
    records = read_published(suite_file(root, suite, RECORDS))
    costs = group_by(_rows(suite_file(root, suite, COST), _cost, damaged), lambda cost: cost.run)
    originals = _rows(suite_file(root, suite, TABLE), lambda row: (row["data"], row["original"]), damaged)
    not_original = {data for data, original in originals if original == "False"}
    origins = _origins(suite_file(root, suite, ORIGINS), damaged)
    runs = {}
    for record in records:
        run, original = record["labels"]["run"], plain(record["labels"]["data"]) not in not_original
        costs_of_run = costs.get(run, [None])  # one for each evaluation of the run, in the order of the records
        cost = costs_of_run.pop(0) if len(costs_of_run) > 1 else costs_of_run[0]
        runs[evaluation_of(record)] = {**record, "provenance": _provenance(cost, original) | origins.get(run, {})}
    return runs


def published_failures(root: Path, suite: str, damaged: DamageHandler = leave_out) -> list[Failure]:
    """Read the failed runs of a suite from its table, which states their number and reason for each model, no seeds."""

    def failed(row: Mapping[str, str]) -> list[Failure]:
        count = int(row["failed_runs"] or 0)
        if count > MAX_FAILED:
            raise ValueError(f"{count:,} failed runs")
        return [Failure(row["model"], row["data"], number, row["reason"]) for number in range(count)]

    return [failure for failures in _rows(suite_file(root, suite, TABLE), failed, damaged) for failure in failures]


def _origins(path: Path, damaged: DamageHandler) -> dict[str, dict[str, Any]]:
    """Read the code, data and machine of each run; without the file, or with a damaged one, there are none."""
    if not path.exists():
        return {}
    try:
        origins = _ORIGINS.validate_json(files.read(path))
    except (OSError, ValueError) as error:  # Damaged included
        damaged(path, explain(error))
        return {}
    return {run: {"code": o.code, "data": o.data, "machine": o.machine} for o in origins for run in o.runs}


class _Origin(BaseModel):
    code: dict[str, Any]
    data: dict[str, Any]
    machine: dict[str, Any]
    runs: list[str]


_ORIGINS = TypeAdapter(list[_Origin])


class _Cost(NamedTuple):
    run: str
    device: str
    numbers: dict[str, float]


def _cost(row: Mapping[str, str]) -> _Cost:
    other = ("run", "model", "data", "seed", "original", "peak_mib", "device")
    known = {name: value for name, value in row.items() if name not in other and value}
    numbers = {name: int(value) if value.isdecimal() else float(value) for name, value in known.items()}
    for name in ("train_seconds", "train_peak_mib", "evaluate_peak_mib"):
        if name not in numbers:
            raise ValueError(f"a run has no {name}")
    return _Cost(row["run"], row["device"], numbers)


def _provenance(cost: _Cost | None, original: bool) -> dict[str, Any]:
    known: dict[str, Any] = {"code": {}, "data": {"original": original}, "machine": {}, "cost": {}}
    return known if cost is None else known | {"cost": cost.numbers, "machine": {"device": cost.device}}


def _failure(spec: Mapping[str, Any], reason: str) -> Failure:
    try:
        known = restore_spec(spec)
        model, data = known.model_label, known.data_label
    except ConfigError:  # of another version, of a plug-in that is not installed, or damaged
        model, data = (_name(spec.get(part)) for part in ("model", "data"))
    seed = spec.get("seed")
    return Failure(model, data, seed if isinstance(seed, int) else 0, reason.splitlines()[-1] if reason else "-")


def _name(part: Any) -> str:
    name = part.get("name") if isinstance(part, Mapping) else None
    return name if isinstance(name, str) else "unknown"


def _rows(path: Path, parse: Callable[[dict[str, str]], T], damaged: DamageHandler) -> list[T]:
    """Read a published table, row by row; a damaged one has none."""
    if not path.exists():
        return []
    try:
        head, *rows = csv.reader(io.StringIO(files.read(path).decode(), newline=""), strict=True)
        if not rows:
            raise ValueError("it has no rows")
        return [parse({name: unguarded(cell) for name, cell in zip(head, row, strict=True)}) for row in rows if row]
    except KeyError as error:
        reason = f"it has no column {error}"
    except (OSError, ValueError, csv.Error) as error:
        reason = first_line(error)
    damaged(path, reason)
    return []


def _results(name: str, runs: Sequence[tuple[Record, Path | None]], failures: Sequence[Failure]) -> SuiteResults:
    folders = {evaluation_of(record): folder for record, folder in runs}
    current = without_outdated((record for record, _ in runs), lambda record: folders[evaluation_of(record)] is None)
    named = zip(current, names_of(current), strict=True)
    members = tuple(Run(record, model, folders[evaluation_of(record)]) for record, model in named)
    return SuiteResults(name, members, tuple(failures))
