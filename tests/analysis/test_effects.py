"""Effects across tasks: a planted excess, coverage, invariances, and what is left out with a reason."""

import numpy as np
import pytest
from scipy import stats

from genbench.analysis.effects import Task, effects, excess
from genbench.analysis.significance import compare_all


def make(name, columns, floor=None, better="lower"):
    """Return a task of {method: values by seed}."""
    models = {method: dict(enumerate(values)) for method, values in columns.items()}
    floor = dict(enumerate([1.0, 1.01, 0.99] if floor is None else floor))
    return Task(name, better, models, floor, compare_all(models, better, floor))


def planted(stream, tasks, ratio, spread=0.0, seeds=5):
    """Draw tasks on which a method has a multiple of the baseline's excess, which varies over tasks."""
    made = []
    for index in range(tasks):
        scale, own = 10.0 ** stream.normal(), ratio * np.exp(spread * stream.normal())
        values = {
            name: scale * (1 + e * (1 + 0.02 * stream.normal(size=seeds))) for name, e in (("cfm", 1.0), ("mine", own))
        }
        made.append(make(f"t{index}", values, scale * (1 + 0.001 * stream.normal(size=seeds))))
    return made


def test_the_ratio_is_that_of_excesses_and_its_interval_that_of_t_over_tasks():
    found = effects([make("a", {"cfm": [2.0, 2.02, 1.98], "m": [1.5, 1.52, 1.48]}),
                     make("b", {"cfm": [3.0, 3.02, 2.98], "m": [1.5, 1.52, 1.48]})], "cfm")  # fmt: skip
    first, second = found.summaries
    assert (first.method, second.method, second.ratio) == ("m", "cfm", 1.0)
    logs = np.log([0.5, 0.25])
    assert first.ratio == pytest.approx(np.exp(logs.mean()))
    low, high = stats.t.interval(0.95, 1, logs.mean(), stats.sem(logs))
    assert (first.low, first.high) == pytest.approx((np.exp(low), np.exp(high)))
    lower = make("a", {"cfm": [2.0, 2.02, 1.98], "m": [1.5, 1.52, 1.48]})
    higher = make("a", {"cfm": [0.0, -0.02, 0.02], "m": [0.5, 0.48, 0.52]}, better="higher")
    assert effects([higher], "cfm").summaries[0].ratio == pytest.approx(effects([lower], "cfm").summaries[0].ratio)
    task = make("a", {"cfm": [2.0, 2.02, 1.98], "m": [0.9, 0.91, 0.92]})
    assert excess(task, "m").value == pytest.approx(stats.sem([1.0, 1.01, 0.99]))  # at the floor, the floor's error
    assert excess(task, "cfm").value == pytest.approx(1.0)


@pytest.mark.parametrize("tasks", [4, 6, 8])
def test_the_interval_has_the_ratio_that_was_planted_in_nineteen_of_twenty_cases(tasks):
    stream, times, seeds, ratio = np.random.default_rng(tasks), 1000, 5, 0.6
    own = ratio * np.exp(0.4 * stream.normal(size=(times, tasks)))  # the ratio varies over tasks
    scale = 10.0 ** stream.normal(size=(times, tasks, 1))
    excess = np.stack([np.ones_like(own), own], axis=-1)[..., None] * scale[..., None]
    values = 5 * scale[..., None] + excess * (1 + 0.02 * stream.normal(size=(times, tasks, 2, seeds)))
    floors = scale * (5 + 0.002 * stream.normal(size=(times, tasks, seeds)))
    compared = make("any", {"cfm": [2.0, 2.1], "mine": [1.0, 1.1]}).compared  # for wins and letters, which are not read
    held = []
    for drawn, real in zip(values.tolist(), floors.tolist(), strict=True):
        made = [
            Task(str(index), "lower", {"cfm": dict(enumerate(cfm)), "mine": dict(enumerate(mine))}, floor, compared)
            for index, ((cfm, mine), floor) in enumerate(
                zip(drawn, (dict(enumerate(row)) for row in real), strict=True)
            )
        ]
        found = effects(made, "cfm")
        (summary,) = (each for each in found.summaries if each.method == "mine")
        assert len(found.scored) == tasks
        held.append(summary.low <= ratio <= summary.high)
    assert np.mean(held) == pytest.approx(0.95, abs=3 * (0.05 * 0.95 / times) ** 0.5)


