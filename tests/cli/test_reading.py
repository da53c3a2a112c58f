"""Results that commands have kept: reports, what Python loads, and plans of studies."""

import json

import pytest
from helpers.command_line import genbench
from helpers.published import RESULTS

PLAN = {
    "plan": "write --published, or --difference",
    "plan --published --difference 1%": "write --published, or --difference",
    "plan --difference 1.5": "write a percentage",
    "plan --difference -1%": "write a percentage",
    "plan --difference nan%": "write a percentage",
    "plan --difference 1% --metric fed": "did you mean 'fid'",
    "plan --published --add none.toml": "No such file",
    "plan --difference 1% --metric w2 --dataset imagenet64": "no results on a data set called",
    "report --results . --html report.md": "name a file that ends with .html",
    "leaderboard --results . --markdown --json": "choose one",
    "leaderboard --results . --track smoke": "smoke is not a track: it has no [track]; known: cifar10-v1,",
    "leaderboard --results . --track plain-v1": "no track 'plain-v1'; did you mean 'plane-v1'?",
    "leaderboard --track dots": "known: cifar10-v1, digits-v1, latents-v1, maps-v1, plane-v1, transport-v1",
    "leaderboard --results . --track points.toml": "there is no track at points.toml",
    "tune --results . --track plane": "no track 'plane'; did you mean 'plane-v1'?",
}


@pytest.mark.parametrize("words", PLAN)
def test_wrong_plans_and_options_are_refused_in_one_line(inside, words):
    code, _, err = inside(*words.split())
    assert (code, err.count("\n")) == (2, 1)
    assert PLAN[words] in err


def test_an_unknown_suite_is_compared_with_the_swept_ones(cli, tmp_path):
    (tmp_path / "widths").mkdir()
    (tmp_path / "widths/records.jsonl.gz").touch()
    code, _, err = cli("report", "--suite", "width", "--results", tmp_path)
    assert (code, "no suite 'width'; did you mean 'widths'?" in err) == (2, True)


def test_a_track_without_results_says_that_all_is_missing(cli, tmp_path):
    code, out, _ = cli("leaderboard", "--track", "cifar10-v1", "--results", tmp_path)
    assert code == 0
    assert "steps 0 of 12" in " ".join(out.split())


def test_published_differences_are_judged():
    done = genbench("plan", "--published")
    assert "needs 8 (6 to 16) seeds" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    rows = json.loads(genbench("plan", "--published", "--json").stdout)
    assert {row["verdict"] for row in rows} == {"resolved", "inconclusive", "unknown spread"}


def test_a_study_is_planned_from_the_published_spread_or_from_records(tmp_path):
    study = json.loads(genbench("plan", "--difference", "1.5%", "--metric", "fid-legacy", "--json").stdout)
    *_, most = study["options"]
    assert most["samples"] == 50_000
    assert most["seeds"] == [15, 10, 33]
    assert most["hours"]["cifar10"] == pytest.approx([2 * 15 * 3.5, 2 * 15 * 4.1])
    assert "hours of one H100" in genbench("plan", "--difference", "1.5%").stdout
    (tmp_path / "couplings-digits").symlink_to(RESULTS / "couplings-digits")
    words = ["--difference", "10%", "--metric", "fd-digits_cnn", "--dataset", "digits", "--results", tmp_path]
    rows = json.loads(genbench("plan", *words, "--samples", 500, "--samples", 2000, "--json").stdout)["options"]
    assert rows[0]["seeds"][0] > rows[1]["seeds"][0]
