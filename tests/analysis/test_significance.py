"""Paired tests, Holm's correction, and all pairs of a task."""

from fractions import Fraction
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from genbench.analysis.effects import Task, effects
from genbench.analysis.means import LEVEL
from genbench.analysis.significance import (
    MOST_FLIPPED,
    compare_all,
    detectable,
    holm,
    letters,
    noncentrality,
    paired,
    reaches,
    sign_flips,
)


def by_seed(values):
    return dict(enumerate(values))


def alone(values):
    """Compare values with zeros."""
    return paired(by_seed(values), by_seed(0 * np.asarray(values)))


def differences(pairs, times):
    """Draw differences of mean 0, one experiment a row."""
    return np.random.default_rng(0).normal(0, 1, (times, pairs))


def test_a_paired_difference_is_that_of_scipy():
    stream = np.random.default_rng(1)
    one, other = stream.normal(0.5, 1, 6), stream.normal(0, 1, 6)
    found, known = paired(by_seed(one), by_seed(other)), stats.ttest_rel(one, other)
    assert found.p == pytest.approx(known.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(known.confidence_interval(0.95)))
    assert found.pairs == 6


@pytest.mark.parametrize("pairs", [2, 6, 9])
def test_sign_flips_are_those_of_scipy(pairs):
    stream = np.random.default_rng(pairs)
    for one, other in (stream.normal(0.4, 1, (2, pairs)), stream.integers(0, 3, (2, pairs))):
        known = stats.permutation_test(
            (one, other), lambda x, y, axis: np.mean(x - y, axis), permutation_type="samples", n_resamples=np.inf
        )
        assert sign_flips(by_seed(one) | {99: 5.0}, by_seed(other)) == pytest.approx(known.pvalue)
    assert sign_flips(by_seed(range(MOST_FLIPPED + 1)), by_seed(np.zeros(MOST_FLIPPED + 1))) is None
    assert sign_flips({0: 1.0}, {1: 1.0}) is None


def test_only_common_seeds_count():
    found = paired({0: 1.0, 1: 2.0, 5: 99.0}, {1: 1.0, 0: 0.5, 7: -99.0})
    assert (found.mean, found.pairs) == (0.75, 2)
    assert paired({0: 1.0}, {0: 0.5})[1:5] == (None,) * 4
    with pytest.raises(ValueError, match="no common seeds"):
        paired({0: 1.0}, {1: 1.0})


@pytest.mark.parametrize("pairs", [2, 3, 5, 10])
def test_equal_differences_are_evidence_from_four_seeds_on(pairs):
    steady = paired(dict.fromkeys(range(pairs), 0.3), dict.fromkeys(range(pairs), 0.1))
    assert (steady.error, steady.low, steady.high) == (0, None, None)
    assert (steady.p <= 0.05) == (pairs >= 4)
    assert alone(np.zeros(pairs)).p == 1
    rounded = [paired(by_seed(np.array([9975, 9987, 5031]) / 1e4), by_seed(np.array(k) / 1e4)).p for k in (
        [9974, 9986, 5030], [9975, 9987, 5031])]  # fmt: skip
    assert rounded == [1 / 16, 1]  # a sample of 10,000: these differences differ by rounding
    assert paired({0: 0.3, 1: 0.2}, {0: 0.1 + 0.2, 1: 0.2}).p == 1


@pytest.mark.parametrize("pairs", [2, 3, 4])
@pytest.mark.parametrize(
    "law", [{14: 1, 20: 1}, {14: 1, 20: 2, 26: 1}, {1: 1, 2: 1, 3: 1, 4: 1}, {0: 9, 1: 1}], ids=str
)
def test_counts_of_equal_models_are_separated_in_at_most_one_of_twenty_cases(pairs, law):
    """An adaptive solver takes 14 or 20 evaluations: with two seeds, one of eight comparisons had p = 0.

    Where counts do have a spread, the t test is approximate: with six seeds of three values it rejects 6 to 7 %.
    """
    values, shares = [*law], np.array([*law.values()]) / sum(law.values())
    draws = np.random.default_rng(pairs).choice(values, p=shares, size=(4000, 2, pairs))
    found = [paired(by_seed(one), by_seed(other)) for one, other in draws]
    assert np.mean([each.p <= 0.05 for each in found]) <= 0.05 + 3 * (0.05 * 0.95 / 4000) ** 0.5
    equal = np.mean([each.error == 0 and each.mean != 0 for each in found])
    assert equal <= 4.0 ** (1 - pairs) + 3 * (equal / 4000) ** 0.5