def test_excesses_below_the_floor_are_marked_and_not_ordered_among_themselves():
    below = {"m": [0.9, 0.92, 0.88], "n": [0.5, 0.52, 0.48]}
    found = effects([make(name, {"cfm": [2.0, 2.02, 1.98], **below}) for name in "abcd"], "cfm")
    m, n, cfm = (next(s for s in found.summaries if s.method == method) for method in ("m", "n", "cfm"))
    assert (m.clipped, n.clipped, cfm.clipped) == (tuple("abcd"), tuple("abcd"), ())
    assert (m.ratio, m.letters) == (n.ratio, n.letters)
    assert not {*m.letters} & {*cfm.letters}


def test_methods_at_the_floor_on_all_tasks_are_not_ordered_among_themselves():
    def near(excess, wide=0.3):
        return [1 + excess - wide, 1 + excess, 1 + excess + wide]

    tasks = [make(n, {"cfm": [2.0, 2.02, 1.98], "m": near(0.02 + e), "n": near(0.1 + 2 * e), "o": near(0.3, 0.01)})
             for n, e in zip("abcdef", (0.001, 0.002, 0.0, 0.001, 0.003, 0.002), strict=True)]  # fmt: skip
    found = {s.method: s for s in effects(tasks, "cfm").summaries}
    assert {method for method, own in found.items() if own.at_floor} == {"m", "n"}
    assert not any(own.clipped for own in found.values())
    assert found["m"].high < found["n"].low  # a test over tasks alone would tell them apart
    assert {*found["m"].letters} & {*found["n"].letters}
    assert not {*found["m"].letters} & {*found["o"].letters}


def test_scales_of_tasks_and_their_order_do_not_matter():
    tasks = planted(np.random.default_rng(1), 5, 0.7, spread=0.2)
    scaled = [make(t.name, {m: 50 * np.array([*v.values()]) for m, v in t.models.items()},
                   50 * np.array([*t.floor.values()])) for t in reversed(tasks)]  # fmt: skip
    for one, other in zip(effects(tasks, "cfm").summaries, effects(scaled, "cfm").summaries, strict=True):
        assert one.method == other.method
        assert (one.ratio, one.low, one.high) == pytest.approx((other.ratio, other.low, other.high))


def test_an_added_method_changes_no_ratio_and_turns_no_pair_over():
    """A further method adds pairs to Holm's correction: letters may merge, but no order and no interval may change."""
    stream, lost, kept = np.random.default_rng(7), 0, 0
    for number in range(40):
        tasks = planted(stream, 6, 0.3 if number % 2 else 0.9, spread=0.3)
        before = effects(tasks, "cfm")
        wider = []
        for task in tasks:
            models = {**task.models, **{f"new {i}": dict(enumerate(2 + 3 * stream.random(5))) for i in range(4)}}
            wider.append(task._replace(models=models, compared=compare_all(models, "lower", task.floor)))
        after = effects(wider, "cfm")
        assert after.scored == before.scored
        old = [each for each in after.summaries if not each.method.startswith("new")]
        assert [each[:4] for each in old] == [each[:4] for each in before.summaries]  # order, ratios and intervals
        (was, now) = ({*one.letters}.isdisjoint(two.letters) for one, two in (before.summaries, old))
        assert was or not now  # nothing is separated only because of others
        lost, kept = lost + (was and not now), kept + (was and now)
    assert lost  # the correction was wider
    assert kept


