"""Tuning of a track: the trials of its rows, and the file of the settings that they chose."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genbench.analysis.track_runs import read_track
from genbench.analysis.tuning.grid_search import GridSearch, grid_search
from genbench.errors import ConfigError, unknown
from genbench.registry import datasets
from genbench.runs.make_spec import full_name
from genbench.runs.spec import Spec
from genbench.runs.store import Store
from genbench.settings import Settings, merge
from genbench.sweeps.suite import TrackRow, choices_of, track_rows
from genbench.sweeps.suite_file import Tuning, folder_of, read
from genbench.sweeps.user_files import from_folder


class Trials(NamedTuple):
    """The trials of a row of a track."""

    row: TrackRow
    search: GridSearch

    @property
    def title(self) -> str:
        """How the trials are named."""
        return f"{self.row.label} on {self.row.dataset}"


class TrackTuning(NamedTuple):
    """The trials of a track.

    Args:
        dropped: choices of earlier tunings that are no longer among the trials, in words.
    """

    trials: Sequence[Trials]
    path: Path
    rows: Sequence[TrackRow]
    dropped: Sequence[str]

    def only(self, methods: Collection[str], dataset: str | None) -> "TrackTuning":
        """Return the trials of some methods on a data set, given by names or labels; none given means all.

        Raises:
            ConfigError: if a name has no trials.
        """
        names = {name for each in self.trials for name in (each.row.label, each.row.model.name)}
        tasks = {name for each in self.trials for name in (each.row.dataset, each.row.data.name)}
        for method in methods:
            if method not in names:
                raise unknown("the track has no trials of", method, names)
        if dataset is not None and dataset not in tasks:
            raise unknown("the track has no trials on", dataset, tasks)
        kept = [t for t in self.trials if not methods or {t.row.label, t.row.model.name}.intersection(methods)]
        kept = [t for t in kept if dataset in (None, t.row.dataset, t.row.data.name)]
        return self._replace(trials=kept)

    def missing(self, store: Store) -> dict[str, Spec]:
        """Return the runs that the store lacks, by label."""
        return {
            f"{each.title}: {label}": spec for each in self.trials for label, spec in each.search.missing(store).items()
        }

    def ended(self, store: Store) -> "TrackTuning":
        """Return the trials whose runs have all ended, with their records."""
        ended = [t for t in self.trials if all(map(store.failure, t.search.missing(store).values()))]
        return self._replace(trials=[t._replace(search=t.search.measured(store)) for t in ended])

    @property
    def lost(self) -> list[str]:
        """The rows without a candidate that has a value for every seed, but not those that cannot have one."""
        return [each.title for each in self.trials if each.search.lost and not each.search.unsupported]

    def chosen(self) -> dict[str, dict[str, Settings]]:
        """Return {data set: {model: the settings that replace its defaults}}, empty if the defaults were chosen.

        Unsupported rows keep their defaults, so that both tables say that they are unsupported.
        Rows that have no trials here, or are lost, keep what the file has now: another tuning may have written it.
        """
        found, _ = choices_of(read(self.path).chosen, self.rows)
        for each in self.trials:
            for choice in each.search.chosen().values():
                found.setdefault(each.row.dataset, {})[each.row.label] = choice.candidate.settings
            if each.search.unsupported:
                found.setdefault(each.row.dataset, {})[each.row.label] = {}
        return found

    def text(self) -> str:
        """Return the content of the file of chosen settings."""
        return json.dumps(self.chosen(), indent=1, sort_keys=True) + "\n"

    def json(self) -> list[dict[str, Any]]:
        """Return the trials as plain JSON."""
        return [{"model": each.row.label} | each.search.json() for each in self.trials]


def track_tuning(path: Path) -> TrackTuning:
    """Return the trials of a track: of each model, its defaults and all combinations of the values that it declares.

    Raises:
        ConfigError: if it is not a track, or has nothing to tune.
    """
    suite, track = read_track(path)
    rows = track_rows(suite)
    trials = [Trials(row, _search(row, track.tuning, folder_of(path))) for row in rows if row.model.trials]
    if not trials:
        raise ConfigError(f"{path}: no model declares trials")
    return TrackTuning(trials, path, rows, choices_of(suite.chosen, rows)[1])


def _search(row: TrackRow, tuning: Tuning, folder: Path) -> GridSearch:
    """Return the trials of a row; paths in the data settings of trials are relative to the folder."""
    short = {
        "plan": {"steps": row.model.paced(tuning.steps)},
        "evaluation": {"curve": [], "curve_metrics": [], "split": "valid"} | tuning.evaluation,
        "data": from_folder(datasets[row.data.name].build, tuning.data, folder),
    }
    tables = {name: table for name, table in row.settings["metric"].items() if full_name(name, row.metrics[:1])}
    return grid_search(
        [row.model.name],
        row.data.name,
        row.model.trials,
        metric=row.metrics[0],
        seeds=tuning.seeds,
        settings=merge(row.settings, short) | {"metric": tables},
        defaults=True,
    )
