"""Content: equal records give equal reports, from published records and pictures alone."""

import shutil

from helpers.reports import blocks, gathered, tables, text, written

from genbench.report.blocks import Picture
from genbench.report.formats.writers import latex_report, markdown_report


def test_equal_records_give_equal_bytes(results, report, site):
    again, _ = gathered(results)
    assert written(results) == site
    assert markdown_report(again) == markdown_report(report)
    assert latex_report(again) == latex_report(report)


def test_a_table_says_which_rows_were_trained_with_other_settings(report):
    (sentence,) = {line for line in markdown_report(report).splitlines() if line.startswith("Trained unequally: ")}
    usual, flows = sentence.removesuffix(".").split("; ")
    assert usual.endswith("clip 0.0 in cfm, wcfm kappa=0.5, wcfm and wcfm kappa=4.0")
    assert flows.endswith("clip 1.0 in tarflow blocks=[1,1] width=16")
    for setting in ("lr_min 0.01", "weight_decay 0.0001", "betas [0.9, 0.95]"):
        assert setting in flows
        assert setting not in usual


def test_failed_and_unsupported_cells_have_reasons(report, trees):
    (table,) = [table for table in tables(report) if table.title == "moons"]
    assert "1 run failed: the field is not finite at step 3" in table.notes
    assert "its samples do not follow an ODE" in table.notes
    for note in table.notes:
        assert any(note in text(tree) for tree in trees.values())
        assert note in markdown_report(report)


def test_published_records_and_pictures_alone_give_the_same_report(results, report, tmp_path):
    shutil.copytree(results / "tiny", tmp_path / "tiny")
    alone, suites = gathered(tmp_path)
    assert [suite.name for suite in suites] == ["tiny"]
    ours, theirs = report.sections[0].sections[0], alone.sections[0].sections[0]
    assert theirs.blocks == ours.blocks
    assert [type(block) for block in theirs.walk()] == [type(block) for block in ours.walk()]
    samples, losses = blocks(alone, Picture)
    assert [samples.path.name, losses.path.name] == ["moons.png", "moons-loss.svg"]
    assert [block.caption for block in blocks(report, Picture)][:2] == [samples.caption, losses.caption]
    costs = [t for t in tables(alone) if "cost" in t.title]
    assert costs == [t for t in tables(report) if "cost" in t.title and "moons" in t.title]
    shutil.rmtree(tmp_path / "tiny/pictures")
    assert not blocks(gathered(tmp_path)[0], Picture)