def test_a_floor_of_the_same_real_images_for_all_seeds_is_constant_and_scores_all_above_it():
    task = make("images", {"cfm": [3.0, 3.02, 2.98], "m": [2.0, 2.01, 1.99]}, [1.0, 1.0, 1.0])
    assert effects([task], "cfm").summaries[0].ratio == pytest.approx(0.5)


@pytest.mark.parametrize("rounding", [0.0, 1e-8])
def test_an_excess_over_a_floor_that_does_not_vary_is_raised_to_its_own_error(rounding):
    """A method that copies the data lacked the task, or had a ratio of 1e-9: the error of the floor was rounding."""
    values = {"cfm": [3.0, 3.02, 2.98], "memo": [0.5, 0.53, 0.47], "near": [1.0, 1.02, 0.98 + 3e-9]}
    found = effects([make("images", values, [1.0, 1.0 + rounding, 1.0 - rounding])], "cfm").summaries
    ratios = {each.method: each.ratio for each in found}
    assert ratios == pytest.approx({"cfm": 1.0} | {m: stats.sem(values[m]) / 2 for m in ("memo", "near")})
    assert [each.clipped for each in found] == [("images",), ("images",), ()]


def test_a_baseline_at_the_floor_scores_no_task_however_alike_value_and_floor_vary():
    """Its excess was raised to the floor's error first, which exceeds three small paired errors."""
    floor, shift = np.array([4.0, 6.0, 5.0, 3.5]), np.array([0.02, -0.02, 0.01, -0.01])
    for above, scored in ((shift, ()), (shift - 0.5, ()), (shift + 0.5, ("shared",))):
        assert effects([make("shared", {"cfm": floor + above}, floor)], "cfm").scored == scored


def test_a_baseline_with_an_equal_excess_at_all_seeds_is_above_the_floor_if_it_is_worse():
    for above, scored in ((1.0, ("counts",)), (0.0, ()), (-1.0, ())):
        columns = {"cfm": [2.0 + above, 2.25 + above, 1.75 + above]}
        assert effects([make("counts", columns, [2.0, 2.25, 1.75])], "cfm").scored == scored


def test_a_task_on_which_the_baseline_is_not_clear_of_the_floor_scores_nobody():
    near = make("near", {"cfm": [1.01, 1.0, 1.02], "m": [1.0, 1.01, 0.99]})
    far = make("far", {"cfm": [2.0, 2.02, 1.98], "m": [1.5, 1.52, 1.48]})
    found = effects([near, far], "cfm")
    assert (found.scored, found.unscored) == (("far",), ("near",))
    assert found.summaries[0].ratio == pytest.approx(0.5)
    assert found.summaries[0].low is None  # one task has no interval
    assert effects([far], "missing").scored == ()


def test_a_method_without_a_task_has_no_ratio_and_says_which_it_lacks():
    one = make("a", {"cfm": [2.0, 2.02, 1.98], "m": [1.5, 1.52, 1.48], "few": [1.1, 1.2, 1.3]})
    other = make("b", {"cfm": [2.0, 2.02, 1.98], "m": [1.5, 1.52, 1.48], "few": [1.1]})
    few = effects([one, other], "cfm").summaries[-1]
    assert (few.method, few.ratio, few.lacks) == ("few", None, ("b",))


def test_methods_that_are_equal_over_tasks_are_told_apart_in_at_most_one_of_twenty_cases():
    stream, times, wrong = np.random.default_rng(2), 300, 0
    for _ in range(times):
        tasks = []
        for index in range(6):
            values = {f"m{i}": 1 + np.exp(0.3 * stream.normal()) * (1 + 0.02 * stream.normal(size=5)) for i in range(4)}
            tasks.append(make(f"t{index}", values, 1 + 0.001 * stream.normal(size=5)))
        found = effects(tasks, "m0").summaries
        wrong += not set.intersection(*(set(s.letters) for s in found))
    assert 0.01 < wrong / times <= 0.05 + 3 * (0.05 * 0.95 / times) ** 0.5  # and is not idle
