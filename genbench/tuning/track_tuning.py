"""Tuning of a track: for each model on each data set, the best of its declared trials, or its defaults."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genbench.errors import ConfigError
from genbench.runs.spec import Spec
from genbench.runs.store import Store
from genbench.settings import merge
from genbench.sweeps.suite import track_rows, with_paths
from genbench.sweeps.suite_file import CHOSEN, Suite, Tuning, folder_of, read
from genbench.tuning.grid_search import GridSearch, grid_search


class Trials(NamedTuple):
    """The trials of a model on a data set.

    Args:
        data: label of the data set in tables.
        row: label of the model with its default settings.
    """

    data: str
    row: str
    search: GridSearch

    @property
    def title(self) -> str:
        """How the trials are named."""
        return f"{self.row} on {self.data}"


class TrackTuning(NamedTuple):
    """The trials of a track, and the file of what they choose."""

    trials: Sequence[Trials]
    path: Path

    def missing(self, store: Store) -> dict[str, Spec]:
        """Return the runs that the store lacks, by label."""
        return {
            f"{each.title}: {label}": spec for each in self.trials for label, spec in each.search.missing(store).items()
        }

    def measured(self, store: Store) -> "TrackTuning":
        """Return the trials with the records of the store."""
        return self._replace(trials=[each._replace(search=each.search.measured(store)) for each in self.trials])

    def chosen(self) -> dict[str, dict[str, Any]]:
        """Return {data set: {model: the settings that replace its defaults}}, empty settings where those are best.

        Raises:
            RunFailed: if a model has no candidate with a value for every seed.
        """
        found: dict[str, dict[str, Any]] = {}
        for each in self.trials:
            (candidate,) = each.search.chosen().values()
            found.setdefault(each.data, {})[each.row] = dict(candidate.settings)
        return found

    def text(self) -> str:
        """Return the content of the file of chosen settings."""
        return json.dumps(self.chosen(), indent=1) + "\n"

    def json(self) -> list[dict[str, Any]]:
        """Return the trials as plain JSON."""
        return [{"model": each.row} | each.search.json() for each in self.trials]


def track_tuning(path: Path) -> TrackTuning:
    """Return the trials of a track: of each model, its defaults and all combinations of the values that it declares.

    Args:
        path: of its suite file.

    Raises:
        ConfigError: if it is not a track, or has nothing to tune.
    """
    suite = with_paths(read(path), folder_of(path))
    if suite.track is None:
        raise ConfigError(f"{path} is not a track: it has no [track]")
    trials = list(_trials(suite, suite.track.tuning))
    if not trials:
        raise ConfigError(f"{path}: no model declares trials")
    return TrackTuning(trials, path.with_suffix(CHOSEN))


def _trials(suite: Suite, tuning: Tuning) -> Iterator[Trials]:
    short = {"plan": {"steps": tuning.steps}, "evaluation": {"curve": [], "curve_metrics": []}}
    for row in track_rows(suite):
        if row.model.trials:
            tables = {name: table for name, table in row.settings["metric"].items() if name == row.metrics[0]}
            search = grid_search(
                [row.model.name],
                row.data.name,
                row.model.trials,
                metric=row.metrics[0],
                seeds=tuning.seeds,
                settings=merge(row.settings, short) | {"metric": tables},
                defaults=True,
            )
            yield Trials(row.dataset, row.label, search)
