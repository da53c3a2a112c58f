"""Content: equal records give equal reports, in all formats and from published records alone."""

import io
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers.reports import blocks, gathered, tables, text, written

from genbench.report.blocks import Flow, List, Table
from genbench.report.formats import csv, latex, markdown


def test_equal_records_give_equal_bytes(results, report, site):
    again, chapters, _ = gathered(results)
    assert written(results) == site
    assert markdown.document(again) == markdown.document(report)
    assert csv.document(chapters) == csv.document(gathered(results)[1])


def test_a_table_says_which_rows_were_trained_with_other_settings(report):
    (sentence,) = {line for line in markdown.document(report).splitlines() if line.startswith("Trained unequally: ")}
    usual, flows = sentence.removesuffix(".").split("; ")
    assert usual.endswith("clip 0.0 in cfm, wcfm kappa=0.5, wcfm and wcfm kappa=4.0")
    assert flows.endswith("clip 1.0 in tarflow blocks=[1,1] width=16")
    for setting in ("lr_min 0.01", "weight_decay 0.0001", "betas [0.9, 0.95]"):
        assert setting in flows
        assert setting not in usual


def test_failed_and_unsupported_cells_have_reasons(report, trees):
    items = [item for points in blocks(report, List) for item in points.items]
    assert "otcfm: 1 run failed: the field is not finite at step 3" in items
    assert any("tarflow" in item and "straightness: its samples do not follow an ODE" in item for item in items)
    for item in items:
        assert any(item in text(tree) for tree in trees.values())
        assert item in markdown.document(report)


def test_published_records_alone_give_the_same_tables_and_pictures(results, report, tmp_path):
    _, _, drawings = gathered(results)
    for kept in drawings:
        kept.save()
    shutil.copytree(results / "tiny", tmp_path / "tiny")
    alone, chapters, _ = gathered(tmp_path)
    assert [chapter.name for chapter in chapters] == ["tiny"]
    ours, theirs = report.sections[0].sections[0], alone.sections[0].sections[0]
    assert theirs.blocks == ours.blocks
    assert [type(block) for block in theirs.walk()] == [type(block) for block in ours.walk()]
    (flow,) = blocks(alone, Flow)
    for one, other in zip(flow.panels, blocks(report, Flow)[0].panels, strict=True):
        np.testing.assert_array_equal(one.paths, other.paths)
    costs = [t for t in tables(alone) if "cost" in t.title]
    assert costs == [t for t in tables(report) if "cost" in t.title and "moons" in t.title]
    (tmp_path / "tiny/drawings.npz").unlink()
    bare = markdown.document(gathered(tmp_path)[0])
    assert "weights are not kept here" in bare
    assert "training logs are not kept here" in bare


def test_markdown_and_latex_and_csv_have_every_table(report, results):
    md, tex = markdown.document(report), latex.document(report)
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == tex.count(r"\toprule")
    for table in tables(report):
        assert table.title in md
    assert md.count("\n#### ") >= 3
    frame = pd.read_csv(io.StringIO(csv.document(gathered(results)[1])))
    assert set(frame["suite"]) == {"tiny", "other-runs"}
    line = frame[(frame["model"] == "cfm") & (frame["metric"] == "sliced_w2") & (frame["point"] == "main")].iloc[0]
    (table,) = [t for t in blocks(report, Table) if t.title == "moons"]
    column = [c.title for c in table.columns].index("sliced_w2")
    assert next(row for row in table.rows if row.label == "cfm").cells[column].mean == pytest.approx(line["value"])
