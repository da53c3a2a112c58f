"""What is said about a track follows its tables, and names what would refute it."""

import re

import numpy as np
import pytest
from helpers.boards import with_heat
from helpers.tracks import EXCESS, TRACK, board_of, planted, texts

from genbench.analysis.significance import compare_all
from genbench.report.track_board import Contest
from genbench.report.track_cells import Cell
from genbench.report.track_sentences import flipped, places, sentences, separations
from genbench.report.track_table import across_table


def test_the_sentences_names_the_first_method_and_what_would_refute_it(board):
    wins, *_ = sentences(board)
    assert places(board) == [wins]
    assert sentences(board._replace(shown=(20, 50))) == sentences(board)  # a budget that ranks nobody hides no other
    low, high = texts(across_table(board), "otcfm")[0].split()[1].strip("()").split("-")
    assert wins.startswith(
        "On some after 20 training steps with each method's own sampler, otcfm wins: it is separated from every "
    )
    assert f" 0.49 times cfm's (geometric mean over 2 tasks, 95 % interval {low}-{high}). " in wins
    assert wins.endswith(
        " This ranking is refuted if another method has a lower ratio in a repeat with 5 other seeds, or is not "
        "separated from otcfm in tests over 2 other tasks. Nothing is claimed for 50 steps, where cells are missing."
    )


def test_the_sentences_names_no_winner_where_the_first_is_not_separated(tmp_path, monkeypatch):
    monkeypatch.setitem(EXCESS, "nsf", EXCESS["otcfm"])
    board = board_of(tmp_path, planted())
    wins, *_ = sentences(board)
    found = re.match("On some .*, (otcfm|nsf) comes first but is not separated from (nsf|otcfm)\\. ", wins)
    assert found is not None
    assert f"ther seeds, or if tests over 2 other tasks separate {found[1]} from {found[2]}. " in wins
    monkeypatch.setattr("genbench.report.track_sentences.NAMED", 0)  # too many to name
    (wins,) = places(board)
    assert "t is not separated from 1 other. Its " in wins
    assert f" separate {found[1]} from one of these 1 other. " in wins


def test_a_first_method_at_the_floor_is_said_to_be_there(tmp_path, monkeypatch):
    """Its ratio is only the best that the floor's error supports; the sentence left that to a sign in the table."""
    said = "), at the floor."
    assert said not in sentences(board_of(tmp_path, planted()))[0]
    monkeypatch.setitem(EXCESS, "otcfm", -0.04)
    assert f"{said} " in sentences(board_of(tmp_path / "near", planted()))[0]


@pytest.mark.parametrize("kind", [{"model": "cfm"}, {"data": "moons"}])
def test_the_sentences_needs_two_methods_and_two_tasks(tmp_path, kind):
    assert sentences(board_of(tmp_path, [r for r in planted() if kind.items() <= r["labels"].items()])) == []


def test_the_sentences_say_of_each_column_what_its_letters_say(board):
    *_, own = sentences(board)
    letters = {s.method: {*s.letters} for s in board.heat(20, None).effects.summaries}
    apart = {method: not letters[method] & letters["cfm"] for method in ("otcfm", "nsf")}
    assert apart == {"otcfm": True, "nsf": True}
    assert own == (
        "Separated from cfm across tasks: otcfm is better; nsf is worse. "
        "Not ranked: vp (4 of 5 seeds), reflow (unsupported), wcfm (missing)."
    )


def test_a_shorter_budget_has_a_sentence_of_its_own(tmp_path):
    board = board_of(tmp_path, [*planted(), *planted(50)])
    both = sentences(board)
    assert [*separations(board)] == [50, 20]
    assert both[2] == " ".join([places(board)[1], separations(board)[20]])
    assert both[2] == (
        "After 20 steps, otcfm wins: it is separated from every other ranked method. This ranking is refuted likewise, "
        "with 5 other seeds or 2 other tasks. Separated from cfm across tasks: otcfm is better; nsf is worse. Not "
        "ranked: vp (4 of 5 seeds), reflow (unsupported), wcfm (missing)."
    )
    heat = board.heat(20, None)
    alike = tuple(summary._replace(letters="a" if summary.letters else "") for summary in heat.effects.summaries)
    changed = with_heat(board, heat, effects=heat.effects._replace(summaries=alike))
    assert "Separated from cfm on single tasks only: otcfm is better; nsf is worse. Not " in sentences(changed)[2]


