"""Cells as text, and tables in panels that are as wide as they may be, and no wider."""

import pytest
from helpers.reports import comparison_table, three_seeds, wide_table

from genbench.report.blocks import Cell, Column
from genbench.report.formats.cells import cell_text, heading, panels, used_marks

WRAP = {"best": "**{}**", "tie": "*{}*"}


def text(cell):
    return cell_text(cell, WRAP)


def test_a_cell_is_its_text_or_its_mean_marked_and_noted():
    assert text(Cell(text="failed (2)", notes=(1, 3))) == "failed (2) [1,3]"
    assert text(Cell(1.234, 0.05, mark="best")) == "**1.234 ± 0.050**"
    assert text(Cell(1.234, 0.05, mark="tie", notes=(2,))) == "*1.234 ± 0.050* [2]"
    assert cell_text(Cell(text="a|b"), {}, lambda text: text.replace("|", "!"), "^{}") == "a!b"
    assert heading(Column("w2", "lower")) == "w2 ↓"
    assert heading(Column("n")) == "n"


@pytest.mark.parametrize("width", [1, 60, 80, 120, 1000])
def test_panels_have_every_column_once_and_as_many_as_fit(width):
    table = wide_table()
    found = list(panels(table, text, width))
    assert [column for columns, _ in found for column in columns] == list(table.columns)
    for row in table.rows:
        own = [next(r for r in rows if r.label == row.label).cells for _, rows in found]
        assert sum(own, ()) == row.cells
    label = max(len(row.label) for row in table.rows) + 3

    def size(columns, rows, start):
        cells = [max([len(heading(c)), *(len(text(r.cells[i])) for r in rows)]) + 3 for i, c in enumerate(columns)]
        return label + sum(cells[start:])

    for (columns, rows), following in zip(found, [*found[1:], None], strict=True):
        assert len(columns) == 1 or size(columns, rows, 0) + 1 <= width
        if following is not None:
            wider = size(columns, rows, 0) + size(following[0][:1], following[1], 0) - label
            assert wider + 1 > width


def test_marks_are_those_of_the_cells():
    table = comparison_table(three_seeds(cfm=[1.0, 1.1, 1.2], otcfm=[5.0, 5.1, 5.2]))
    (mark,) = {cell.mark for row in table.rows for cell in row.cells} - {""}
    assert used_marks(table) == [mark]
    assert used_marks(comparison_table(three_seeds(cfm=[1.0, 1.1, 1.2]))) == []
