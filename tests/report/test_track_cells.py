"""Cells of a track, and seconds of training."""

import pytest
from helpers.tracks import board_of, planted

from genbench.errors import ConfigError
from genbench.report.track_cells import Seconds, ShapeSeconds, by_one_protocol, cell_of, read_seconds


def test_each_cell_has_its_value_or_says_what_it_lacks(board):
    (moons, _) = board.heat(20, None).contests
    assert {model: cell.word for model, cell in moons.cells.items()} == {
        "cfm": "", "otcfm": "", "nsf": "", "vp": "4 of 5 seeds", "reflow": "unsupported", "wcfm": "missing",
    }  # fmt: skip
    assert moons.cells["reflow"].reason == "no teacher"
    assert set(moons.pairs.letters) == {"cfm", "otcfm", "nsf"}  # what lacks a seed is compared with nothing
    assert board.lacking == {
        20: {"": 6, "4 of 5 seeds": 2, "unsupported": 2, "missing": 2},
        50: {"missing": 12},
    }


def test_a_method_of_fixed_cost_stands_where_that_is_allowed(board):
    assert [board.heat(20, nfe).contests[0].cells["nsf"].word for nfe in (1, 4, None)] == ["takes 2 NFE", "", ""]
    one = board.heat(20, 1).contests[0]
    assert one.cells["cfm"].values[0] == pytest.approx(board.heat(20, None).contests[0].cells["cfm"].values[0] + 2)


def test_a_seed_without_a_value_where_others_have_one_has_failed(tmp_path):
    """TARFlow was unsupported on 8gaussians, since one sample of one seed was not finite."""
    records = planted()
    of_cfm = [r for r in records if (r["labels"]["model"], r["labels"]["data"]) == ("cfm", "moons")]
    (one,) = [record for record in of_cfm if record["spec"]["seed"] == 2]
    why = "1 of 64 samples are not finite"
    one["results"] = [row | {"value": None, "reason": why} for row in one["results"]]
    cell = board_of(tmp_path, records).heat(20, None).contests[0].cells["cfm"]
    assert (cell.word, cell.reason, len(cell.values)) == ("failed 1 of 5", why, 4)


def test_what_fails_on_every_seed_has_failed_and_what_is_not_defined_is_unsupported(tmp_path):
    records = planted()
    reasons = {"moons": "3 of 64 samples are not finite", "pinwheel": "needs a density"}
    for record in records:
        if record["labels"]["model"] == "cfm":
            why = reasons[record["labels"]["data"]]
            record["results"] = [row | {"value": None, "reason": why} for row in record["results"]]
    cells = [contest.cells["cfm"] for contest in board_of(tmp_path, records).heat(20, None).contests]
    assert [(cell.word, cell.reason) for cell in cells] == [
        ("failed 5 of 5", reasons["moons"]),
        ("unsupported", reasons["pinwheel"]),
    ]


def test_seconds_are_those_of_the_file_beside_a_track(tmp_path):
    path = tmp_path / "some.toml"
    assert read_seconds(path) is None
    shape = ShapeSeconds(tasks=["moons", "rings"], seconds={"cfm": 1.5})
    found = Seconds(machine="a machine.", load=1.2, cores=2, shapes=[shape])
    (tmp_path / "some.seconds.json").write_text(found.model_dump_json())
    assert read_seconds(path) == found
    assert (found.first.task, found.state) == ("moons", "load 1.2 on 2 cores at the start")
    (tmp_path / "some.seconds.json").write_text(found.model_dump_json().replace('"a machine."', "3"))
    with pytest.raises(ConfigError, match=r"some.seconds.json holds no seconds of training: machine: 3 is wrong"):
        read_seconds(path)


def test_a_value_by_another_protocol_is_a_word():
    """Likelihoods of noisy data stood beside likelihoods of data, with letters over both."""
    rows = {
        model: {seed: {"metric": "nll", "value": 1.0 + seed, "protocol": protocol} for seed in (0, 1)}
        for model, protocol in (
            ("cfm", "density of data"),
            ("starflow", "density of noisy data"),
            ("nsf", "density of data"),
        )
    }
    found = by_one_protocol(rows | {"meanflow": {0: {"word": "unsupported", "value": None}}})
    assert {model: found[model] for model in ("cfm", "nsf")} == {model: rows[model] for model in ("cfm", "nsf")}
    assert found["meanflow"][0]["word"] == "unsupported"
    cell = cell_of(found["starflow"], (0, 1), {}, "noise=0.05")
    assert (cell.word, cell.reason, cell.values) == ("other protocol", "density of noisy data", {})
    half = {0: {"value": 1.0}, 1: found["starflow"][1]}  # seeds of another protocol have not failed
    assert cell_of(half, (0, 1), {}, "")[:3] == ({0: 1.0}, "1 of 2 seeds", "other protocol: density of noisy data")
    assert cell_of(half, (0, 1, 2), {2: "why"}, "")[:3] == ({0: 1.0}, "failed 1 of 3", "why")
    assert cell_of(half, (0, 1, 2, 3), {2: "why"}, "")[:3] == ({0: 1.0}, "failed 1, missing 1 of 4", "why")


def test_values_of_two_versions_of_a_metric_are_not_compared(tmp_path):
    """Published values of an outdated metric had letters together with own values of the installed version."""
    records = planted()
    for record in records:
        if record["labels"]["model"] == "nsf":
            record["spec"]["metrics"]["sliced_w2"]["version"] = 0
    contest = board_of(tmp_path, records).heat(20, None).contests[0]
    assert contest.cells["nsf"][:3] == ({}, "other protocol", "64 directions, version 0 of sliced_w2")
    assert set(contest.pairs.letters) == {"cfm", "otcfm"}
