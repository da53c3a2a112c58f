"""The leaderboard: methods on data sets by the headline metric of each, with ranks, mean ranks and costs."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from genbench.analysis.dataset_board import Board, compare_methods
from genbench.analysis.mean_ranks import Standing, common, standings
from genbench.analysis.means import LEVEL, mean_and_error
from genbench.analysis.submitted import Submitted
from genbench.analysis.suite_results import SuiteResults
from genbench.analysis.values import group_by
from genbench.errors import unknown

COLUMNS = ("data", "method", "model", "metric", "better", "mean", "half_interval", "rank", "mark", "seeds", "confirmed")
COLUMNS += ("floor", "steps", "batch_size", "nfe_to_quality", "train_seconds", "mean_rank", "protocol")
"""Fields of a row, for a method on a data set."""


class Failed(NamedTuple):
    """A model with failed runs on a data set: how many of its seeds."""

    model: str
    data: str
    failed: int
    seeds: int


class Leaderboard(NamedTuple):
    """Boards of all data sets, and the mean ranks over those that rank the same methods.

    Args:
        boards: boards of the data sets, those of the mean ranks first.
        standings: by mean rank; empty if fewer than two methods are ranked together.
        over: data sets of the mean ranks.
        variants: number of further settings of the methods that are not shown.
        failed: models with failed runs, on the data sets asked for.
        submitted: methods of submissions on the data sets asked for, of which confirmed seeds alone are ranked.
    """

    boards: tuple[Board, ...]
    standings: tuple[Standing, ...]
    over: tuple[str, ...]
    variants: int
    failed: tuple[Failed, ...] = ()
    submitted: tuple[Submitted, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Return one plain row for each method and data set, also for those of which no seed was confirmed."""
        confirmed = {(each.model, each.data): str(each) for each in self.submitted}
        standings = {standing.method: standing for standing in self.standings}
        rows = []
        for board in self.boards:
            for entry in board.entries:
                floor = mean_and_error(board.floor.values())[0] if board.floor else None
                standing = standings.get(entry.method) if board.data in self.over else None
                rows.append(
                    {
                        "data": board.data,
                        "method": entry.method,
                        "model": entry.label,
                        "metric": board.metric,
                        "better": board.better,
                        "mean": entry.mean,
                        "half_interval": entry.half,
                        "rank": entry.rank,
                        "mark": entry.mark,
                        "seeds": len(entry.values),
                        "confirmed": confirmed.get((entry.label, board.data)),
                        "floor": floor,
                        "steps": entry.budget.steps,
                        "batch_size": entry.budget.batch,
                        "nfe_to_quality": entry.nfe,
                        "train_seconds": entry.train_seconds,
                        "mean_rank": standing and standing.mean,
                        "protocol": board.protocol,
                    }
                )
        for each in self.submitted:
            if not each.confirmed:
                method = each.model.partition(" ")[0]
                known = {"data": each.data, "method": method, "model": each.model, "seeds": 0, "confirmed": str(each)}
                rows.append(dict.fromkeys(COLUMNS) | known)
        return rows

    def json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "standings": [standing._asdict() for standing in self.standings],
            "over": list(self.over),
            "test": f"sign-flip permutation test of ranks over seeds, Holm's correction, {LEVEL:g}",
            "rows": self.rows(),
            "failed": [failed._asdict() for failed in self.failed],
            "submitted": [each._asdict() for each in self.submitted],
        }


def leaderboard(
    suites: Iterable[SuiteResults],
    only: Sequence[str] = (),
    *,
    variants: bool = False,
    submitted: Iterable[Submitted] = (),
) -> Leaderboard:
    """Compare the methods of all suites.

    Args:
        suites: the results; a run that is in several counts once.
        only: labels of data sets; all by default.
        variants: whether every setting of a method has a row; by default the one with the fewest settings that are
            not defaults represents it.
        submitted: methods of submissions, whose confirmed records are among the suites.

    Raises:
        ConfigError: if there is no such data set.
    """
    suites = list(suites)
    runs = {run.record["labels"]["run"]: run for suite in suites for run in suite.runs}
    values = (v if v.model == v.label else v._replace(model=v.label) for suite in suites for v in suite.values)
    of_data = group_by(dict.fromkeys(values), lambda v: v.data)
    seconds: dict[str, float] = {}
    for cost in (cost for suite in suites for cost in suite.costs):
        if cost.train_seconds:  # a run of several suites was trained more than once: load only adds to its time
            seconds[cost.run] = min(cost.train_seconds, seconds.get(cost.run, math.inf))
    submitted = tuple(each for each in submitted if not only or each.data in only)
    for name in only:
        if name not in of_data and not any(each.data == name for each in submitted):
            raise unknown("no results on a data set called", name, of_data)
    known = [data for data in only or of_data if data in of_data]
    compared = [compare_methods(of_data[data], runs, seconds, variants=variants) for data in known]
    boards = sorted((each for each, _ in compared if each), key=_size, reverse=True)
    methods, over = common(boards)
    failed = (each for suite in suites for each in _failed(suite))
    return Leaderboard(
        boards=(*over, *(each for each in boards if each not in over)),
        standings=tuple(standings(methods, over)),
        over=tuple(each.data for each in over),
        variants=sum(left_out for _, left_out in compared),
        failed=tuple(each for each in dict.fromkeys(failed) if not only or each.data in only),
        submitted=submitted,
    )


def _failed(suite: SuiteResults) -> Iterator[Failed]:
    for (model, data), failures in group_by(suite.failures, lambda f: (f.model, f.data)).items():
        finished = {run.seed for run in suite.runs if (run.record["labels"]["model"], run.data) == (model, data)}
        seeds = {failure.seed for failure in failures}
        yield Failed(model, data, len(seeds), len(seeds | finished))


def _size(board: Board) -> tuple[int, int]:
    """Return how much a board compares: ranked methods in their default settings times seeds, then all methods."""
    default = sum(entry.label == entry.method for entry in board.ranked.values())
    return default * len(board.seeds), len(board.ranked) * len(board.seeds)
