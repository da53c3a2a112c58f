"""The page about short and long trainings matches the records, and its tables follow the values."""

import re
from itertools import combinations

import numpy as np
import pytest
from helpers.published import CARDS, RESULTS, difference, signed, step_costs

from benchmarks.ladder.answers import LARGE, MAIN, count, pairs, within
from benchmarks.ladder.orders import Rung, among, array, complete, named, rungs
from benchmarks.ladder.page import (
    ABOUT_LATENTS,
    LATENTS,
    TRACKS,
    contests,
    early,
    holds,
    latents,
    orders,
    page,
    planned,
    read_ladder,
    sizes,
    wider,
)
from benchmarks.ladder.predictors import read_predictions
from benchmarks.ladder.scores import REGISTERED
from genbench.analysis.significance import compare_all
from genbench.runs.record import read_published

RISING, FALLING = [1.0, 3.0, 9.0, 27.0, 81.0], [81.0, 27.0, 9.0, 3.0, 1.0]
CLOSE, MIXED = [1.0, 1.1, 1.2, 1.3, 1.4], [1.2, 1.0, 1.4, 1.1, 1.3]


def test_the_page_is_made_from_the_records():
    assert page(RESULTS) == (RESULTS / "cheap_predicts_dear.md").read_text("utf-8")


def test_tracks_that_are_not_in_the_table_have_too_few_methods_at_two_budgets():
    others = [path for path in RESULTS.glob("*-v1/records.jsonl.gz") if path.parent.name not in TRACKS]
    assert {path.parent.name for path in others} == {"maps-v1"}
    assert not any(orders(rungs(read_published(path), {})) for path in others)


def test_each_track_with_predictions_says_what_was_registered():
    registered = {track for track in TRACKS if read_predictions(RESULTS / track)}
    assert registered == REGISTERED.keys()


@pytest.mark.parametrize("track", TRACKS)
def test_the_trainings_of_each_budget_of_a_track_are_known(track):
    """A task that the plan calls by another name would count as finished after one training."""
    plan = planned(track)
    for data, ladder in read_ladder(RESULTS, track).items():
        for steps, rung in ladder.items():
            assert {*rung.main} <= plan[named(data), steps].keys()


