"""Rows of the table of speed: the same work by genbench and by a peer, in turns, in one process.

A row prepares two sides and says what to aim at. Sides take turns within each round, after a round that does not
count, so that whatever else the machine does slows both alike; the figure of a row is the median over rounds of the
ratio within each, with its quartiles. Seconds are those of the wall clock; the ratio of the time that the processor
spent on this process stands beside it, and is the better guide where a busy machine makes the two disagree.
"""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from threadpoolctl import threadpool_limits


class Sides(NamedTuple):
    """Two ways to do the same work.

    Args:
        ours: does it with genbench.
        theirs: does it as the peer does.
        per: pieces of work in one call of each; seconds are those of one piece.
        note: what a reader has to know about this comparison.
    """

    ours: Callable[[], object]
    theirs: Callable[[], object]
    per: tuple[float, float] = (1, 1)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Args:
        name: what --only calls it.
        work: what is done.
        peer: who else does it.
        sides: prepares both and checks, where it can, that they compute the same.
        aim: what the figure should reach; None where the row is there to inform.
        kind: the figure: "faster" is seconds of the peer by ours, "share" ours by those of the peer (the cost of a
            part beside the whole), "seconds" our own.
        rounds: turns of each side that count.
        warm: whether a round that does not count comes first.
        threads: of both sides.
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
    """What a row came to: the figure, the same of processor time, and the median seconds of each side."""

    row: Row
    figure: Spread
    cpu: float
    ours: float
    theirs: float
    note: str

    @property
    def met(self) -> bool | None:
        """Whether the aim is reached."""
        if self.row.aim is None:
            return None
        reached = self.figure.middle >= self.row.aim
        return reached if self.row.kind == "faster" else self.figure.middle <= self.row.aim


def measure(row: Row) -> Measured:
    """Let both sides take turns. Raises ImportError where the peer is not installed."""
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
    """Return seconds by the wall clock and of the processor, those of finished child processes included."""
    began = time.perf_counter(), _processor()
    work()
    return time.perf_counter() - began[0], _processor() - began[1]


def spread(values: list[float]) -> Spread:
    """Return the median and the quartiles."""
    if len(values) < 3:
        return Spread(min(values), statistics.median(values), max(values))
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


def _processor() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _figures(row: Row, ours: list[float], theirs: list[float]) -> list[float]:
    if row.kind == "seconds":
        return ours
    pairs = list(zip(ours, theirs, strict=True))
    return [a / b for a, b in pairs] if row.kind == "share" else [b / a for a, b in pairs]
