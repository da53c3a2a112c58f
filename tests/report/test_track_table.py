"""The tables of a track: their size, their words, and what stands below them."""

import json
import re

import pytest
from helpers.tracks import EXCESS, OWN, TRACK, board_of, lost, planted, record_of

from genbench.report.track_table import (
    METHODS,
    across_table,
    cost_table,
    likelihood_table,
    sentences,
    task_table,
    track_tables,
    turn_table,
)


def texts(table, label):
    (row,) = [row for row in table.rows if row.label == label]
    return [cell.text or f"{cell.mean:.1f}" for cell in row.cells]


@pytest.fixture
def board(tmp_path):
    return board_of(tmp_path, planted())


def test_across_tasks_a_method_has_its_ratio_or_one_word(board, tmp_path):
    table = across_table(board)
    assert [column.title for column in table.columns] == ["NFE 1", "NFE 4", "own sampler"]
    assert texts(table, "real data") == ["0", "0", "0"]
    assert texts(table, "cfm") == ["1.00"] * 3
    assert texts(table, "nsf")[0] == "takes 2"
    assert texts(table, "vp") == ["4 of 5 seeds"] * 3
    assert texts(table, "reflow") == ["unsupported"] * 3
    assert texts(table, "wcfm") == ["missing"] * 3
    ratio, interval = texts(table, "otcfm")[2].split()
    low, high = map(float, interval.strip("()").split("-"))
    assert low <= float(ratio) <= high
    assert float(ratio) == pytest.approx(EXCESS["otcfm"], abs=0.02)
    assert table.legend[1].startswith(
        "Cells (a method on a task) with all seeds: after 20 steps 6 of 12 (2 incomplete, 2 unsupported, 2 missing), "
        "after 50 steps 0 of 12"
    )
    records = planted()
    for record in records:
        if (record["labels"]["model"], record["labels"]["data"]) == ("cfm", "pinwheel"):
            record["results"] = [row for row in record["results"] if row["nfe"] != 1]
    text = across_table(board_of(tmp_path, records)).legend[0]
    assert "over 1 task (moons) in 20 steps, NFE 1; 2 tasks (moons, pinwheel) in 20 steps, NFE 4, 20 steps, own" in text


def test_the_sentences_names_the_first_method_and_what_would_refute_it(board):
    wins, refuted, *_ = sentences(board)
    assert sentences(board._replace(shown=(20, 50))) == sentences(board)  # a budget that ranks nobody hides no other
    low, high = texts(across_table(board), "otcfm")[2].split()[1].strip("()").split("-")
    assert wins.startswith(
        "On some after 20 training steps, each method with its own sampler, otcfm wins: it is separated from every "
    )
    assert f"0.49 times the excess of cfm (95 % interval {low} to {high})." in wins
    assert refuted == (
        "A repeat with 5 other seeds on the same tasks refutes this if another method is then not separated from "
        "otcfm. Nothing is claimed for 50 steps, where cells are missing."
    )


def test_the_sentences_names_no_winner_where_the_first_is_not_separated(tmp_path, monkeypatch):
    monkeypatch.setitem(EXCESS, "nsf", EXCESS["otcfm"])
    wins, refuted, *_ = sentences(board_of(tmp_path, planted()))
    found = re.match("On some .*, (otcfm|nsf) comes first but is not separated from (nsf|otcfm)\\. ", wins)
    assert found is not None
    assert f" if another method is then ahead of {found[1]} and separated from {found[1]}. " in refuted


@pytest.mark.parametrize("kind", [{"model": "cfm"}, {"data": "moons"}])
def test_the_sentences_needs_two_methods_and_two_tasks(tmp_path, kind):
    assert sentences(board_of(tmp_path, [r for r in planted() if kind.items() <= r["labels"].items()])) == []


def test_the_shortest_and_the_longest_budget_stand_side_by_side_in_seven_columns(tmp_path):
    board = board_of(tmp_path, [*planted(), *planted(50)])
    table = across_table(board, METHODS)
    assert [column.title for column in table.columns] == [
        f"{steps} steps, {regime}" for steps in (20, 50) for regime in ("NFE 1", "NFE 4", "own sampler")
    ]
    assert across_table(board, 2).legend[1].endswith("; not shown: nsf, vp, reflow, wcfm.")
    assert [table.title for table in track_tables(board)][1:] == [
        f"some, default settings: {steps} steps (5 seeds), {what}"
        for steps in (20, 50)
        for what in ("own sampler", "cost")
    ]


