"""The tables of a track: their size, their words, and what stands below them."""

import math

import pytest
from helpers.tracks import EXCESS, FLOOR, OWN, TRACK, board_of, lost, planted, record_of, rows_of, texts

from genbench.report.track_board import track_board
from genbench.report.track_cells import Cell, Seconds, ShapeSeconds
from genbench.report.track_table import (
    across_table,
    cost_table,
    likelihood_table,
    task_table,
    track_tables,
)
from genbench.runs.store import Store
from genbench.suites import FOLDER, find


def measured(**seconds):
    shapes = [ShapeSeconds(tasks=["moons", "pinwheel"], seconds=seconds), ShapeSeconds(tasks=["tori"], seconds={})]
    return Seconds(machine="a machine.", load=0.2, cores=2, shapes=shapes)


def test_across_tasks_a_method_has_its_ratio_or_one_word(board, tmp_path):
    table = across_table(board)
    assert [column.title for column in table.columns] == ["own sampler", "NFE 1", "NFE 4", "wins"]
    assert [cell.text for cell in table.rows[0].cells] == ["0", "0", "0", ""]
    assert texts(table, "cfm")[:3] == ["1.00"] * 3
    wins = {row.label: row.cells[3].text for row in table.rows[1:]}  # of three methods, all separated on both tasks
    assert wins == {"otcfm": "100 %", "cfm": "50 %", "nsf": "0 %"} | dict.fromkeys(("vp", "reflow", "wcfm"), "")
    assert texts(table, "nsf")[1] == "takes 2 NFE"
    vp, reflow, wcfm = ([c.text for c in r.cells[:3]] for r in table.rows if r.label in ("vp", "reflow", "wcfm"))
    assert (vp, reflow, wcfm) == (["4 of 5 seeds"] * 3, ["unsupported"] * 3, ["missing"] * 3)
    assert table.notes == ("no teacher",)
    assert {cell.notes for row in table.rows if row.label == "reflow" for cell in row.cells[:3]} == {(1,)}
    ratio, interval = texts(table, "otcfm")[0].split()
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
    assert "geometric mean over 2 tasks (moons, pinwheel) with" in text
    assert text.endswith("not scored, because cfm is not clearly above the floor or lacks seeds: pinwheel (NFE 1).")


def test_the_shortest_and_the_longest_budget_stand_side_by_side(tmp_path):
    board = board_of(tmp_path, [*planted(), *planted(50)])
    regimes = [f"{steps} steps, {regime}" for regime in ("own sampler", "NFE 1", "NFE 4") for steps in (20, 50)]
    assert [column.title for column in across_table(board).columns] == [*regimes, "20 steps, wins", "50 steps, wins"]
    assert texts(across_table(board._replace(seconds=measured(cfm=1.234))), "cfm")[-1] == "1.2"
    assert "; not shown: nsf, vp, reflow, wcfm; " in across_table(board, 2).legend[1]
    first = across_table(board, 4)  # wcfm, which is last, is one of the main methods
    assert [row.label for row in first.rows] == ["real data", "otcfm", "cfm", "nsf", "wcfm"]
    for word in ("unsupported", "not at this budget"):  # then it leaves its row to another method
        none = {"wcfm": Cell({}, word)}
        heats = [
            h._replace(contests=tuple(c._replace(cells={**c.cells, **none}) for c in h.contests)) for h in board.heats
        ]
        first = across_table(board._replace(heats=tuple(heats)), 4)
        assert [row.label for row in first.rows[:4]] == ["real data", "otcfm", "cfm", "nsf"]
        assert "wcfm" not in {row.label for row in first.rows}
    assert [row.label for row in across_table(board._replace(baseline="vp"), 1).rows] == ["real data", "vp"]
    assert [table.title for table in track_tables(board)][1:] == [
        f"some, default settings: {steps} steps (5 seeds), {what}"
        for steps in (20, 50)
        for what in ("own sampler", "cost")
    ]


def test_a_budget_that_is_trained_in_part_changes_no_row_and_no_column(tmp_path):
    part = [r for r in planted(50) if r["labels"]["data"] == "moons" or r["labels"]["model"] != "nsf"]
    for record in part:  # the order of methods turns over
        if record["labels"]["model"] == "otcfm":
            record["results"] = [row | {"value": row["value"] + 9} for row in record["results"]]
    board, before = board_of(tmp_path, [*planted(), *part]), board_of(tmp_path / "whole", planted())
    assert (board.shown, board.models) == ((20,), before.models)
    one, other = across_table(board), across_table(before)
    assert (one.columns, one.rows, one.legend[0]) == (other.columns, other.rows, other.legend[0])
    assert "after 50 steps 5 of 12 (" in one.legend[1]
    assert task_table(board, 50).rows != task_table(before, 50).rows


