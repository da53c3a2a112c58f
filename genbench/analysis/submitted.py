"""Submissions on a leaderboard: only what was confirmed on this machine counts."""

import json
import logging
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from genbench.errors import ConfigError, unknown
from genbench.metrics.bounds import impossible
from genbench.results.archive import opened, remembered
from genbench.results.names import named
from genbench.results.reader import RECORDS, suite_names
from genbench.runs.record import find_run, identity, read_kept, read_published
from genbench.runs.record_types import Record
from genbench.runs.store import Store, evaluation_name
from genbench.runs.versions import without_outdated
from genbench.storage.files import Damaged

log = logging.getLogger("genbench")

SUFFIX = ".genbench.zip"


class Submitted(NamedTuple):
    """A method of a submission on a data set: how many of the submitted seeds were confirmed on this machine."""

    model: str
    data: str
    confirmed: int
    seeds: int

    def __str__(self) -> str:
        return f"{self.confirmed} of {self.seeds} seeds confirmed"


def record_paths(store: Store, name: str) -> list[Path]:
    """Return the paths of the records of a suite that was swept, of a run or of an evaluation.

    Args:
        name: the name of the suite, its TOML file, or what `find_run` accepts.

    Raises:
        ConfigError: if there is no such run or suite, with a suggestion, or if a run has no record yet.
    """
    paths, suites = store.record_paths(), suite_names(store.root)
    is_suite = name.endswith(".toml")
    name = Path(name).stem if is_suite else name
    if name not in suites:
        found = None if is_suite else find_run(store.root, name)
        if own := [path for path in paths if found in path.parents]:
            return own
        stopped = found or store.runs / Path(name).name
        if stopped in store.runs.glob("*/"):
            raise ConfigError(f"{stopped.name} is not measured yet: repeat its run or sweep, or leave it out")
        raise unknown(f"{store.root} has no run or suite", name, [*suites, *{path.parts[-3] for path in paths}])
    listed = {identity(record) for record in read_published(store.root / name / RECORDS) if "failure" not in record}
    own = [path for path in paths if path.parts[-3:-1] in listed]
    if not own:
        raise ConfigError(f"{store.root} has published records of the suite {name}, but not its runs")
    return own


def read_submission(path: Path, own: Collection[Record]) -> tuple[list[Record], list[Submitted]]:
    """Return the records of a submission's confirmed seeds, and the number of confirmed seeds per method.

    A seed is confirmed if this machine confirmed all of its records, also at other budgets and numbers of samples.
    The methods are called NAME:METHOD, after the file. Records that `own` also contains are left out.

    Args:
        own: records of the track and of the results folder.

    Raises:
        ConfigError: if the file is not a submission, or was changed after it was written.
    """
    name, states = submission_name(path), remembered(path)
    known = {(record["labels"]["run"], json.dumps(record["results"])) for record in own}
    repeated, seeds, missing, confirmed = 0, defaultdict(set), defaultdict(set), defaultdict(list)
    read: list[tuple[str, Record]] = []
    with opened(path) as store:
        for place in store.record_paths():
            try:
                record = read_kept(place)
            except Damaged as error:
                log.warning("%s: %s is left out: %s", path.name, evaluation_name(place), error)
                continue
            if why := impossible(record["results"]):
                log.warning("%s: %s is left out: %s", path.name, evaluation_name(place), why)
                continue
            if (record["labels"]["run"], json.dumps(record["results"])) in known:
                repeated += bool(record["results"])
                continue
            if record["results"]:
                read.append((evaluation_name(place), record))
    for (evaluation, _), record in zip(read, named([record for _, record in read], own), strict=True):
        method, seed = (f"{name}:{record['labels']['model']}", record["labels"]["data"]), record["spec"]["seed"]
        seeds[method].add(seed)
        current = without_outdated([record]) if states.get(evaluation) == "confirmed" else []
        confirmed[method, seed] += current
        if not current:
            missing[method].add(seed)
    if repeated:
        log.warning("%s: %s of its records are also here, and count once", path.name, repeated)
    rows = [Submitted(model, data, len(own - missing[model, data]), len(own)) for (model, data), own in seeds.items()]
    whole = (own for (method, seed), own in confirmed.items() if seed not in missing[method])
    return [_renamed(record, name) for own in whole for record in own], rows


def submission_name(path: Path) -> str:
    """Return the name by which the methods of a submission are known."""
    return path.name.removesuffix(SUFFIX).removesuffix(".zip")


def _renamed(record: Record, name: str) -> Record:
    labels = record["labels"]
    return {**record, "labels": {**labels, "run": f"{name}/{labels['run']}", "model": f"{name}:{labels['model']}"}}