@pytest.mark.parametrize("pairs", [3, 5, 10])
def test_a_detectable_difference_is_detected_with_80_percent_power(pairs):
    shift = noncentrality(pairs) / pairs**0.5
    seen = [alone(row + shift).p <= 0.05 for row in differences(pairs, 2000)]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.03)
    values = differences(pairs, 1)[0]
    assert detectable(alone(values).error, pairs) == pytest.approx(shift * values.std(ddof=1))


def test_the_detectable_difference_of_a_family_is_detected_with_80_percent_power():
    family, pairs = 9, 5
    rows = differences(pairs, 4000)
    seen = []
    for row in rows:
        shifted = row + detectable(1.0, pairs, family) / pairs**0.5
        nothing = [1.0] * (family - 1)  # p values of the others, none of which is ever rejected
        seen.append(holm([alone(shifted).p, *nothing])[0] <= 0.05)
    assert np.mean(seen) == pytest.approx(0.8, abs=0.03)
    assert detectable(1.0, 10, 26) < detectable(1.0, 9, 26)  # one more seed never hurts


def test_holm_rejects_what_bonferroni_rejects_in_every_subset():
    """Holm's method is the closed test of Bonferroni's (Marcus, Peritz and Gabriel, 1976).

    Chances are 64ths, which floating point represents exactly.
    """
    stream = np.random.default_rng(0)
    for count in [*range(7)] * 20:
        chances = [Fraction(int(k), 64) for k in stream.integers(0, 64, count)]
        subsets = [subset for size in range(1, count + 1) for subset in combinations(range(count), size)]
        bonferroni = {subset: min(1, len(subset) * min(chances[i] for i in subset)) for subset in subsets}
        closed = [max(p for subset, p in bonferroni.items() if i in subset) for i in range(count)]
        assert holm([float(p) for p in chances]) == [float(p) for p in closed]


TIMES = 400


def by_model(table):
    """Return {model: {seed: value}} of an array (seeds, models)."""
    return {f"m{i}": dict(enumerate(column)) for i, column in enumerate(np.asarray(table).T)}


def task(stream, methods, seeds, means=0.0):
    """Draw values with a common seed effect and spreads that differ between methods (lognormal, 0.7)."""
    spread = np.exp(0.7 * stream.normal(size=methods))
    return means + stream.normal(size=(seeds, 1)) + spread * stream.normal(size=(seeds, methods))


SIMULATED = [(6, 3, 6, 8), (6, 5, 4, 41), (6, 10, 3, 77), (12, 5, 4, 50), (12, 10, 3, 81)]
"""(methods, seeds, % of columns with a false separation, % of true separations found)."""


@pytest.mark.parametrize(("methods", "seeds", "mistakes"), [row[:3] for row in SIMULATED])
def test_equal_methods_are_told_apart_in_at_most_one_of_twenty_tables(methods, seeds, mistakes):
    stream = np.random.default_rng(methods + seeds)
    tables = [compare_all(by_model(task(stream, methods, seeds)), "lower") for _ in range(TIMES)]
    wrong = np.mean([any(p <= LEVEL for p in found.p.values()) for found in tables])
    assert wrong <= LEVEL + 3 * (LEVEL * (1 - LEVEL) / TIMES) ** 0.5
    assert wrong > 0.01  # and is not idle
    assert mistakes == pytest.approx(100 * wrong, abs=2)


