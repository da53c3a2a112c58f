"""Reader: the records of a results folder, saved and published, by the suites that list them.

RESULTS/SUITE/records.jsonl.gz holds the records of a published suite, failures included; the other files in that folder
are made from it and never read. If RESULTS/runs also holds a run, its saved record is read, plus the metrics that only
the published record has. Otherwise, as in a fresh checkout, the published record is read.
"""

import logging
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from genbench.errors import ConfigError, unknown
from genbench.metrics.bounds import impossible
from genbench.registry import models
from genbench.results.frames import names_of
from genbench.results.names import named
from genbench.runs.record import find_run, identity, merge_records, read_published, read_record
from genbench.runs.record_types import Record
from genbench.runs.store import Store, report_damage
from genbench.runs.versions import LeftOut, current, installed_version, log_left_out, outdated_metrics
from genbench.storage.files import Damaged
from genbench.storage.memory import paused_collection

log = logging.getLogger("genbench")

RECORDS = "records.jsonl.gz"
"""The file of a published suite."""

OTHER_RUNS = "other-runs"
"""Name under which the runs of no suite are reported."""


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
        """The label of the data set in tables."""
        return self.record["labels"]["data"]

    @property
    def seed(self) -> int:
        return self.record["spec"]["seed"]

    @property
    def stated(self) -> str:
        """The most important setting of the method, such as kappa=1.0; empty if the label has it, or without one."""
        model = self.record["spec"]["model"]
        known = installed_version(models, model["name"]) is not None
        setting = models[model["name"]].traits.get("stated", "") if known else ""
        chosen = self.record["provenance"]["training"].get("cost", {}).get(setting)
        if chosen is not None:  # a rule chose it on the training data
            return f"{setting}={chosen:.4g}"
        hidden = model.get(setting) is not None and f" {setting}=" not in self.model
        return f"{setting}={model[setting]}" if hidden else ""


@dataclass(frozen=True)
class Group:
    """The runs of a suite, or of no suite.

    Args:
        runs: the runs that are not outdated.
        failures: records of failed runs that have no other record.
    """

    name: str
    runs: tuple[Run, ...]
    failures: tuple[Record, ...]


@dataclass
class _Found:
    """What a results folder holds of an evaluation of a run."""

    saved: Record | None = None
    folder: Path | None = None
    published: Record | None = None
    failure: Record | None = None

    def standing(self) -> tuple[Record | None, list[LeftOut]]:
        """Return the current record, with its places in a track, and what is left out as outdated."""
        record, parts = standing(self.saved, self.published)
        places = (self.published or {}).get("track")
        return record if record is None or places is None else {**record, "track": places}, parts


def standing(saved: Record | None, published: Record | None) -> tuple[Record | None, list[LeftOut]]:
    """Join the saved and the published record of an evaluation, without outdated values.

    Returns:
        The current record, or None; and what is left out as outdated.
    """
    own, parts = (None, []) if saved is None else current(saved)
    other, others = (None, []) if published is None else current(published, published=True)
    return join(own, other), list(dict.fromkeys([*parts, *others]))


def join(record: Record | None, other: Record | None) -> Record | None:
    """Add to a record the metrics that it lacks, or lacks in the installed version, from another of its evaluation.

    Metrics that were measured on other data are left out and reported.
    """
    if record is None or other is None:
        return record or other
    own, theirs = (each["spec"]["metrics"].keys() for each in (record, other))
    more = theirs - own | (outdated_metrics(record).keys() & theirs - outdated_metrics(other).keys())
    data, others = dict(record["provenance"]["data"]), other["provenance"]["data"]
    if more and any(data.get(name, value) != value for name, value in others.items() if name in ("sha256", "original")):
        log.warning("%s: %s left out, measured on other data", record["labels"]["run"], ", ".join(sorted(more)))
        return record
    return merge_records(record, other, sorted(more)) if more else record


@paused_collection()
def read_groups(store: Store, only: Collection[str] = ()) -> list[Group]:
    """Read the published suites of a results folder, in the order of their names, then its other runs.

    A saved record is extended by the metrics that only its published record has. A failure counts only without a
    record. Damaged files are reported and left out.

    Args:
        only: names of published suites; all suites and other runs by default.

    Raises:
        ConfigError: if there are no current records, or no published suite of that name.
    """
    left_out: list[LeftOut] = []
    groups = [(name, *_standing(found, left_out)) for name, found in _read(store, only)]
    log_left_out(left_out)
    groups = [group for group in groups if group[1] or group[2]]
    if not groups and not only:
        raise ConfigError(f"{store.root} holds no current records; create some with genbench run or genbench sweep")
    shown = iter(named([record for _, kept, failures in groups for record in (*(r for r, _ in kept), *failures)]))
    found = []
    for name, kept, failures in groups:
        records, failed = [next(shown) for _ in kept], tuple(next(shown) for _ in failures)
        folders = (folder for _, folder in kept)
        runs = tuple(map(Run, records, names_of([*records, *failed]), folders))
        found.append(Group(name, runs, failed))
    return found