def test_two_budgets_are_compared_on_the_tasks_that_are_whole_at_both(tmp_path):
    moons = [record for record in planted(50) if record["labels"]["data"] == "moons"]
    half = [record for record in planted(50) if record["labels"]["data"] == "pinwheel"][::2]
    for record in moons:  # the order of methods turns over
        if record["labels"]["model"] == "otcfm":
            record["results"] = [row | {"value": row["value"] + 0.9} for row in record["results"]]
    table = turn_table(board_of(tmp_path, [*planted(), *moons, *half]))
    assert [column.title for column in table.columns] == ["20 steps", "50 steps"]
    assert "1 task (moons)" in table.legend[0]
    assert [row.label for row in table.rows][:3] == ["cfm", "otcfm", "nsf"]
    short, long = (float(text.split()[0]) for text in texts(table, "otcfm"))
    assert short < 1 < long
    for records in (planted(), [*planted(), *planted(50)]):  # of one budget, and of two whole ones, no table
        assert turn_table(board_of(tmp_path, records)) is None


def test_a_budget_that_is_trained_in_part_changes_no_row_and_no_column(tmp_path):
    part = [r for r in planted(50) if r["labels"]["data"] == "moons" or r["labels"]["model"] != "nsf"]
    for record in part:  # the order of methods turns over
        if record["labels"]["model"] == "otcfm":
            record["results"] = [row | {"value": row["value"] + 9} for row in record["results"]]
    (tmp_path / "whole").mkdir()
    board, before = board_of(tmp_path, [*planted(), *part]), board_of(tmp_path / "whole", planted())
    assert (board.shown, board.models) == ((20,), before.models)
    one, other = across_table(board), across_table(before)
    assert (one.columns, one.rows, one.legend[0]) == (other.columns, other.rows, other.legend[0])
    assert "after 50 steps 5 of 12 (" in one.legend[1]
    assert task_table(board, 50, None).rows != task_table(before, 50, None).rows


def test_costs_are_seconds_and_the_fewest_evaluations_that_reach_the_target(tmp_path):
    (tmp_path / "some.seconds.json").write_text(
        json.dumps({"task": "moons", "machine": "a machine.", "seconds": {"cfm": 1.234, "otcfm": 5}})
    )
    table = cost_table(board_of(tmp_path, planted()), 20)
    assert [column.title for column in table.columns] == ["s / 1,000 steps", "excess", "NFE: moons", "NFE: pinwheel"]
    rows = {row.label: [cell.text for cell in row.cells] for row in table.rows}
    assert rows["cfm"] == ["1.2", "1.00", ">4", ">4"]  # four steps add 1 to the excess, and the target is 1.1
    assert rows["otcfm"][::2] == ["5", ">4"]
    assert rows["vp"][2:] == ["4 of 5 seeds"] * 2
    assert "one model alone on moons, methods in turns; a machine." in table.legend[1]
    near = planted()
    for record in near:
        if record["labels"]["model"] == "otcfm":
            record["results"] = [row | {"value": row["value"] - 0.5 * (row["nfe"] == 4)} for row in record["results"]]
    (tmp_path / "near").mkdir()
    rows = {
        row.label: [cell.text for cell in row.cells] for row in cost_table(board_of(tmp_path / "near", near), 20).rows
    }
    assert (rows["otcfm"][1:], rows["cfm"][1:]) == (["4", "4"], [">4", ">4"])


