import json
import shutil

import pytest
from helpers.records import edit_record

from genbench.analysis.submitted import record_paths
from genbench.runs.make_spec import restore_spec
from genbench.runs.record import read_record

TRACK = """
datasets = ["moons"]
models = ["cfm", {name = "wcfm", kappa = 0.5}]
metrics = ["sliced_w2", "nfe"]
budgets = [{steps = 10, seeds = [0, 1]}]
plan = {batch_size = 16}
evaluation = {n = 64, curve = [1]}
track = {baseline = "cfm", tuning = {steps = 5, seeds = 1}}
"""
"""The cells of tiny.toml as a track."""


@pytest.fixture
def board(cli, tmp_path):
    """board(results, *arguments) -> what the command prints."""
    (tmp_path / "some.toml").write_text(TRACK)

    def call(results, *arguments):
        return cli("leaderboard", "--track", tmp_path / "some.toml", "--results", results, *arguments)

    return call


@pytest.fixture
def rows(board):
    """rows(results, *arguments) -> {model: row of the track with its own sampler}, those without a value left out."""

    def call(results, *arguments):
        code, out, err = board(results, "--json", *arguments)
        assert code == 0, err
        found = json.loads(out)["rows"]
        return {row["model"]: row for row in found if row["nfe"] is None and row["mean"] is not None}

    return call


def test_only_confirmed_seeds_count_and_the_board_says_how_many_are(forger, tmp_path, rows, board, cli):
    """A submission whose bad seeds fail to verify must not look confirmed (C4)."""
    forger.set_value(forger.record_of("wcfm", 1), "sliced_w2", lambda value: value / 9)
    path, root = forger.submit(tmp_path / "theirs.genbench.zip"), tmp_path / "nothing"
    assert rows(root, "--add", path) == {}
    out = board(root, "--add", path).stdout
    assert out.count("0 of 2 seeds confirmed") == 2
    assert "genbench verify theirs.genbench.zip --sample N" in " ".join(out.split())
    code, table, err = board(root, "--add", path, "--markdown")  # a row that lacks everything must say why
    assert (code, table.count("confirmed"), err.count("0 of 2 seeds confirmed")) == (0, 0, 2)
    assert "genbench verify theirs.genbench.zip --sample N" in " ".join(err.split())
    _, _, err = cli("verify", path, "--sample", "1")
    assert "--sample 4 measures all records that have weights\na leaderboard compares a task once each seed" in err
    assert cli("verify", path, "--sample", "9")[0] == 1
    found = rows(root, "--add", path)
    assert found.keys() == {"theirs:cfm", "theirs:wcfm kappa=0.5"}
    assert (found["theirs:cfm"]["word"], found["theirs:cfm"]["seeds"]) == ("", 2)
    wcfm = found["theirs:wcfm kappa=0.5"]
    assert (wcfm["word"], wcfm["letters"]) == ("1 of 2 seeds", None)
    rows = read_record(forger.record_of("wcfm", 0))["results"]
    assert wcfm["mean"] == next(r["value"] for r in rows if r["metric"] == "sliced_w2" and r["point"] == "main")
    out = board(root, "--add", path).stdout
    assert "theirs:wcfm kappa=0.5 on moons: 1 of 2 seeds confirmed." in out
    assert "theirs:cfm on moons: 2 of 2 seeds confirmed." in out
    cli("verify", path, "--sample", "0")  # a later, smaller sample forgets nothing
    assert board(root, "--add", path).stdout == out
    assert "2 of 2 seeds confirmed; trained or measured differently from plane-v1, so it gets no row" in " ".join(
        cli("leaderboard", "--results", root, "--add", path).stdout.split()
    )