def test_equal_methods_beside_different_ones_are_told_apart_in_at_most_one_of_twenty_tables():
    """A test that corrects only while nothing is found (Fisher's) tells equal methods apart in four of ten tables."""
    stream, means = np.random.default_rng(17), [0.0] * 6 + [50.0, 100.0, 150.0, 200.0, 250.0, 300.0]
    tables = [compare_all(by_model(task(stream, 12, 5, means)), "lower") for _ in range(TIMES)]
    equal = [f"m{index}" for index in range(6)]
    wrong = np.mean([any(found.apart(*pair) for pair in combinations(equal, 2)) for found in tables])
    assert 0.01 < wrong <= LEVEL + 3 * (LEVEL * (1 - LEVEL) / TIMES) ** 0.5


@pytest.mark.parametrize(("methods", "seeds", "power"), [(m, seeds, power) for m, seeds, _, power in SIMULATED])
def test_pairs_that_differ_by_standard_deviations_are_told_apart(methods, seeds, power):
    """Methods stand in a row, one median standard deviation of a difference between neighbors."""
    stream, shares = np.random.default_rng(0), []
    for _ in range(100):
        found = compare_all(by_model(task(stream, methods, seeds, 2**0.5 * np.arange(methods))), "lower")
        shares.append(np.mean([p <= LEVEL for p in found.p.values()]))
    assert power == pytest.approx(100 * np.mean(shares), abs=3)


@cache
def example():
    stream = np.random.default_rng(3)
    return task(stream, 5, 8, means=np.arange(5) * 1.5)


def verdicts(found):
    return {frozenset(pair): found.apart(*pair) for pair in combinations(found.order, 2)}


def test_the_order_of_methods_and_seeds_does_not_matter():
    values = by_model(example())
    known = verdicts(compare_all(values, "lower"))
    shuffled = {m: dict(reversed(values[m].items())) for m in reversed(values)}
    assert verdicts(compare_all(shuffled, "lower")) == known
    assert verdicts(compare_all(by_model(example() * 1000 - 7), "lower")) == known
    turned = compare_all(by_model(-example()), "higher")
    assert (verdicts(turned), turned.order) == (known, compare_all(values, "lower").order)


def test_other_methods_widen_the_correction_and_never_turn_a_pair_over():
    values = by_model(example())
    large = compare_all(values, "lower")
    for pair in large.pairs:
        small = compare_all({m: values[m] for m in pair}, "lower")
        assert large.pairs[pair] == small.pairs[pair]
        assert large.p[pair] >= small.p[pair]
        assert not large.beats(*pair) or small.beats(*pair)
        assert not large.beats(*reversed(pair))


def test_a_seed_with_the_mean_of_every_method_takes_no_separation_back():
    """All differences of the added seed are equal to their means."""
    stream, kept, won = np.random.default_rng(11), 0, 0
    for _ in range(40):
        values = task(stream, 5, 4, means=np.arange(5) * 2.0)
        before = compare_all(by_model(values), "lower")
        after = compare_all(by_model([*values, values.mean(0)]), "lower")
        for pair, was in before.pairs.items():
            assert after.pairs[pair].mean == pytest.approx(was.mean)
            assert after.pairs[pair].p < was.p
            assert after.apart(*pair) or not before.apart(*pair)
            kept += before.apart(*pair)
            won += after.apart(*pair) and not before.apart(*pair)
    assert kept > 0
    assert won > 0  # not all were clear before


