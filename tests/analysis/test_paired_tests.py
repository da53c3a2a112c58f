"""Paired tests: coverage of intervals, errors of tests, and agreement with SciPy."""

import numpy as np
import pytest
from scipy import stats

from genbench.analysis.paired_tests import detectable, holm, noncentrality, paired


def by_seed(values):
    return dict(enumerate(values))


def alone(values):
    """Compare values with zeros."""
    return paired(by_seed(values), by_seed(0 * np.asarray(values)))


def differences(law, pairs, times, seed=0):
    """Draw differences of mean 0, one experiment a row."""
    stream = np.random.default_rng(seed)
    return {"normal": stream.normal, "laplace": stream.laplace}[law](0, 1, (times, pairs))


def test_a_paired_difference_is_that_of_scipy():
    stream = np.random.default_rng(1)
    one, other = stream.normal(0.5, 1, 6), stream.normal(0, 1, 6)
    found, known = paired(by_seed(one), by_seed(other)), stats.ttest_rel(one, other)
    assert found.p == pytest.approx(known.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(known.confidence_interval(0.95)))
    assert found.pairs == 6


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


@pytest.mark.parametrize("pairs", [5, 10, 20])
@pytest.mark.parametrize("law", ["normal", "laplace"])
def test_type_one_error_of_the_test(law, pairs):
    times = 2000
    found = [alone(row) for row in differences(law, pairs, times)]
    assert all((each.low <= 0 <= each.high) == (each.p > 0.05) for each in found)  # the interval is that of the test
    rate = np.mean([each.p <= 0.05 for each in found])
    assert rate <= 0.05 + 3 * (0.05 * 0.95 / times) ** 0.5
    assert rate >= (0.025 if law == "laplace" else 0.038)  # and is not idle


@pytest.mark.parametrize("pairs", [3, 5, 10])
def test_a_detectable_difference_is_detected_with_80_percent_power(pairs):
    shift = noncentrality(pairs) / pairs**0.5
    seen = [alone(row + shift).p <= 0.05 for row in differences("normal", pairs, 2000)]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.03)
    values = differences("normal", pairs, 1)[0]
    assert detectable(alone(values).error, pairs) == pytest.approx(shift * values.std(ddof=1))


def test_the_detectable_difference_of_a_family_is_detected_with_80_percent_power():
    family, pairs = 9, 5
    rows = differences("normal", pairs, 4000)
    seen = []
    for row in rows:
        shifted = row + detectable(1.0, pairs, family) / pairs**0.5
        nothing = [1.0] * (family - 1)  # p values of the others, none of which is ever rejected
        seen.append(holm([alone(shifted).p, *nothing])[0] <= 0.05)
    assert np.mean(seen) == pytest.approx(0.8, abs=0.03)
    assert detectable(1.0, 10, 26) < detectable(1.0, 9, 26)  # one more seed never hurts


def test_holm_keeps_the_order_and_the_family_error():
    chances = [0.04, 0.001, 0.5, 0.02]
    assert holm(chances) == pytest.approx([0.08, 0.004, 0.5, 0.06])
    assert holm([]) == []
    stream = np.random.default_rng(0)
    wrong = np.mean([min(holm(list(stream.uniform(size=6)))) <= 0.05 for _ in range(4000)])
    assert wrong == pytest.approx(0.05, abs=0.011)
    everything_null_rejected_alone = np.mean(stream.uniform(size=(4000, 6)).min(1) <= 0.05)
    assert everything_null_rejected_alone > 0.2