def test_a_submission_is_compared_beside_ones_own_results(forger, tmp_path, rows, board, cli):
    path = forger.submit(tmp_path / "theirs.genbench.zip")
    assert cli("verify", path, "--sample", "9")[0] == 0
    for seed in (0, 1):
        forger.set_value(forger.record_of("cfm", seed), "sliced_w2", lambda value: value + 0.01)  # another machine
    found = rows(forger.store.root, "--add", path)
    assert found.keys() == {"cfm", "wcfm kappa=0.5", "theirs:cfm"}  # those of wcfm are the same as one's own
    assert found["cfm"]["mean"] == pytest.approx(found["theirs:cfm"]["mean"] + 0.01)
    assert found["theirs:cfm"]["letters"]
    err = board(forger.store.root, "--add", path).stderr
    assert "theirs.genbench.zip: 2 of its records are also here, and count once" in err


def test_two_submissions_of_one_name_are_refused(forger, tmp_path, cli):
    (tmp_path / "other").mkdir()
    paths = [forger.submit(place / "mine.genbench.zip") for place in (tmp_path, tmp_path / "other")]
    code, _, err = cli("leaderboard", "--results", tmp_path / "nothing", "--add", paths[0], "--add", paths[1])
    assert (code, err.count("\n")) == (2, 1)
    assert "two submissions are called mine: rename one" in err


def test_a_seed_is_confirmed_only_with_all_of_its_records(forger, tmp_path, rows, board, cli):
    """A further record of seed 0, with other samples, holds a value that its weights do not give."""
    path = forger.record_of("cfm", 0)
    shutil.copytree(path.parent, later := path.parents[1] / "later")
    edit_record(later / "record.json", lambda record: record["spec"]["evaluation"].update(n=32))
    key = restore_spec(read_record(later / "record.json")["spec"]).evaluation_key
    edit_record(later / "record.json", lambda record: record["labels"].update(evaluation=key))
    later.rename(later.with_name(key))
    path = forger.submit(tmp_path / "theirs.genbench.zip")
    assert cli("verify", path, "--sample", "9")[0] == 1
    assert "theirs:cfm on moons: 1 of 2 seeds confirmed." in board(tmp_path / "nothing", "--add", path).stdout
    assert rows(tmp_path / "nothing", "--add", path)["theirs:cfm"]["word"] == "1 of 2 seeds"


def test_a_submission_of_a_suite_holds_its_evaluations_only(forger, tmp_path):
    path = forger.record_of("cfm", 0)
    shutil.copytree(path.parent, path.parents[1] / "0123456789ab")
    before = [each for each in forger.store.record_paths() if each.parts[-2] != "0123456789ab"]
    assert record_paths(forger.store, "tiny") == before


def test_a_run_that_is_not_measured_is_refused_by_its_name_and_status_lists_it(cli, forger, tmp_path):
    """A sweep that was stopped leaves weights without a record, or nothing but a checkpoint."""
    trained, begun = (forger.record_of("cfm", seed).parents[1] for seed in (0, 1))
    for run in (trained, begun):
        shutil.rmtree(forger.record_of("cfm", 0 if run == trained else 1).parent)
    (begun / "model.safetensors").rename(begun / "checkpoint.safetensors")
    folder = ("--results", forger.store.root)
    for run in (trained, begun):
        code, _, err = cli("results", "submit", run, "--to", tmp_path / "a.genbench.zip", *folder)
        said = f"genbench: {run.name} is not measured yet: repeat its run or sweep, or leave it out\n"
        assert (code, err) == (2, said)
    out = cli("results", "status", *folder).stdout
    assert f"interrupted: {begun.name}\ntrained, not measured: {trained.name}\n" in out


def test_an_impossible_value_is_ranked_nowhere(forger, tmp_path, board):
    """An unverified submission of w2 = -5 ranked first."""
    forger.set_value(forger.record_of("cfm", 0), "sliced_w2", lambda value: -5.0)
    path = forger.submit(tmp_path / "theirs.genbench.zip")
    code, out, err = board(tmp_path / "none", "--add", path)
    assert (code, "0 of 1 seeds confirmed" in out) == (0, True)
    assert "is left out: sliced_w2 is -5, and cannot be below 0" in err