def test_costs_are_seconds_and_the_nfe_that_reaches_the_target(tmp_path):
    (tmp_path / "some.seconds.json").write_text(measured(cfm=1.234, otcfm=5.0, nsf=117.0).model_dump_json())
    table = cost_table(board_of(tmp_path, planted()), 20)
    assert [column.title for column in table.columns] == ["s / 1,000 steps", "excess", "NFE: moons", "NFE: pinwheel"]
    rows = {row.label: [cell.text for cell in row.cells] for row in table.rows}
    # four steps add 1 to the excess, and the target is 1.1; the own sampler takes 50
    assert rows["cfm"] == ["1.2", "1.00", "≤50", "≤50"]
    assert rows["otcfm"][::2] == ["5", "≤50"]
    assert rows["nsf"][::2] == ["120", "never"]
    assert rows["nsf"][3] == "never"
    assert rows["vp"][2:] == ["4 of 5 seeds"] * 2
    assert "one model alone with default settings on moons, methods in turns, without what " in table.legend[1]
    assert table.legend[1].endswith(" a machine. Load 0.2 on 2 cores at the start.")
    near = planted()
    for record in near:
        if record["labels"]["model"] == "otcfm":
            record["results"] = [row | {"value": row["value"] - 0.5 * (row["nfe"] == 4)} for row in record["results"]]
        elif record["labels"]["model"] == "nsf":
            record["results"] = [row | {"value": row["value"] - 1.5, "nfe": 8.0} for row in record["results"]]
    rows = {
        row.label: [cell.text for cell in row.cells] for row in cost_table(board_of(tmp_path / "near", near), 20).rows
    }
    nfe = [float(text) for text in rows["otcfm"][1:]]  # the excess falls from 2.5 at NFE 1 to 1.0 at NFE 4
    assert nfe == pytest.approx([(2.5 / 1.1) ** (math.log(4) / math.log(2.5))] * 2, abs=0.15)
    assert rows["cfm"][1:] == ["≤50", "≤50"]
    assert rows["nsf"][1:] == ["8", "8"]  # exact: each sample takes 8 evaluations
    for record in near:
        if record["labels"]["model"] == "nsf":
            record["results"] = [row | {"nfe": 2.0} for row in record["results"]]
    (nsf,) = (row for row in cost_table(board_of(tmp_path / "two", near), 20).rows if row.label == "nsf")
    assert [cell.text for cell in nsf.cells][1:] == ["2", "2"]  # not 4, the first column that allows it


def test_a_headline_metric_that_is_not_about_samples_has_no_nfe(tmp_path):
    """The board of a track of likelihoods could not be made: NFE were compared with None, and their mean was taken."""
    records = planted()
    for record in records:
        own = [row | {"nfe": None, "solver": None} for row in record["results"] if row["point"] == "main"]
        record["results"] = own
    board = board_of(tmp_path, records)
    assert [board.heat(20, nfe).contests[0].cells["otcfm"].word for nfe in (1, 4, None)] == ["not measured"] * 2 + [""]
    table = cost_table(board, 20)
    assert [column.title for column in table.columns] == ["excess"]
    assert [cell.text for row in table.rows if row.label == "cfm" for cell in row.cells] == ["1.00"]


def test_likelihoods_have_a_table_of_their_own_with_letters_and_the_entropy(tmp_path):
    records = []
    for old in planted():
        model, seed, data = old["labels"]["model"], old["spec"]["seed"], old["labels"]["data"]
        row = {"metric": "nll", "better": "lower", "point": "main", "nfe": None, "n": 64, "solver": None}
        if (value := {"cfm": 0.5, "otcfm": 2.0, "nsf": 2.5}.get(model)) is None:
            row |= {"value": None, "reason": "no likelihood"}
        else:
            row |= {"value": value + 0.01 * OWN[0, seed], "floor": 1.0 + 0.01 * seed, "protocol": "nats"}
            row |= {"details": {"standard_error": 0.01}}
        records.append(record_of(model, data, 20, seed, [*old["results"], row], also=["nll"]))
    board = board_of(tmp_path, records, track=TRACK.replace('["sliced_w2"]', '["sliced_w2", "nll"]'))
    table = likelihood_table(board, 20)
    moons = {row.label: row.cells[0] for row in table.rows}
    assert moons["real data"].mean == pytest.approx(1.02)
    assert (moons["otcfm"].letters, moons["nsf"].letters, moons["reflow"].text) == ("a", "b", "none")
    assert (moons["cfm"].text, moons["cfm"].mean) == ("impossible", None)  # no density is better than the entropy
    assert any("lower than the entropy of the data" in table.notes[number - 1] for number in moons["cfm"].notes)
    assert (moons["wcfm"].text, table.title in [t.title for t in track_tables(board)]) == ("missing", True)
    one, other = board.likelihoods[20]
    assert f"nll: {one.protocol}." in table.legend
    two = board._replace(likelihoods={20: (one, other._replace(protocol="bits"))})
    assert {f"nll: {one.protocol} (moons).", "nll: bits (pinwheel)."} < {*likelihood_table(two, 20).legend}


