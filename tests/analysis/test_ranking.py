import numpy as np
from scipy import stats

from genbench.analysis.paired_tests import paired
from genbench.analysis.ranking import against_best, marks, ranks


def test_a_model_that_another_beats_on_their_common_seeds_is_not_best():
    few = {0: 1.0, 1: 1.11, 2: 1.2}
    many = {0: 0.5, 1: 0.6, 2: 0.7, **{seed: 5 + seed / 100 for seed in range(3, 10)}}
    assert against_best({"few": few, "many": many}, "lower")["many"].mean < 0
    assert marks({"few": few, "many": many}, "lower") == {}
    third = {seed: value + 2 + value / 100 for seed, value in few.items()}
    assert marks({"few": few, "many": many, "third": third}, "lower") == {"few": "tie", "many": "tie"}


def test_few_seeds_of_the_best_model_do_not_turn_worse_models_into_ties():
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 10))
    few = {0: 0.0, 1: 1.5, 2: 1.2}  # the best mean, which three seeds tell from nothing
    good, bad = (dict(enumerate(mean + noise[i])) for i, mean in ((0, 1.5), (1, 3.0)))
    assert paired(bad, few).p * 2 > 0.05 > 3 * paired(bad, good).p
    assert marks({"few": few, "good": good}, "lower") == {}
    assert marks({"few": few, "good": good, "bad": bad}, "lower") == {"few": "tie", "good": "tie"}
    assert marks({"good": good, "bad": bad}, "lower") == {"good": "best"}


def test_what_cannot_be_tested_is_not_tied_for_best():
    jitter = np.random.default_rng(0).normal(size=(2, 3)) / 100
    good, bad = (dict(enumerate(mean + row)) for mean, row in zip((1, 2), jitter, strict=True))
    found = {"good": good, "bad": bad}
    assert marks(found, "lower") == {"good": "best"}
    for alone in ({2: 5359.0}, {2: 0.1}, {2: 3.0, 3: 3.1}, {7: 3.0, 8: 3.1}):
        assert marks({**found, "alone": alone}, "lower") == {"good": "best"}
    assert marks({"alone": {0: 0.1}, "good": good}, "lower") == {}


def test_ties_follow_the_paired_test_with_holms_correction():
    shared = np.random.default_rng(0).normal(0, 1, 10)  # by their seed; far larger than what tells the models apart
    jitter = 0.05 * (-1.0) ** np.arange(10)
    gaps = {"best": 0.0, "near": 0.01, "far": 0.3, "farther": 0.5}
    found = {name: dict(enumerate(gap + shared + jitter * (name != "best"))) for name, gap in gaps.items()}
    assert marks(found, "lower") == {"best": "tie", "near": "tie"}
    assert marks({name: found[name] for name in ("best", "far", "farther")}, "lower") == {"best": "best"}
    assert marks({name: found[name] for name in ("best", "near")}, "lower") == {}
    p = {m: stats.ttest_rel(list(found[m].values()), list(found["best"].values())).pvalue for m in ("near", "far")}
    assert p["near"] > 0.05 > 3 * p["far"]
    assert stats.ttest_ind(list(found["farther"].values()), list(found["best"].values())).pvalue > 0.05


def test_holm_is_stricter_than_an_uncorrected_test():
    best, other = {s: 0.0 for s in range(4)}, {0: 0.1, 1: 0.5, 2: 0.3, 3: 0.25}
    p = stats.ttest_1samp(list(other.values()), 0).pvalue
    assert 0.025 < p < 0.05
    assert marks({"a": best, "b": other}, "lower") == {"a": "best"}
    worse = {s: 9.0 + s / 100 for s in best}
    more = marks({"a": best, "b": other, "c": {s: v * 1.01 for s, v in other.items()}, "d": worse}, "lower")
    assert more == {"a": "tie", "b": "tie", "c": "tie"}


def test_equal_models_share_the_first_place():
    assert marks({"a": {0: 1.0, 1: 1.0}, "b": {0: 1.0, 1: 1.0}, "c": {0: 2.0, 1: 2.0}}, "lower") == {
        "a": "tie",
        "b": "tie",
    }
    assert marks({"a": {0: 1.0, 1: 1.0}, "b": {0: 1.0, 1: 1.0}}, "lower") == {}


def test_ranks_after_the_first_are_those_of_the_rest():
    jitter = np.random.default_rng(0).normal(size=(3, 12)) / 100
    found = {name: dict(enumerate(place + row)) for name, place, row in zip("abc", (0, 1, 2), jitter, strict=True)}
    assert ranks(found, "lower") == {"a": 1, "b": 2, "c": 3}
    assert ranks(found, "higher") == {"c": 1, "b": 2, "a": 3}
    assert ranks({"a": {0: 1.0}, "b": {0: 2.0}}, "lower") == {"a": 1, "b": 1}  # one seed tells nothing