def test_the_card_of_the_ladder_has_the_numbers_of_the_page():
    page = " ".join((RESULTS / "cheap_predicts_dear.md").read_text("utf-8").split())
    card = " ".join(CARDS["45"].replace("> ", "").split())
    for numbers in (
        r"\*\*(\d+ of \d+) large and (\d+ of \d+) small differences last",
        r"is right for (\d+) of the \d+ large and (\d+) of",
        r"On the 6 tasks .*? it is (\S+) for the long run and (\S+) for the short run: refuted\.",
        r"On all 8, it is (\S+) for the long run and (\S+) for the short run: not refuted\.",
        r"On transport-v1 \(.*?\), (\d+ of \d+) large and (\d+ of \d+) small",
        r"On digits-v1 \(200 to 4,000 steps, 15 methods\), (\d+ of \d+) large and (\d+ of \d+) small",
        r"small differences last\. From 800 steps, (\d+ of \d+) large and (\d+ of \d+) small differences last\.",
        r"first 4 \| methods with all .*? \((\S+ %)\) \| .*? \((\S+ %)\) \| refuted \| none \|",
        r"all 5 \| methods with all .*? \((\S+ %)\) \| .*? \((\S+ %)\) \| refuted",
        r"all 5 \| predicted pairs .*? \((\S+ %)\) \| .*? \((\S+ %)\) \| refuted",
        r"all 5 \| all pairs .*? \((\S+ %)\) \| .*? \((\S+ %)\) \| not refuted",
        r"On single tasks, (\S+ to \S+ %) of the large and (\S+ to \S+ %) of the small ones",
        r"is (\S+) for the short run\. For the mean rank on the other tasks it is (\S+), which is",
        r"which is higher by (\S+ ± \S+) \(nominal 95 % CI half-width over all 8 tasks",
    ):
        (found,) = re.findall(numbers, page)
        assert all(number in card for number in ([found] if isinstance(found, str) else found)), found
    deciding = [names.count("`") // 2 for names in re.findall(r"refuted \| (.*?) \|", page)]
    assert deciding == [0, 0, 0, 2, 5, 6]
    assert "also by two rules that were chosen after values were known, and if any one method is left out" in card
    assert "each of these verdicts is reversed if one method is left out (any of two, of five and of six)" in card
    predicted = read_predictions(RESULTS / MAIN)["ratio"].pairs
    told = [
        among(one, {name for pair in predicted[one.data, one.first.headline] for name in pair})
        for one in contests(read_ladder(RESULTS, MAIN))
        if (one.data, one.first.headline) in predicted
    ]
    seeds = {tuple(array(own).shape for own in complete(one.first.main, one.last.main)) for one in told}
    assert {first for (_, first), _ in seeds} == {10}
    assert {last for _, (_, last) in seeds} == {4, 5}
    assert {methods for (methods, _), _ in seeds} == {11, 12, 13}
    assert "(11 to 13, default settings), sliced W2, 10 and 4 to 5 seeds" in card
    (of_digits,) = (one for one in orders(read_ladder(RESULTS, "digits-v1")) if (one.short, one.long) == (200, 4000))
    turned = [margin.pair for margin in within(pairs([of_digits]), LARGE) if not margin.held]
    assert "all 11 large ones that do not last involve TARFlow or STARFlow with labels" in card
    assert len(turned) == 11
    assert all(any("flow noise=0.1 conditional=true" in name for name in pair) for pair in turned)


def test_the_page_and_the_card_say_which_orders_of_latents_last():
    (one,) = (own for own in orders(read_ladder(RESULTS, LATENTS)) if (own.short, own.long) == (3000, 9000))
    couplings = {name for name in one.first.main if "net=dit" in name and not name.startswith("meanflow")}
    every = pairs([one])
    mixed = [margin for margin in every if len(couplings & {*margin.pair}) == 1]
    others = [margin for margin in every if margin not in mixed]
    assert not within(every, LARGE)
    assert all(margin.held for margin in mixed)
    said = (
        f"form {len(mixed)} pairs with the four other methods. From 3,000 to 9,000 steps, the order of all "
        f"{len(mixed)} lasts, but only {sum(margin.held for margin in others)} of the {len(others)} other orders do. "
        f"{sum(margin.separated for margin in mixed)} of the {one.order.decided} separated pairs are among the "
        f"{len(mixed)}."
    )
    assert said in " ".join(ABOUT_LATENTS.split())
    card = f"on latents-v1 (none is large), {count(every)} from 3,000 to 9,000 steps, and of six methods "
    later = [count(pairs([own])) for own in orders(read_ladder(RESULTS, LATENTS)) if own.long == 27_000]
    assert card + "{} from 3,000 to 27,000 and {} from 9,000 (card 48);".format(*later) in " ".join(CARDS["45"].split())


def test_the_card_of_the_last_budget_of_latents_has_the_numbers_of_the_page():
    page, card = " ".join((RESULTS / "cheap_predicts_dear.md").read_text("utf-8").split()), CARDS["48"]
    longest = [own for own in orders(read_ladder(RESULTS, LATENTS)) if own.long == 27_000]
    (short, late), found = (count(pairs([own])) for own in longest), longest[-1].order
    assert (late, found.decided, found.held) == ("15 of 15", found.decided, found.decided)
    assert f"all 15 pairs keep the order of their means (Kendall's tau {found.tau:.2f}), from 3,000 " in card
    assert f"steps {short} (tau {longest[0].order.tau:.2f})" in card
    scores = r"cifar10, fd-efficientnet_lite0 \| 15 of 15 \| 3 \| (\S+ \(p = \S+\)) \| (\S+ \(p = \S+\)) \|"
    (own,) = re.findall(scores, page)
    assert "with Brier scores of {} for `held` and {} for `ratio`".format(*own) in card
    assert f"{found.decided} of the 15 pairs are separated after 9,000 steps" in card
    (wide,) = (each for each in orders(read_ladder(RESULTS, LATENTS)) if (each.short, each.long) == (3000, 9000))
    lost = sum(not margin.held for margin in pairs([wide]))
    assert f"of the nine methods with 3,000 and 9,000 steps, {lost} of {len(pairs([wide]))} pairs turn" in card


def test_differences_of_one_size_are_counted_together(contest):
    *_, one, other = sizes([[contest("moons", RISING, RISING)], [contest("rings", CLOSE, MIXED)]]).splitlines()
    assert one == "| moons | 100 to 1,000 | 0 of 0 | 0 of 0 | 0 of 0 | 4 of 4 | 6 of 6 |"
    assert sum(int(cell.split(" of ")[1]) for cell in other.split("|")[3:-1]) == 10


def test_a_flow_that_catches_up_is_told_by_its_card_and_the_page_of_rankings():
    flow, first = "starflow noise=0.1 conditional=true", "cfm conditional=true"
    task, card = ("digits-v1", "digits", "fd-digits_cnn"), " ".join(CARDS["46"].split())
    shown, told, ranks, apart, names = [], [], [], [], {}
    for steps, rung in sorted(read_ladder(RESULTS, "digits-v1")["digits"].items()):
        means = {name: np.mean([*values.values()]) for name, values in rung.main.items()}
        names[steps] = ordered = sorted(means, key=means.__getitem__)
        assert ordered[0] == first
        ranks.append(ordered.index(flow) + 1)
        told.append(signed(*difference(*task, flow, first, steps=steps), 1))
        apart.append(compare_all(rung.main, "lower").apart(flow, first))
        shown.append(" / ".join(f"{means[name]:.1f}" for name in (first, flow, "sdcfm", "cfm")))
    assert "is 14th of 15 methods after 200 steps and 2nd after 4,000" in card
    letters = compare_all(rung.main, "lower").letters
    assert sum("a" not in own for own in letters.values()) == 3
    assert "after 4,000 steps, only 3 of the other 14 methods are separated from the first" in card
    assert "TARFlow with labels rises from 13th to 5th" in card
    assert ordered.index("tarflow noise=0.1 conditional=true") == 4
    assert names[200].index("tarflow noise=0.1 conditional=true") == 12
    assert (ranks, len(means)) == ([14, 8, 2], 15)
    assert "{} after 200 steps, {} after 800, {} after 4,000".format(*told) in card
    assert "separated after 200 and 800 steps, not after 4,000" in card
    assert apart == [True, True, False]
    costs = step_costs("digits-v1")["digits"]
    assert f"a step takes {costs[flow] / costs['cfm']:.1f} times the CPU time of CFM's" in card
    assert f"the gap is {signed(*difference(*task, flow, first, table='tuned'), 1)};" in card
    behind = signed(*difference(*task, "starflow noise=0.1", "cfm", steps=4000), 1).removeprefix("+")
    assert f"STARFlow without labels is 13th after 4,000 steps, with an FD above CFM's by {behind} (not" in card
    assert ordered.index("starflow noise=0.1") == 12
    assert not compare_all(rung.main, "lower").apart("starflow noise=0.1", "cfm")
    four = combinations((first, flow, "sdcfm", "cfm"), 2)
    assert not any(compare_all(rung.main, "lower").apart(*pair) for pair in four)
    favored = "exact class shares favor the two with labels, on real images [by about 1.9](../docs/concepts.md#floor)"
    assert f"| {shown[0]} | {shown[2]} (not separated; {favored}) |" in (RESULTS / "rankings.md").read_text("utf-8")


def test_only_data_sets_at_the_longest_budget_are_compared(contest):
    long, short = contest("moons", RISING, RISING), contest("rings", RISING, RISING)
    ladder = {"moons": {100: long.first, 1000: long.last}, "rings": {100: short.first, 500: short.last}}
    assert [own.data for own in contests(ladder)] == ["moons"]
    assert contests({}) == contests({"moons": {100: long.first}}) == []
    few = long.last._replace(numbers={"w2": {"m0": long.last.main["m0"]}})  # all others failed
    assert [own.long for own in contests({"moons": {**ladder["moons"], 2000: few}})] == [1000]


def test_the_shortest_budget_that_is_finished_counts(contest):
    found = contest("moons", RISING, RISING)
    begun = found.first._replace(unfinished=("m0 (seed 1)",))
    ladder = {50: begun, 100: found.first, 1000: found.last, 2000: begun}
    assert [(own.short, own.long) for own in contests({"moons": ladder})] == [(100, 1000)]


def test_each_two_budgets_have_an_order(contest):
    found = contest("moons", RISING, FALLING)
    rows = holds([orders({"moons": {100: found.first, 500: found.first, 1000: found.last}})]).splitlines()[2:]
    assert [row.split(" | ")[1] for row in rows] == ["100 to 500", "100 to 1,000", "500 to 1,000"]
    assert [row.split(" | ")[4] for row in rows] == ["1.00 (1.00 to 1.00)", *["-1.00 (-1.00 to -1.00)"] * 2]


def test_budgets_of_more_methods_than_the_longest_one_has_are_shown_too(contest):
    found = contest("moons", [*RISING, 243.0], [*RISING, 243.0])
    fewer = {name: own for name, own in found.last.main.items() if name != "m0"}
    longest = found.last._replace(numbers={found.last.headline: fewer})
    for last, budgets in ((longest, [(100, 500), (100, 1000)]), (found.last, [(100, 1000)])):
        ladder = {"moons": {100: found.first, 500: found.first, 1000: last}}
        heads = [text for text in early("some", wider(ladder)) if text.startswith("On ")]
        assert heads == [f"On some, {short} to {long:,} steps:\n" for short, long in budgets]
        assert [own.long for own in contests(ladder)] == [1000]


def test_two_networks_are_compared_after_each_finished_budget(contest):
    """A budget in training would compare the methods that train first."""
    one, other = {0: 1.0, 1: 3.0}, {0: 2.0, 1: 6.0}
    values = {"cfm net=dit": one, "wcfm net=dit": other, "cfm net=unet": one, "wcfm net=unet": other}
    both = Rung("fd", {"fd": values})
    begun = both._replace(unfinished=("cfm (seed 2)",))
    shown = [*latents({"photos": {100: both, 500: begun, 1000: both}})]
    assert [text for text in shown if text.startswith("Two networks")] == [
        "Two networks, after 100 steps:\n",
        "Two networks, after 1,000 steps:\n",
    ]
    assert sum("| cfm - wcfm | " in text for text in shown) == 2
    single = contest("photos", RISING, FALLING)
    assert [*latents({"photos": {100: single.first, 1000: single.last}})] == []
