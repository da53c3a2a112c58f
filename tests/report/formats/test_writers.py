"""Writers: the same cells as Markdown and CSV, within their width; text from others is not markup."""

import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.reports import blocks, comparison_table, curve_rows, refusal, three_seeds, wide_table
from scipy import stats

from genbench.analysis.significance import SEPARATION
from genbench.analysis.values import Failure
from genbench.report.blocks import Cell, Column, Table
from genbench.report.formats.writers import cell_text, csv, grid, heading, markdown, means, panels


def test_a_cell_is_its_text_or_its_mean_with_letters_and_notes():
    assert cell_text(Cell(text="failed (2)", notes=(1, 3))) == "failed (2) [1,3]"
    assert cell_text(Cell(1.234, 0.05, letters="ab")) == "1.234 ± 0.050 ab"
    assert cell_text(Cell(1.234, 0.05, sign="°", letters="c", notes=(2,))) == "1.234 ± 0.050° c [2]"
    assert cell_text(Cell(1.234, 0.05, aside=True, notes=(1,))) == "(1.234 ± 0.050) [1]"
    assert cell_text(Cell(1.234, text="1.2 (1-2)")) == "1.2 (1-2)"
    assert cell_text(Cell(text="a|b"), lambda text: text.replace("|", "!")) == "a!b"
    assert heading(Column("w2", "lower")) == "w2 ↓"
    assert heading(Column("n")) == "n"


@pytest.mark.parametrize("width", [1, 60, 80, 120, 1000])
def test_panels_have_every_column_once_and_as_many_as_fit(width):
    table = wide_table()
    whole, found = grid(table, cell_text), [grid(panel, cell_text) for panel in panels(table, cell_text, width)]
    assert [[line[0][0], *(cell for part in line for cell in part[1:])] for line in zip(*found, strict=True)] == whole
    label = max(len(line[0]) for line in whole) + 3
    sizes = [[3 + max(map(len, column)) for column in [*zip(*part, strict=True)][1:]] for part in found]
    for own, following in zip(sizes, [*sizes[1:], None], strict=True):
        assert len(own) == 1 or label + sum(own) + 1 <= width
        assert following is None or label + sum(own) + following[0] + 1 > width


def test_the_published_files_and_the_report_have_the_same_values(report, results):
    read, shown = pd.read_csv(results / "tiny/table.csv"), (results / "tiny/table.md").read_text()
    line = read[(read["model"] == "cfm") & (read["metric"] == "sliced_w2") & (read["point"] == "main")].iloc[0]
    (table,) = [t for t in blocks(report, Table) if t.title == "moons"]
    column = [c.title for c in table.columns].index("sliced_w2")
    cell = next(row for row in table.rows if row.label == "cfm").cells[column]
    assert cell.mean == pytest.approx(line["value"])
    assert cell_text(cell) in shown


def test_markdown_is_aligned_and_within_its_width():
    text = markdown(wide_table(), width=100)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert max(map(len, lines)) <= 100
    blocks = text.split("\n\n")[1:-1]
    assert len(blocks) > 1
    for block in blocks:
        assert len({len(line) for line in block.splitlines()}) == 1  # every line of a panel is as long
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    shown = re.findall(r"\| model +\|(.*)\|\n", text)
    titles = [title.strip() for line in shown for title in line.split("|")]
    assert titles == [f"{c.title} ↓" for c in wide_table().columns]  # every column once, in order
    text = markdown(comparison_table(three_seeds(a=[1.0, 1.1, 1.2], c=[9.0, 9.12, 9.21])))
    assert "| 1.10 ± 0.25 a |" in text
    assert f"- {SEPARATION}" in text


def test_texts_of_others_are_no_markup():
    evil = "<script>a</script><img src=x>![i](http://x)[l](http://y)[r][s]\x1b]0;t\x07\u202e\n# H\n`c`\\|"
    table = comparison_table([*three_seeds(**{evil: [1.0, 2.0, 3.0]}), *(refusal("cfm", s, evil) for s in range(3))])
    text = markdown(replace(table, title=evil))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]|^# H", text, re.MULTILINE)
    bare = re.sub(r"\\.", "", text)
    assert not re.search(r"[<`]|!\[|\]\[|\]\(http", bare)


def test_csv_has_every_number_in_full_precision():
    draws = np.random.default_rng(1).normal(size=3)
    rows = [*three_seeds(cfm=list(draws)), *(refusal("flow", s, "no, never") for s in range(3)), *curve_rows()[6:]]
    read = pd.read_csv(io.StringIO(csv(means(rows, [Failure("vp", "moons", 0, "NaN")]))))
    main = read[(read["model"] == "cfm") & (read["point"] == "main")].iloc[0]
    assert main["value"] == pytest.approx(draws.mean(), rel=1e-15)
    assert main["standard_error"] == pytest.approx(stats.sem(draws), rel=1e-14)
    assert (main["seeds"], main["floor"], main["n"]) == (3, 0.24, 2048)
    assert read[read["model"] == "flow"].iloc[0]["reason"] == "no, never"
    assert sorted(read[read["point"] == "curve"]["nfe"]) == [1, 2, 16]
    assert read[read["model"] == "vp"].iloc[0]["failed_runs"] == 1


def test_no_text_is_a_formula_and_numbers_stay_numbers():
    label = "=HYPERLINK(1) sigma=-1"
    rows = [*three_seeds(**{label: [-1.0, -2.0, -3.0]}), *(refusal("@flow", s, "-1+1") for s in range(3))]
    cells = [line.split(",") for line in csv(means(rows)).splitlines()[1:]]
    assert not [cell for line in cells for cell in line if re.match(r"[=+@]|-[^\d.]", cell)]
    read = pd.read_csv(io.StringIO(csv(means(rows))))
    assert read["model"].tolist() == [f"'{label}", "'@flow"]
    assert read["value"].iloc[0] == -2.0
    assert read["reason"].iloc[1] == "'-1+1"
    text = csv(means([*three_seeds(**{"a\x1b[31m\nb\u202e": [1.0, 2.0]}), refusal("c", 0, "\r=1+1\0")]))
    assert len(text.splitlines()) == 3
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", text)
    assert pd.read_csv(io.StringIO(text))["model"].tolist() == ["a b", "c"]