def test_likelihoods_have_a_table_of_their_own_with_letters_and_the_entropy(tmp_path):
    records = []
    for old in planted():
        model, seed, data = old["labels"]["model"], old["spec"]["seed"], old["labels"]["data"]
        row = {"metric": "nll", "better": "lower", "point": "main", "nfe": None, "n": 64, "solver": None}
        if (value := {"cfm": 2.0, "otcfm": 2.5, "nsf": 0.5}.get(model)) is None:
            row |= {"value": None, "reason": "no likelihood"}
        else:
            row |= {"value": value + 0.01 * OWN[0, seed], "floor": 1.0 + 0.01 * seed, "protocol": "nats"}
            row |= {"details": {"standard_error": 0.01}}
        records.append(record_of(model, data, 20, seed, [*old["results"], row], also=["nll"]))
    board = board_of(tmp_path, records, track=TRACK.replace('["sliced_w2"]', '["sliced_w2", "nll"]'))
    table = likelihood_table(board, 20)
    moons = {row.label: row.cells[0] for row in table.rows}
    assert moons["real data"].mean == pytest.approx(1.02)
    assert (moons["cfm"].letters, moons["otcfm"].letters, moons["reflow"].text) == ("a", "b", "none")
    assert (moons["nsf"].aside, moons["nsf"].letters) == (True, "")  # better than the entropy, which no density is
    assert any("lower than the entropy of the data" in table.notes[number - 1] for number in moons["nsf"].notes)
    assert (moons["wcfm"].text, table.title in [t.title for t in track_tables(board)]) == ("missing", True)


def test_on_a_task_incomplete_cells_are_aside_and_reasons_below(tmp_path):
    table = task_table(board_of(tmp_path, planted(), lost(("vp", 4), ("wcfm", 0))), 20, None)
    cells = {row.label: row.cells[0] for row in table.rows}
    vp, reflow = cells["vp"], cells["reflow"]
    assert (vp.aside, vp.letters, vp.mean) == (True, "", pytest.approx(0.3))
    assert [table.notes[i - 1] for i in vp.notes] == ["failed 1 of 5"]
    assert (reflow.text, table.notes[reflow.notes[0] - 1]) == ("unsupported", "no teacher")
    assert cells["wcfm"].text == "failed 1, missing 4 of 5"
    assert cells["real data"].mean == pytest.approx(0.1, abs=0.01)
    assert {cells[model].letters for model in EXCESS} == {"a", "b", "c"}
    assert table.legend[-1].startswith("Evaluation error divided by the spread over seeds, median: moons ")


def test_the_sentences_say_of_each_column_what_its_letters_say(board):
    *_, own, one, four = sentences(board)
    for text, evaluations in ((one, "1 network evaluation"), (four, "4 network evaluations")):
        assert text.startswith(f"With {evaluations}, otcfm wins: ")
    letters = {s.method: {*s.letters} for s in board.heat(20, None).effects.summaries}
    apart = {method: not letters[method] & letters["cfm"] for method in ("otcfm", "nsf")}
    assert apart == {"otcfm": True, "nsf": True}
    assert own == (
        "Separated from cfm and better: otcfm. Separated from cfm and worse: nsf. "
        "Not ranked: vp (4 of 5 seeds), reflow (unsupported), wcfm (missing)."
    )


def test_tasks_that_separate_no_pair_are_too_few_for_that(board):
    (heat,) = [heat for heat in board.heats if (heat.steps, heat.nfe) == (20, None)]
    alike = tuple(summary._replace(letters="a" if summary.letters else "") for summary in heat.effects.summaries)
    same = heat._replace(effects=heat.effects._replace(summaries=alike))
    first, _, own, *_ = sentences(board._replace(heats=tuple(same if each is heat else each for each in board.heats)))
    assert first.startswith("On some ")
    assert ", otcfm comes first but is not separated from cfm, nsf. " in first
    assert own.startswith("No method is separated from cfm. Not ranked: vp")


def test_a_method_that_lacks_a_task_is_named_with_its_wins_over_the_one_that_is_said_to_lead(tmp_path):
    """The spline flow was separated as better than the method that the sentence named, and the sentence left it out."""
    records = [r for r in planted() if (r["labels"]["model"], r["labels"]["data"]) not in {("otcfm", "pinwheel")}]
    first, refuted, own, *_ = sentences(board_of(tmp_path, records))
    assert first.startswith(
        "On some after 20 training steps, each method with its own sampler, cfm wins: it is separated from every"
    )
    assert " if another method is then not separated from cfm. " in refuted
    assert "otcfm (lacks pinwheel; better than cfm on 1 of 1), " in own
