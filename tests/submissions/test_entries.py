import csv
import io

import pytest


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """What is verified is remembered by the content of the file, which tests share."""
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "home"))


@pytest.fixture
def ranks(cli):
    """ranks(results, *arguments) -> ({method: row of the leaderboard}, notes)."""

    def call(results, *arguments):
        code, out, _ = cli("leaderboard", "--results", results, "--csv", *arguments)
        assert code == 0
        return {row["method"]: row for row in csv.DictReader(io.StringIO(out))}

    return call


def test_a_submission_is_ranked_beside_ones_own_results(forger, tmp_path, ranks, cli):
    path = forger.submit(tmp_path / "theirs.genbench.zip")
    root, seed = forger.store.root, forger.record_of("cfm", 0)
    forger.set_value(seed, "sliced_w2", lambda value: value + 0.01)  # as from another machine
    forger.set_value(forger.record_of("cfm", 1), "sliced_w2", lambda value: value + 0.01)
    found = ranks(root, "--add", path)
    assert found.keys() == {"cfm", "wcfm", "theirs?:cfm"}
    assert float(found["cfm"]["mean"]) == pytest.approx(float(found["theirs?:cfm"]["mean"]) + 0.01)
    out = cli("leaderboard", "--results", root, "--add", path)[1]
    assert "0 confirmed here" in out
    assert "2 are the same as your own" in out


def test_without_own_results_the_submission_is_shown_alone(forger, tmp_path, ranks):
    path = forger.submit(tmp_path / "theirs.genbench.zip")
    assert ranks(tmp_path / "nothing", "--add", path).keys() == {"theirs?:cfm", "theirs?:wcfm"}


def test_what_was_verified_here_is_said_and_what_was_not_confirmed_is_left_out(forger, tmp_path, ranks, cli):
    for seed in (0, 1):
        forger.set_value(forger.record_of("wcfm", seed), "sliced_w2", lambda value: value / 2)
    path, root = forger.submit(tmp_path / "forged.genbench.zip"), tmp_path / "nothing"
    assert "forged?:wcfm" in ranks(root, "--add", path)
    assert cli("verify", path, "--sample", "9")[0] == 1
    assert ranks(root, "--add", path).keys() == {"forged:cfm"}
    out = cli("leaderboard", "--results", root, "--add", path)[1]
    assert "2 confirmed here" in out
    assert "2 left out" in out


def test_a_later_smaller_sample_does_not_forget_what_was_confirmed(forger, tmp_path, cli):
    path = forger.submit(tmp_path / "theirs.genbench.zip")
    cli("verify", path, "--sample", "4")
    cli("verify", path, "--sample", "0")
    assert "4 confirmed here" in cli("leaderboard", "--results", forger.store.root, "--add", path)[1]
