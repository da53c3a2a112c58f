"""The tables of a track: their size, their words, and what stands below them."""

import pytest
from helpers.tracks import EXCESS, board_of, lost, planted

from genbench.report.track_table import METHODS, across_table, sentences, task_table, track_tables


def texts(table, label):
    (row,) = [row for row in table.rows if row.label == label]
    return [cell.text or f"{cell.mean:.1f}" for cell in row.cells]


@pytest.fixture
def board(tmp_path):
    return board_of(tmp_path, planted())


def test_across_tasks_a_method_has_its_ratio_or_one_word(board):
    table = across_table(board)
    assert [column.title for column in table.columns] == ["NFE 1", "NFE 4", "accurate"]
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
    assert table.legend[-1].startswith(
        "20 steps: 6 of 12 cells with all seeds, 2 incomplete, 2 unsupported, 2 missing;"
    )


def test_the_shortest_and_the_longest_budget_stand_side_by_side_in_seven_columns(tmp_path):
    board = board_of(tmp_path, [*planted(), *planted(50)])
    table = across_table(board, METHODS)
    assert [column.title for column in table.columns] == [
        f"{steps} steps, {regime}" for steps in (20, 50) for regime in ("NFE 1", "NFE 4", "accurate")
    ]
    assert across_table(board, 2).legend[-1].endswith("; not shown: nsf, vp, reflow, wcfm.")
    assert [table.title for table in track_tables(board)][1:] == [
        f"some, tuned settings: {steps} steps (5 seeds), accurate" for steps in (20, 50)
    ]


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
    assert table.legend[-1].startswith("Error of an evaluation over the spread of seeds, median: moons ")


def test_a_sentence_says_of_each_column_what_its_letters_say(board):
    one, four, accurate = sentences(board)
    for text, evaluations in ((one, "1 network evaluation"), (four, "4 network evaluations")):
        assert text.startswith(f"With {evaluations} after 20 steps, otcfm has the smallest excess over real data, ")
    letters = {s.method: s.letters for s in board.heat(20, None).effects.summaries}
    apart = [method for method in ("otcfm", "nsf") if not {*letters[method]} & {*letters["cfm"]}]
    less, more = accurate.split("; ")[1:]
    assert less == f"less than cfm: {'otcfm' if 'otcfm' in apart else 'none'}"
    assert more == f"more than cfm: {'nsf' if 'nsf' in apart else 'none'}."
    alike = [method for method in ("cfm", "nsf") if {*letters[method]} & {*letters["otcfm"]}]
    assert (f"not separated from {', '.join(alike)}" if alike else "separated from all others") in accurate