def test_on_a_task_incomplete_cells_are_aside_and_reasons_below(tmp_path):
    table = task_table(board_of(tmp_path, planted(), lost(("vp", 4), ("wcfm", 0))), 20)
    cells = {row.label: row.cells[0] for row in table.rows}
    vp, reflow = cells["vp"], cells["reflow"]
    assert (vp.aside, vp.letters, vp.mean) == (True, "", pytest.approx(0.3))
    why = "the loss is not finite at step 3"
    assert [table.notes[i - 1] for i in vp.notes] == [why, "failed 1 of 5"]
    assert [table.notes[i - 1] for i in cells["wcfm"].notes] == [why]
    assert (reflow.text, table.notes[reflow.notes[0] - 1]) == ("unsupported", "no teacher")
    assert cells["wcfm"].text == "failed 1, missing 4 of 5"
    assert cells["real data"].mean == pytest.approx(0.1, abs=0.01)
    assert {cells[model].letters for model in EXCESS} == {"a", "b", "c"}
    assert table.legend[-1].startswith("Evaluation error divided by the spread over seeds, median: moons ")
    assert "Above a third" not in table.legend[-1]


def test_a_task_with_a_large_error_of_evaluation_is_named_below_every_table(tmp_path):
    """Shares of 0.44 to 0.49 were stated, but nothing said that they are too large."""
    records = planted()
    for record in records:
        rows = record["results"] if record["labels"]["data"] == "pinwheel" else []
        record["results"] = [row | {"details": {"standard_error": 0.2}} for row in rows] or record["results"]
    board = board_of(tmp_path, records)
    assert (
        task_table(board, 20)
        .legend[-1]
        .endswith(" Above a third on pinwheel: part of the spread there is evaluation error.")
    )
    named = "valuation error above a third of the spread over seeds: pinwheel (own sampler"
    for table in (across_table(board), cost_table(board, 20)):
        assert sum(named in line for line in table.legend) == 1
    clean = board_of(tmp_path, planted())
    assert not any("above a third" in line for line in cost_table(clean, 20).legend)


def test_a_recipe_that_is_not_the_baselines_is_printed_below_tables(tmp_path):
    """Flows had another learning rate, clip and warm-up than the baseline, and no table said so."""
    own = '{ name = "nsf", plan = { lr = 0.01, threads = 1 } }, { name = "otcfm", plan = { clip = 1.0 } }'
    board = board_of(tmp_path, planted(), track=TRACK.replace('"otcfm", "nsf"', own))
    said = "rained by another recipe than cfm: otcfm: clip=1.0; nsf: lr=0.01"
    for table in (across_table(board), task_table(board, 20), cost_table(board, 20)):
        assert sum(said in line for line in table.legend) == 1
    assert not any("recipe" in line for line in across_table(board_of(tmp_path, planted())).legend)


def test_a_ratio_is_marked_if_all_its_tasks_are_at_the_floor_and_raised_ones_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(EXCESS, "otcfm", -0.04)
    board = board_of(tmp_path, planted())
    own, one, *_ = next(row for row in across_table(board).rows if row.label == "otcfm").cells
    assert (own.sign, one.sign) == ("°", "")  # one step adds 2 to its excess
    table = across_table(board)
    notes = [table.notes[n - 1] for n in own.notes]
    assert notes == ["moons, pinwheel: excess raised to one standard error"]
    for marked in (table, cost_table(board, 20)):
        assert sum("at the floor or better on all these tasks" in line for line in marked.legend) == 1
    cells = {row.label: row.cells[0].sign for row in task_table(board, 20).rows}
    assert (cells["otcfm"], cells["cfm"]) == ("°", "")


def test_ones_own_row_stands_in_the_tables_of_the_budgets_that_it_tried(tmp_path):
    mine = [record_of("cfm", "moons", 50, 0, rows_of(0.6, FLOOR[0]), settings={"sigma": 0.1})]
    mine[0]["spec"]["evaluation"]["curve"] = [1, 4]
    board = board_of(tmp_path, planted(), added=mine)
    (own,) = board.further
    assert board.models[:3] == board_of(tmp_path, planted()).models[:3]  # ordered by the longest whole budget
    short, long = task_table(board, 20), task_table(board, 50)
    assert (own in {row.label for row in short.rows}, own in {row.label for row in long.rows}) == (False, True)
    assert f"Without a run at this budget: {own}." in short.legend
    assert not any(line.startswith("Without a run") for line in long.legend)
    for each, said in ((board, 1), (board_of(tmp_path, planted()), 0)):
        assert sum(line.startswith(f"Beyond the track: {own}; they add") for line in across_table(each).legend) == said
    assert own not in {row.label for row in cost_table(board, 20).rows}


def test_rows_that_use_labels_are_to_be_compared_with_the_baseline_that_does():
    """STARFlow with labels stood second on digits, far ahead of CFM, whose row with labels is first."""
    said = "Rows with conditional=true use labels, cfm does not: compare them with cfm conditional=true."
    table = across_table(track_board(find("digits-v1"), Store(FOLDER)))
    first, second = (row.label for row in table.rows[1:3])
    assert (first, second) == ("cfm conditional=true", "starflow noise=0.1 conditional=true")
    assert said in table.legend
    assert not any("conditional" in text for text in across_table(track_board(find("plane-v1"), Store(FOLDER))).legend)
