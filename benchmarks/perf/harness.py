"""Rows of the speed table: genbench and a peer library do the same work, alternating in one process.

A row prepares both sides and states a target. After a warm-up round, the sides alternate within each round, so that
other load on the machine slows both equally. A row reports the median over rounds of the ratio within a round, with
its quartiles. Times are wall-clock times. The ratio of CPU times is reported as well; where the two disagree because
the machine is busy, the CPU ratio is more reliable.
"""

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from threadpoolctl import threadpool_limits


class Sides(NamedTuple):
    """Two implementations of the same work.

    Args:
        ours: calls genbench.
        theirs: calls the peer library.
        per: number of work items in one call of each; times are per item.
        note: a remark on this comparison, for readers of the table.
    """

    ours: Callable[[], object]
    theirs: Callable[[], object]
    per: tuple[float, float] = (1, 1)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table.

    Args:
        name: name of the row for --only.
        work: description of the work.
        peer: the library that genbench is compared with.
        sides: prepares both sides and, where possible, checks that they compute the same result.
        aim: target of the figure; None if the row has none.
        kind: the figure: "faster" is the peer's time divided by ours, "share" is our time divided by the peer's (the
            cost of a part relative to the whole), "seconds" is our time.
        rounds: number of measured rounds.
        warm: whether a warm-up round comes first.
        threads: number of threads of both sides.
    """

    name: str
    work: str
    peer: str
    sides: Callable[[], Sides]
    aim: float | None = None
    kind: Literal["faster", "share", "seconds"] = "faster"
    rounds: int = 5
    warm: bool = True
    threads: int = 1


class Spread(NamedTuple):
    """A median and its quartiles."""

    low: float
    middle: float
    high: float


class Measured(NamedTuple):
    """The result of a row: the figure, the figure in CPU time, and the median time of each side in seconds."""

    row: Row
    figure: Spread
    cpu: float
    ours: float
    theirs: float
    note: str

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without a target."""
        if self.row.aim is None:
            return None
        reached = self.figure.middle >= self.row.aim
        return reached if self.row.kind == "faster" else self.figure.middle <= self.row.aim


def measure(row: Row) -> Measured:
    """Time both sides, alternating. Raises ImportError if the peer library is not installed."""
    torch.set_num_threads(row.threads)
    with threadpool_limits(row.threads):
        sides = row.sides()
        wall: tuple[list[float], list[float]] = ([], [])
        cpu: tuple[list[float], list[float]] = ([], [])
        for turn in range(-row.warm, row.rounds):
            for side, work in enumerate((sides.ours, sides.theirs)):
                torch.set_num_threads(row.threads)  # training sets its own
                seconds = timed(work)
                if turn >= 0:
                    wall[side].append(seconds[0] / sides.per[side])
                    cpu[side].append(seconds[1] / sides.per[side])
    ours, theirs = (statistics.median(times) for times in wall)
    return Measured(row, spread(_figures(row, *wall)), spread(_figures(row, *cpu)).middle, ours, theirs, sides.note)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall-clock and CPU seconds; CPU time includes child processes that have ended."""
    began = time.perf_counter(), _processor()
    work()
    return time.perf_counter() - began[0], _processor() - began[1]


def spread(values: list[float]) -> Spread:
    """Return the median and the quartiles."""
    if len(values) < 3:
        return Spread(min(values), statistics.median(values), max(values))
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


def _processor() -> float:
    # In microseconds: os.times() counts ticks of 10 ms, which is as long as some calls.
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(own.ru_utime + own.ru_stime for own in used)


def _figures(row: Row, ours: list[float], theirs: list[float]) -> list[float]:
    if row.kind == "seconds":
        return ours
    pairs = list(zip(ours, theirs, strict=True))
    return [a / b for a, b in pairs] if row.kind == "share" else [b / a for a, b in pairs]
