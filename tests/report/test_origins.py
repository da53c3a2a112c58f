"""Origins: what all seeds of a model share is stated once, what differs is told apart, what is unknown is left out."""

import copy
import json
import shlex
from dataclasses import replace

import pytest

from genbench.report.origins import origins
from genbench.results.reader import Run
from genbench.runs.record import read_record
from genbench.runs.record_types import no_origin


@pytest.fixture
def runs(finished_sweep):
    records = [read_record(path) for path in sorted((finished_sweep / "r").glob("runs/*/*/record.json"))]
    return [Run(copy.deepcopy(record), record["labels"]["model"], finished_sweep) for record in records]


def facts(origin):
    return dict(origin.facts)


def test_every_model_has_its_runs_in_the_order_of_seeds_and_the_command_of_the_first(runs):
    found = origins(runs[::-1], "mine")
    assert {origin.model for origin in found} == {"cfm", "wcfm kappa=0.5"}
    for origin in found:
        assert [seed for seed, _ in origin.runs] == [0, 1]
        words = shlex.split(origin.command)
        assert words[words.index("--seed") + 1] == "0"
        assert json.loads(origin.spec)["seed"] == 0


def test_what_all_seeds_share_is_stated_once_and_what_differs_is_told_apart(runs):
    own = [run for run in runs if run.model == "cfm"]
    (origin,) = origins(own, "mine")
    assert "; or " not in facts(origin)["machine"]
    assert "kept" not in facts(origin)
    own[1].record["provenance"]["training"]["machine"] |= {"processor": "Another"}
    own[1].record["provenance"]["data"] |= {"original": False}
    own[0].record["provenance"]["training"]["code"] |= {"commit": "f" * 40, "dirty": True}
    (origin,) = origins([own[0], replace(own[1], folder=None)], "mine")
    assert "; or " in facts(origin)["machine"]
    assert facts(origin)["data"] == "moons, drawn; or moons, drawn, a file, not a published original"
    assert "commit ffffffffffff with uncommitted changes" in facts(origin)["code"]
    assert facts(origin)["kept"] == "1 of 2 runs are not kept here; only their published records are"


def test_published_records_without_provenance_have_no_facts_and_unknown_models_no_command(runs):
    (run, *_) = runs
    run.record["provenance"] = {"data": {}, "training": no_origin(), "measurements": []}
    run.record["spec"]["model"]["name"] = "gone"
    (origin,) = origins([run], "synthetic")
    assert (origin.facts, origin.command) == ((), "")


@pytest.mark.parametrize(
    ("suite", "command"),
    [("synthetic", "genbench sweep synthetic"), ("mine", "genbench sweep mine.toml"), ("other-runs", "")],
)
def test_a_member_of_an_ensemble_is_repeated_by_the_sweep_of_its_suite(runs, suite, command):
    (run, *_) = runs
    run.record["spec"]["stack"] = [{"seed": 0}, {"seed": 1}]
    (origin,) = origins([run], suite)
    assert origin.command == command