def test_tasks_that_separate_no_pair_are_too_few_for_that(board):
    heat = board.heat(20, None)
    alike = tuple(summary._replace(letters="a" if summary.letters else "") for summary in heat.effects.summaries)
    same = heat.effects._replace(summaries=alike)
    first, own, *_ = sentences(with_heat(board, heat, effects=same))
    assert first.startswith("On some ")
    assert ", otcfm comes first but is not separated from cfm or nsf. " in first
    assert own.startswith(
        "No method is separated from cfm across tasks. "
        "Separated from cfm on single tasks only: otcfm is better; nsf is worse. Not ranked: vp"
    )
    worse = tuple(each._replace(letters="b") if each.method == "nsf" else each for each in alike)
    _, own, *_ = sentences(with_heat(board, heat, effects=heat.effects._replace(summaries=worse)))
    assert own.startswith(
        "Separated from cfm across tasks: nsf is worse. "
        "Separated from cfm on single tasks only: otcfm is better. Not ranked: vp"
    )
    last = heat.contests[-1]
    turned = last.pairs._replace(p={(b, a) if "otcfm" in (a, b) else (a, b): p for (a, b), p in last.pairs.p.items()})
    mixed = (*heat.contests[:-1], last._replace(pairs=turned))
    _, own, *_ = sentences(with_heat(board, heat, effects=same, contests=mixed))
    assert own.startswith(
        "No method is separated from cfm across tasks. "
        "Separated from cfm on single tasks only: nsf is worse; otcfm is better on some and worse on others. Not "
    )
    near = tuple(c._replace(pairs=c.pairs._replace(p=dict.fromkeys(c.pairs.p, 1.0))) for c in heat.contests)
    _, own, *_ = sentences(with_heat(board, heat, effects=same, contests=near))
    assert own.startswith("No method is separated from cfm across tasks. Not ranked: vp")


def test_a_method_that_lacks_a_task_is_named_with_its_wins_over_the_one_that_is_said_to_lead(tmp_path):
    """The spline flow was separated as better than the method that the sentence named, and the sentence left it out."""
    records = [r for r in planted() if (r["labels"]["model"], r["labels"]["data"]) not in {("otcfm", "pinwheel")}]
    first, own, *_ = sentences(board_of(tmp_path, records))
    assert first.startswith(
        "On some after 20 training steps with each method's own sampler, cfm wins: it is separated from every"
    )
    assert "Its excess" not in first  # it would be compared with itself
    assert ", or is not separated from cfm in tests over 2 other tasks. " in first
    assert "otcfm (lacks pinwheel; better than cfm on 1 of 1), " in own


def test_pairs_of_which_sign_flips_and_t_tests_say_different_things_are_counted():
    """One far difference hides a sure sign from the t test: p = 0.14, where sign flips have 2/64."""

    def contest(seeds, floor):
        far = np.where(np.arange(seeds) < seeds - 1, 1.0, 9.0)
        near = 0.1 * np.arange(seeds)
        values = {name: dict(enumerate(own)) for name, own in (("a", near), ("b", near + far), ("c", 2 * near + 100))}
        pairs = compare_all(values, "lower", floor)
        return Contest("some", "w2", "lower", "", {m: Cell(own, "") for m, own in values.items()}, floor or {}, pairs)

    said = "Sign flips and t tests disagree at 5 % before correction in"
    assert flipped([contest(6, None)]) == [f"{said} 1 of 3 pairs."]
    assert flipped([contest(6, dict(enumerate(8.0 + np.arange(6))))]) == [f"{said} 0 of 2 pairs."]  # a and b: at it
    assert flipped([contest(6, None), contest(5, None)]) == [f"{said} 1 of 3 pairs."]
    assert flipped([contest(5, None)]) == ["Too few seeds to check the t tests by sign flips."]
    assert flipped([]) == []


def test_a_baseline_with_one_seed_is_said_to_have_no_standard_error(tmp_path):
    """It was said only not to be clearly above the floor, however far above it was."""
    (first, *_) = track_of_seeds(tmp_path, "[0]").legend
    assert "cfm is not clearly above the floor or has one seed, hence no standard error: " in first
    (first, *_) = track_of_seeds(tmp_path, "[0, 1, 2]").legend
    assert "one seed" not in first


def track_of_seeds(folder, seeds):
    """Return the table across tasks of a track with these seeds."""
    return across_table(board_of(folder / seeds, planted(), track=TRACK.replace("[0, 1, 2, 3, 4]", seeds)))
