"""Standings: mean ranks, and letters of methods that do not differ."""

import numpy as np
import pytest
from scipy import stats

from genbench.analysis.dataset_board import Board, Budget, Entry
from genbench.analysis.mean_ranks import _letters as letters
from genbench.analysis.mean_ranks import standings


def board_of(values, data="d", better="lower"):
    """Return a board of {method: values by seed}, all ranked."""
    seeds = tuple(range(len(next(iter(values.values())))))
    entries = tuple(Entry(m, m, Budget(1, 1), dict(zip(seeds, own, strict=True)), 1) for m, own in values.items())
    return Board(data, "w2", better, "p", Budget(1, 1), seeds, {}, "", entries, True)


def test_mean_ranks_are_those_of_friedman_and_data_sets_count_equally():
    stream = np.random.default_rng(2)
    long, short = stream.normal(size=(3, 9)), stream.normal(size=(3, 4))
    found = standings(
        ["a", "b", "c"], [board_of(dict(zip("abc", x, strict=True)), str(x.shape)) for x in (long, short)]
    )
    expected = (stats.rankdata(long, axis=0).mean(1) + stats.rankdata(short, axis=0).mean(1)) / 2
    assert {s.method: s.mean for s in found} == pytest.approx(dict(zip("abc", expected, strict=True)))
    turned = standings(["a", "b", "c"], [board_of(dict(zip("abc", -long, strict=True)), better="higher")])
    plain = standings(["a", "b", "c"], [board_of(dict(zip("abc", long, strict=True)))])
    assert turned == plain


def test_methods_that_are_equal_are_told_apart_in_at_most_one_of_twenty_families():
    wrong = 0
    for seed in range(200):
        values = np.random.default_rng(seed).normal(size=(2, 3, 5))
        found = standings(list("abc"), [board_of(dict(zip("abc", x, strict=True))) for x in values])
        wrong += not set.intersection(*(set(s.letters) for s in found))
    assert wrong / 200 <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5
    assert wrong  # and the test is not idle


def test_two_methods_share_a_letter_exactly_if_they_are_not_told_apart():
    stream = np.random.default_rng(1)
    for _ in range(50):
        pairs = [(a, b) for a in range(6) for b in range(a) if stream.random() < 0.5]
        found = letters(list(range(6)), pairs)
        for a in range(6):
            for b in range(a):
                assert bool(set(found[a]) & set(found[b])) == ((a, b) not in pairs)
