"""Mean ranks of methods over data sets that rank them all, and which of them differ significantly."""

import string
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import special

from genbench.analysis.dataset_board import Board
from genbench.analysis.means import LEVEL
from genbench.analysis.paired_tests import holm, sign_flip_p


class Standing(NamedTuple):
    """The mean rank of a method, its 95 % interval, and letters: methods that share one do not differ significantly.

    Interval and test are over seeds, for these data sets only: they do not generalize to other data.
    """

    method: str
    mean: float
    low: float
    high: float
    letters: str


def common(boards: Sequence[Board]) -> tuple[list[str], list[Board]]:
    """Return the set of methods, and the boards that rank it whole over the same seeds, with most pairs x boards."""
    sets = {frozenset(board.ranked) for board in boards}
    while added := {a & b for a in sets for b in sets} - sets:  # close the sets under intersection
        sets |= added
    candidates = [
        (methods, [b for b in boards if methods <= b.ranked.keys() and b.seeds == seeds])
        for methods in sets
        for seeds in dict.fromkeys(board.seeds for board in boards)
        if len(methods) > 1
    ]
    if not candidates:
        return [], []
    methods, shared_boards = max(candidates, key=lambda c: (len(c[0]) * (len(c[0]) - 1) * len(c[1]), sorted(c[0])))
    return sorted(methods), shared_boards


def standings(methods: Sequence[str], boards: Sequence[Board]) -> list[Standing]:
    """Return mean ranks: of the ranks within each seed, averaged over the seeds of a data set, then over data sets.

    Methods differ if a sign-flip test of their ranks, over all seeds of all data sets, is significant after Holm's
    correction.
    """
    if not methods:
        return []
    tables = []
    for board in boards:
        sign = -1 if board.better == "higher" else 1
        values = [[sign * board.ranked[method].values[seed] for method in methods] for seed in board.seeds]
        tables.append(_ranks(np.array(values)))  # (seeds, methods)
    means = np.array([table.mean(0) for table in tables]).mean(0)
    errors = np.sqrt(sum(table.var(0, ddof=1) / len(table) for table in tables)) / len(tables)
    freedom = sum(len(table) - 1 for table in tables)
    half = errors * special.stdtrit(freedom, 1 - LEVEL / 2)
    total = sum(map(len, tables))
    # Scaled so that each data set weighs the same.
    weighted = np.concatenate([table * total / (len(tables) * len(table)) for table in tables])
    pairs = list(combinations(range(len(methods)), 2))
    corrected = holm([float(sign_flip_p(weighted[:, a] - weighted[:, b])) for a, b in pairs])
    order: list[int] = np.argsort(means, kind="stable").tolist()
    apart = [pair for pair, p in zip(pairs, corrected, strict=True) if p <= LEVEL]
    letters = _letters(order, apart)
    return [
        Standing(methods[i], float(means[i]), max(1.0, float(means[i] - half[i])),
                 min(float(len(methods)), float(means[i] + half[i])), letters[i])
        for i in order
    ]  # fmt: skip


def _letters(order: Sequence[int], apart: Iterable[tuple[int, int]]) -> dict[int, str]:
    """Give items letters; two share one exactly if they do not differ (insert and absorb; Piepho, 2004).

    >>> _letters([0, 1, 2], [(0, 2)])
    {0: 'a', 1: 'ab', 2: 'b'}
    """
    groups = [frozenset(order)]
    for a, b in apart:
        split = [part for group in groups for part in ((group - {a}, group - {b}) if {a, b} <= group else (group,))]
        groups = [group for group in dict.fromkeys(split) if not any(group < other for other in split)]
    groups.sort(key=lambda group: sorted(map(order.index, group)))
    return {item: "".join(c for c, group in zip(_names(len(groups)), groups, strict=True) if item in group)
            for item in order}  # fmt: skip


def _names(n: int) -> list[str]:
    return list(string.ascii_letters[:n]) if n <= len(string.ascii_letters) else [f"({i})" for i in range(n)]


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks within each row, from 1; equal values share their mean rank."""
    one, other = values[:, :, None], values[:, None, :]
    return (one > other).sum(2) + ((one == other).sum(2) + 1) / 2
