"""Reader: the records of a results folder, saved and published, by the suites that list them.

RESULTS/SUITE/records.jsonl.gz lists the runs of a published suite, with their records and those of its failures; every
other file there is a view of it and is never read. A run that is saved in RESULTS/runs is read from there, in each
suite that lists it; otherwise, as in a fresh checkout, its published record is read.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench.errors import ConfigError, unknown
from genbench.registry import models
from genbench.results.frames import names_of
from genbench.runs.record import identity, read_published, read_record
from genbench.runs.record_types import Record
from genbench.runs.store import Store
from genbench.runs.versions import current, installed_version, log_left_out
from genbench.storage.memory import paused_collection

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
        known = installed_version(models, model["name"]) is not None
        setting = models[model["name"]].traits.get("stated", "") if known else ""
        hidden = model.get(setting) is not None and f" {setting}=" not in self.model
        return f"{setting}={model[setting]}" if hidden else ""


@dataclass(frozen=True)
class Group:
    """The runs of a suite, or of no suite.

    Args:
        runs: without outdated ones.
        failures: records of runs that failed.
    """

    name: str
    runs: tuple[Run, ...]
    failures: tuple[Record, ...]


@paused_collection()
def read_groups(store: Store, only: Collection[str] = ()) -> list[Group]:
    """Read the published suites of a results folder, in the order of their names, then its other runs.

    Args:
        only: names of published suites; all suites and other runs by default.

    Raises:
        ConfigError: if there are no current records, or no published suite of that name.
        Damaged: if the file of a published suite is damaged.
    """
    saved = {identity(record): (record, path.parent) for path, record in store.saved()}
    failed = {identity(record): record for _, record in store.failures()}
    published = suite_names(store.root)
    for name in only:
        if name not in published:
            raise unknown("no published suite called", name, published)
    groups: list[Group] = []
    left_out: list[str] = []
    listed = set()
    for name in only or published:
        records = read_published(store.root / name / RECORDS)
        named = dict.fromkeys(map(identity, records))
        of_suite = {identity(record): (record, None) for record in records if "failure" not in record}
        standing = {identity(record): record for record in records if "failure" in record}
        standing = {key: record for key, record in standing.items() if key not in saved} | failed
        runs = [saved.get(key) or of_suite[key] for key in named if key in saved or key in of_suite]
        groups.append(_group(name, runs, [standing[key] for key in named if key in standing], left_out))
        listed |= named.keys()
    if not only:
        others = [run for key, run in saved.items() if key not in listed]
        failures = [record for key, record in failed.items() if key not in listed]
        groups.append(_group(OTHER_RUNS, others, failures, left_out))
    log_left_out(left_out)
    groups = [group for group in groups if group.runs or group.failures]
    if not groups:
        raise ConfigError(f"{store.root} holds no current records; create some with genbench run or genbench sweep")
    return groups


def _group(
    name: str, found: Sequence[tuple[Record, Path | None]], failures: Sequence[Record], left_out: list[str]
) -> Group:
    """Return a group of what is not outdated, and add to `left_out` what is."""
    kept: list[tuple[Record, Path | None]] = []
    for record, folder in found:
        rest, texts = current(record, published=folder is None)
        left_out += texts
        kept += [(rest, folder)] if rest is not None else []
    names = names_of([record for record, _ in kept])
    runs = (Run(record, model, folder) for (record, folder), model in zip(kept, names, strict=True))
    return Group(name, tuple(runs), tuple(failures))


def suite_names(root: Path) -> list[str]:
    """Return the names of the suites that are published in a results folder."""
    return sorted(path.parent.name for path in root.glob(f"*/{RECORDS}"))


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
    if path.is_file() and not path.name.endswith(".jsonl.gz"):
        return [read_record(path)]
    found = list(_records_at(path))
    if not found:
        raise ConfigError(f"{path} holds no records")
    return found


def _records_at(path: Path) -> Iterator[Record]:
    """Read records once each; saved ones first."""
    if path.is_file():
        files = [path]
    else:
        kept = Store(path).records() or [read_record(place) for place in sorted(path.glob("**/record.json"))]
        yield from kept
        files = [] if kept else [*path.glob(RECORDS), *(path / name / RECORDS for name in suite_names(path))]
    yield from (record for file in files for record in read_published(file) if "failure" not in record)