def _read(store: Store, only: Collection[str] = ()) -> Iterator[tuple[str, list[_Found]]]:
    """Yield the published suites, then the other runs, with all that is known of each evaluation."""
    published = suite_names(store.root)
    for name in only:
        if name not in published:
            raise unknown("no published suite called", name, published)
    here = {identity(record): _Found(record, path.parent) for path, record in store.saved()}
    for _, record in store.failures():
        here.setdefault(identity(record), _Found()).failure = record
    listed = set()
    for name in only or published:
        suite: dict[tuple[str, str], _Found] = {}
        for record in _published(store.root / name / RECORDS):
            key = identity(record)
            found = suite.setdefault(key, replace(here.get(key, _Found())))
            if "failure" not in record:
                found.published = join(found.published, record)
            elif found.saved is None:
                found.failure = found.failure or record
        listed |= suite.keys()
        yield name, [*suite.values()]
    if not only:
        yield OTHER_RUNS, [found for key, found in here.items() if key not in listed]


def _published(path: Path) -> list[Record]:
    """Read the records of a suite; a damaged file is reported and left out."""
    try:
        return read_published(path)
    except Damaged as error:
        report_damage(path, error)
        return []


def _standing(
    evaluations: Iterable[_Found], left_out: list[LeftOut]
) -> tuple[list[tuple[Record, Path | None]], list[Record]]:
    """Return records that are not outdated, with their folders, and failures; add to `left_out` what is outdated."""
    kept: list[tuple[Record, Path | None]] = []
    failures: list[Record] = []
    for found in evaluations:
        record, parts = found.standing()
        left_out += parts
        if record is not None:
            kept.append((record, found.folder))
        elif found.failure is not None:
            failures.append(found.failure)
    return kept, failures


def suite_names(root: Path) -> list[str]:
    """Return the names of the suites that are published in a results folder."""
    return sorted(path.parent.name for path in root.glob(f"*/{RECORDS}"))


def load_records(path: Path, results: Path = Path("results")) -> list[Record]:
    """Read the records of a results folder, a run, a record file, a published suite or its records.jsonl.gz.

    A results folder or a suite is read as by `read_groups`, but with outdated records: each evaluation once, with the
    metrics of its saved record and those that only a published record has.

    Args:
        path: what to read; a run of the results folder as to `find_run`.

    Raises:
        ConfigError: if there are no records, or several runs have a name that begins so.
    """
    path = path if path.exists() else _run_called(str(path), results)
    if path.is_file():
        published = path.name.endswith(".jsonl.gz")
        records = read_published(path) if published else [read_record(path)]
        records = [record for record in records if "failure" not in record] if published else records
    elif (path / RECORDS).exists():
        place = Path(os.path.abspath(path))  # a suite that is a link stands beside the runs of its results folder
        records = _joined(Store(place.parent), [place.name])
    else:
        records = _joined(Store(path)) or [read_record(place) for place in sorted(path.glob("**/record.json"))]
    refused = {identity(record): why for record in records if (why := impossible(record["results"]))}
    log_left_out(LeftOut(run, f"with an impossible value: {why}") for (run, _), why in refused.items())
    records = [record for record in records if identity(record) not in refused]
    if not records:
        raise ConfigError(f"{path} holds no records")
    return records


def _run_called(name: str, results: Path) -> Path:
    """Return the folder of a run; a name that means none, or several, may be the name of a model."""
    hint = "to compare two models, add --dataset NAME"
    try:
        found = find_run(results, name)
    except ConfigError as error:
        raise ConfigError(f"{error}; {hint}") from error
    if found is None:
        raise ConfigError(f"{name} is not a folder or run with records; {hint}")
    return found


def _joined(store: Store, only: Collection[str] = ()) -> list[Record]:
    """Return the record of each evaluation once, saved values first."""
    records: dict[tuple[str, str], Record] = {}
    for found in (found for _, suite in _read(store, only) for found in suite):
        record = join(found.saved, found.published)
        if record is not None:
            records[identity(record)] = join(records.get(identity(record)), record) or record
    return [*records.values()]
