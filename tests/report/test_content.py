"""Content: equal records give equal reports, from published records and pictures alone."""

import copy
import json
import shlex
import shutil
from dataclasses import replace

import pytest
from helpers.reports import blocks, gathered, tables, text, written

from genbench.report.blocks import Picture
from genbench.report.content import methods
from genbench.results.reader import Run
from genbench.runs.record import read_record
from genbench.runs.record_types import no_origin


def test_equal_records_give_equal_bytes(results, report, site):
    again, _ = gathered(results)
    assert written(results) == site
    assert again == report


def test_a_table_says_which_rows_were_trained_with_other_settings(report):
    (sentence,) = {line for line in blocks(report, str) if line.startswith("Trained unequally: ")}
    usual, flows = sentence.removesuffix(".").split("; ")
    assert usual.endswith("clip 0.0 in cfm, wcfm kappa=0.5, wcfm kappa=1.0 and wcfm kappa=4.0")
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


def test_published_records_and_pictures_alone_give_the_same_report(results, report, tmp_path):
    shutil.copytree(results / "tiny", tmp_path / "tiny")
    (tmp_path / "tiny/pictures").mkdir()
    shutil.copy(next(results.glob("runs/cfm-moons-*/*/samples.png")), tmp_path / "tiny/pictures/moons.png")
    alone, suites = gathered(tmp_path)
    assert [suite.name for suite in suites] == ["tiny"]
    ours, theirs = report.sections[0].sections[0], alone.sections[0].sections[0]
    assert theirs.blocks == ours.blocks
    kinds = [[type(b) for b in own.walk() if not isinstance(b, Picture)] for own in (ours, theirs)]
    assert kinds[0] == kinds[1]
    (samples,) = blocks(alone, Picture)
    assert samples.path.name == "moons.png"
    shutil.rmtree(tmp_path / "tiny/pictures")
    assert not blocks(gathered(tmp_path)[0], Picture)


@pytest.fixture
def runs(finished_sweep):
    records = [read_record(path) for path in sorted((finished_sweep / "r").glob("runs/*/*/record.json"))]
    return [Run(copy.deepcopy(record), record["labels"]["model"], finished_sweep) for record in records]


def facts(method):
    return dict(method.facts)


def test_every_model_has_its_runs_in_the_order_of_seeds_and_the_command_of_the_first(runs):
    found = methods(runs[::-1], [], "mine")
    assert {method.model for method in found} == {"cfm", "wcfm kappa=0.5"}
    for method in found:
        assert [seed for seed, _ in method.runs] == [0, 1]
        words = shlex.split(method.command)
        assert words[words.index("--seed") + 1] == "0"
        assert json.loads(method.spec)["seed"] == 0


def test_what_all_seeds_share_is_stated_once_and_what_differs_is_told_apart(runs):
    own = [run for run in runs if run.model == "cfm"]
    (method,) = methods(own, [], "mine")
    assert "; or " not in facts(method)["machine"]
    assert "kept" not in facts(method)
    own[1].record["provenance"]["training"]["machine"] |= {"processor": "Another"}
    own[1].record["provenance"]["data"] |= {"original": False}
    own[0].record["provenance"]["training"]["code"] |= {"commit": "f" * 40, "dirty": True}
    (method,) = methods([own[0], replace(own[1], folder=None)], [], "mine")
    assert "; or " in facts(method)["machine"]
    assert facts(method)["data"] == "moons, drawn; or moons, drawn, a file, not a published original"
    assert "commit ffffffffffff with uncommitted changes" in facts(method)["code"]
    assert facts(method)["kept"] == "1 of 2 runs are not saved here, only their published records"


@pytest.mark.parametrize(
    ("suite", "command"),
    [("smoke", "genbench sweep smoke"), ("mine", "genbench sweep mine.toml"), ("other-runs", "")],
)
def test_a_member_of_an_ensemble_is_repeated_by_the_sweep_of_its_suite(runs, suite, command):
    (run, *_) = runs
    run.record["spec"]["stack"] = [{"seed": 0}, {"seed": 1}]
    (method,) = methods([run], [], suite)
    assert method.command == command
    run.record["provenance"] = {"data": {}, "training": no_origin(), "measurements": []}
    run.record["spec"] |= {"model": {"name": "gone", "version": 1}, "stack": None}
    (method,) = methods([run], [], suite)
    assert (method.facts, method.command) == ((), "")
