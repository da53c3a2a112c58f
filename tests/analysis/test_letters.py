"""Letters against a brute-force check of random graphs of rejected pairs."""

from itertools import combinations

import numpy as np
import pytest

from genbench.analysis.letters import letters


def maximal_cliques(items, joined):
    cliques = [set(group) for size in range(1, len(items) + 1) for group in combinations(items, size)]
    cliques = [group for group in cliques if all(pair in joined for pair in combinations(sorted(group), 2))]
    return [group for group in cliques if not any(group < other for other in cliques)]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
def test_two_items_share_a_letter_exactly_if_they_were_not_told_apart(share):
    stream = np.random.default_rng(int(10 * share))
    for _ in range(30):
        items = list(range(7))
        apart = [pair for pair in combinations(items, 2) if stream.random() < share]
        found = letters(items, apart)
        for one, other in combinations(items, 2):
            assert bool(set(found[one]) & set(found[other])) == ((one, other) not in apart)
        joined = set(combinations(items, 2)) - set(apart)
        assert len(set("".join(found.values()))) == len(maximal_cliques(items, joined))


def test_letters_follow_the_order_and_never_run_out():
    assert letters("zyx", [("z", "x")]) == {"z": "a", "y": "ab", "x": "b"}
    many = letters(range(60), combinations(range(60), 2))
    assert len(set(many.values())) == 60
