"""Entries of a leaderboard from submissions: which of their records it takes, and what it says of them."""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from genbench.analysis.suite_results import SuiteResults
from genbench.results.reader import Run
from genbench.runs.record import read_record
from genbench.runs.record_types import Record
from genbench.runs.store import Store
from genbench.runs.versions import without_outdated
from genbench.storage import cache, content_hash, files
from genbench.storage.files import Damaged
from genbench.submissions import SUFFIX
from genbench.submissions.archive import unpack
from genbench.submissions.verdicts import Verdict, judge

log = logging.getLogger("genbench")


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    """Unpack a submission into a temporary folder, and yield it as a results folder."""
    with TemporaryDirectory(prefix="genbench-") as folder:
        unpack(path, Path(folder))
        yield Store(Path(folder))


def remember(path: Path, verdicts: Sequence[Verdict]) -> None:
    """Keep the states of a submission's records on this machine, by the hash of the file."""
    states = {verdict.name: verdict.state for verdict in verdicts}
    entry = _remembered(path)
    files.write_sealed(entry, json.dumps(states | _known(path, better_than=states)), entry.name)


def entries_of(path: Path, own: Iterable[Record] = ()) -> tuple[SuiteResults, list[str]]:
    """Return the records of a submission that a leaderboard takes, and what is to be said of them.

    Its methods are called NAME:METHOD, after the file, and NAME?:METHOD unless all their records were confirmed on this
    machine. Records that contradict themselves, whose values were not confirmed, or which are among one's own, are left
    out.

    Args:
        own: the records it is ranked beside.

    Raises:
        ConfigError: if the file is not a submission, or was changed after it was written.
    """
    name = path.name.removesuffix(SUFFIX).removesuffix(".zip")
    known = _known(path)
    with opened(path) as store:
        verdicts = list(judge(store, sample=0))
        state = {verdict.name: known.get(verdict.name, verdict.state) for verdict in verdicts}
        taken = [v for v in verdicts if v.state != "refused" and state[v.name] != "not confirmed"]
        known_already = {(record["labels"]["run"], json.dumps(record["results"])) for record in own}
        read = {v.name: read_record(store.runs / v.name / "record.json") for v in taken}
    records = without_outdated(read.values())
    unconfirmed = {r["labels"]["model"] for verdict, r in read.items() if state[verdict] != "confirmed"}
    new = [r for r in records if (r["labels"]["run"], json.dumps(r["results"])) not in known_already]
    renamed = [_renamed(record, name, record["labels"]["model"] in unconfirmed) for record in new]
    runs = tuple(Run(record, record["labels"]["model"], None) for record in renamed)
    confirmed = sum(state[v.name] == "confirmed" for v in taken)
    notes = [f"{name}: {len(taken)} of {len(verdicts)} submitted records, {confirmed} confirmed here."]
    if len(new) < len(records):
        notes.append(f"  {len(records) - len(new)} are the same as your own, and are not shown twice.")
    if confirmed < len(taken):
        known = f"{confirmed} of {len(taken)} records verified" if confirmed else "sealed, not verified"
        notes.append(f"  {name}?: {known}: genbench verify {path.name} --sample {len(taken)}")
    if left := [v for v in verdicts if v not in taken]:
        notes.append(f"  {len(left)} left out, such as {left[0].name}: {left[0].reason or 'not confirmed'}.")
    labels = dict.fromkeys(label for v in taken for label in v.labels)
    notes += [f"  {label}" for label in labels]
    return SuiteResults(name, runs, ()), notes


def _renamed(record: Record, name: str, unconfirmed: bool) -> Record:
    labels = record["labels"]
    model = f"{name}{'?' if unconfirmed else ''}:{labels['model']}"
    return {**record, "labels": {**labels, "run": f"{name}/{labels['run']}", "model": model}}


def _remembered(path: Path) -> Path:
    return cache.home() / "verified" / f"{content_hash.sha256(path)}.json"


def _known(path: Path, better_than: dict[str, str] | None = None) -> dict[str, str]:
    """Return what is remembered of a submission; with states given, only where those say less."""
    try:
        known = json.loads(files.read_sealed(_remembered(path), _remembered(path).name))
    except (OSError, Damaged):
        return {}
    if better_than is None:
        return known
    return {name: state for name, state in known.items() if better_than.get(name) == "not replayed"}