def test_a_method_with_fewer_seeds_is_tested_on_the_common_ones_and_a_single_seed_is_not():
    values = by_model(example()) | {"few": {0: -50.0, 1: -49.0, 2: -50.5}, "single": {0: 0.0}, "other": {77: 0.0}}
    found = compare_all(values, "lower")
    assert found.order[0] == "few"
    assert found.pairs["few", "m0"].pairs == 3
    assert found.letters["single"] == found.letters["other"] == ""
    assert not any("single" in pair or "other" in pair for pair in found.p)
    assert all(found.letters[m] for m in by_model(example()))


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_who_is_ahead_is_said_by_the_common_seeds_not_by_the_means(better):
    """B has only the hard seeds, on each of which it is better: it was called worse, since its mean is."""
    sign = 1 if better == "lower" else -1
    easy, hard = dict.fromkeys(range(3, 10), sign * 1.0), dict.fromkeys(range(10, 17), sign * 5.0)
    common = {0: 5.0, 1: 5.2, 2: 5.4}
    models = {"A": {s: sign * value for s, value in common.items()} | easy}
    models["B"] = {s: sign * (value - 0.1 - s / 1e4) for s, value in common.items()} | hard
    found = compare_all(models, better)
    assert found.order == ("A", "B")
    assert found.apart("A", "B")
    assert (found.beats("B", "A"), found.beats("A", "B")) == (True, False)
    task = Task("t", better, models, {}, found)
    assert {summary.method: summary.wins for summary in effects([task], "none").summaries} == {"A": 0, "B": 1}


def test_equal_values_are_at_the_floor_in_nineteen_of_twenty_cases():
    stream = np.random.default_rng(5)
    draws = stream.normal(size=(2000, 2, 8)) * [[1.0], [0.3]]
    shared = 10 * stream.normal(size=(2000, 1, 8))  # as the test points of a seed shift likelihood and entropy
    for shift in (0, shared):
        found = [reaches(by_seed(a), by_seed(b), "lower") for a, b in draws + shift]
        assert np.mean(found) == pytest.approx(0.975, abs=0.012)  # values below the floor are at it, too


def test_a_small_excess_is_above_the_floor_of_the_same_points():
    floor = by_seed(np.random.default_rng(6).normal(size=5))
    worse = {seed: value + 0.01 + 0.001 * seed for seed, value in floor.items()}
    assert not reaches(worse, floor, "lower")
    assert reaches(worse, floor, "higher")
    assert not reaches({0: 1.0}, {0: 2.0, 1: 2.1}, "lower")
    assert not reaches(by_seed([1.0, 1.1, 1.2]), {0: 2.0, 1: 2.1}, "lower")
    assert reaches({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}, "lower")
    assert not reaches({0: 1.0, 1: 1.0}, {0: 2.0, 1: 2.0}, "higher")  # a recall of 0.001 was at a floor of 0.73


@pytest.mark.parametrize("seeds", [10, 3])
def test_a_method_with_fewer_seeds_is_not_at_the_floor(seeds):
    """Its interval is wide enough: 0.76 +- 0.43 of three seeds was called like real data."""
    stream = np.random.default_rng(0)
    shared, floor = stream.normal(0, 0.1, 10), dict(enumerate(1 + stream.normal(0, 0.1, 10)))
    models = {"good": dict(enumerate(1 + shared)), "bad": dict(enumerate(2 + shared + stream.normal(0, 0.01, 10)))}
    models["few"] = dict(enumerate(1 + stream.normal(0, 0.1, seeds)))
    found = compare_all(models, "lower", floor)
    assert found.at_floor == ({"good", "few"} if seeds == 10 else {"good"})


def maximal_cliques(items, joined):
    cliques = [set(group) for size in range(1, len(items) + 1) for group in combinations(items, size)]
    cliques = [group for group in cliques if all(pair in joined for pair in combinations(sorted(group), 2))]
    return [group for group in cliques if not any(group < other for other in cliques)]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
def test_two_items_share_a_letter_exactly_if_they_were_not_told_apart(share):
    stream = np.random.default_rng(int(10 * share))
    for _ in range(30):
        items = list("abcdefg")
        apart = [pair for pair in combinations(items, 2) if stream.random() < share]
        found = letters(items, apart)
        for one, other in combinations(items, 2):
            assert bool(set(found[one]) & set(found[other])) == ((one, other) not in apart)
        joined = set(combinations(items, 2)) - set(apart)
        assert len(set("".join(found.values()))) == len(maximal_cliques(items, joined))
    assert letters("zyx", [("z", "x")]) == {"z": "a", "y": "ab", "x": "b"}
    many = letters(list(map(str, range(60))), combinations(map(str, range(60)), 2))
    assert not any({*one} & {*other} for one, other in combinations(many.values(), 2))  # they never run out
