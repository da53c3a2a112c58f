"""The leaderboard: methods on tasks by the headline metric of each, and across tasks relative to a baseline."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from genbench.analysis.dataset_board import BASELINE, Board, compare_methods
from genbench.analysis.effects import Effects, effects, is_scored
from genbench.analysis.means import mean_and_error
from genbench.analysis.submitted import Submitted
from genbench.analysis.values import Failure, SuiteResults, group_by
from genbench.errors import unknown
from genbench.results.reader import Run

COLUMNS = ("data", "method", "model", "metric", "better", "mean", "half_interval", "letters", "at_floor", "compared")
COLUMNS += ("note", "seeds", "confirmed", "floor", "steps", "batch_size", "nfe_to_target", "nfe_at_most")
COLUMNS += ("reaches_target", "protocol")
"""Fields of a row, for a method on a data set."""


class Failed(NamedTuple):
    """A model with failed runs on a data set: how many of its seeds."""

    model: str
    data: str
    failed: int
    seeds: int


class Leaderboard(NamedTuple):
    """Boards of all data sets, and the effects across those of the table.

    Args:
        boards: those of the table first.
        shown: number of boards of the table.
        variants: number of further settings of the methods that are not shown.
        failed: models with failed runs, on the data sets asked for.
        submitted: methods of submissions on the data sets asked for, of which confirmed seeds alone count.
    """

    boards: tuple[Board, ...]
    shown: int
    effects: Effects
    variants: int
    failed: tuple[Failed, ...] = ()
    submitted: tuple[Submitted, ...] = ()

    @property
    def methods(self) -> list[str]:
        """All methods: by their ratio, then those with a best mean, then by the number of compared values."""
        ordered = [summary.method for summary in self.effects.summaries if summary.ratio is not None]
        best = [board.pairs.order[0] for board in self.boards[: self.shown] if board.pairs.order]
        others = [entry.method for board in self.boards for entry in board.entries]
        cells = [entry.method for board in self.boards[: self.shown] for entry in board.entries if entry.compared]
        return list(dict.fromkeys([*ordered, *best, *sorted(others, key=lambda method: -cells.count(method))]))

    def rows(self) -> list[dict[str, Any]]:
        """Return one plain row for each method and data set, also for those of which no seed was confirmed."""
        confirmed = {(each.model, each.data): str(each) for each in self.submitted}
        rows = []
        for board in self.boards:
            floor = mean_and_error(board.floor.values())[0] if board.floor else None
            shared = {"data": board.data, "metric": board.metric, "better": board.better, "floor": floor}
            for entry in board.entries:
                nfe, steps, batch = board.nfe(entry.method), *(entry.budget or (None, None))
                own = {"method": entry.method, "model": entry.label, "compared": entry.compared, "note": entry.note}
                own |= {"mean": entry.mean, "half_interval": entry.half, "seeds": len(entry.values)}
                own |= {"letters": board.pairs.letters.get(entry.method), "steps": steps, "batch_size": batch}
                own |= {"at_floor": entry.method in board.pairs.at_floor, "protocol": board.protocol}
                reached = nfe and nfe.nfe < math.inf
                own |= {"nfe_to_target": nfe.nfe if nfe and reached else None, "reaches_target": reached}
                own |= {"nfe_at_most": nfe and nfe.at_most}
                own |= {"confirmed": confirmed.get((entry.label, board.data))}
                rows.append(dict.fromkeys(COLUMNS) | shared | own)
        for each in self.submitted:
            if not each.confirmed:
                method = each.model.partition(" ")[0]
                known = {"data": each.data, "method": method, "model": each.model, "seeds": 0, "confirmed": str(each)}
                rows.append(dict.fromkeys(COLUMNS) | known)
        return rows

    def json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "baseline": BASELINE,
            "tasks": [board.data for board in self.boards[: self.shown]],
            **self.effects.json(),
            "rows": self.rows(),
            "failed": [failed._asdict() for failed in self.failed],
            "submitted": [each._asdict() for each in self.submitted],
        }


def leaderboard(
    suites: Iterable[SuiteResults],
    only: Sequence[str] = (),
    *,
    most: int | None = None,
    variants: bool = False,
    submitted: Iterable[Submitted] = (),
) -> Leaderboard:
    """Compare the methods of all suites.

    Args:
        suites: the results; a run that is in several counts once.
        only: labels of data sets; all by default: those that are scored and compare most methods first.
        most: number of data sets of the table; all by default.
        variants: whether every setting of a method has a row; by default the one with the fewest settings that are
            not defaults represents it, of these the nearest to the defaults.
        submitted: methods of submissions, whose confirmed records are among the suites.

    Raises:
        ConfigError: if there is no such data set.
    """
    suites = list(suites)
    runs = {run.record["labels"]["run"]: run for suite in suites for run in suite.runs}
    values = (v if v.model == v.label else v._replace(model=v.label) for suite in suites for v in suite.values)
    of_data = group_by(dict.fromkeys(values), lambda v: v.data)
    failures = dict.fromkeys(failure for suite in suites for failure in suite.failures)
    failed_on = group_by(failures, lambda failure: failure.data)
    submitted = tuple(each for each in submitted if not only or each.data in only)
    for name in only:
        if name not in of_data and not any(each.data == name for each in submitted):
            raise unknown("no results on a data set called", name, of_data)
    known = [data for data in only or of_data if data in of_data]
    compared = [compare_methods(of_data[data], runs, failed_on.get(data, []), variants=variants) for data in known]
    boards = [board for board, _ in compared if board]
    if not only:
        boards.sort(key=_size, reverse=True)
    shown = boards[:most]
    return Leaderboard(
        boards=tuple(boards),
        shown=len(shown),
        effects=effects([board.task for board in shown], BASELINE),
        variants=sum(left_out for _, left_out in compared),
        failed=tuple(each for each in _failed(failures, runs.values()) if not only or each.data in only),
        submitted=submitted,
    )


def _size(board: Board) -> tuple[bool, int, int]:
    """Return how much a board says: whether it is scored, how many methods it compares, and over how many seeds."""
    return is_scored(board.task, BASELINE), len(board.pairs.order), len(board.seeds)


def _failed(failures: Iterable[Failure], runs: Iterable[Run]) -> Iterator[Failed]:
    finished = group_by(runs, lambda run: (run.record["labels"]["model"], run.data))
    for (model, data), own in group_by(failures, lambda f: (f.model, f.data)).items():
        seeds = {failure.seed for failure in own}
        yield Failed(model, data, len(seeds), len(seeds | {run.seed for run in finished.get((model, data), ())}))
