"""The leaderboard as text and CSV: it fits a screen, and says what the results say."""

import csv
import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from helpers.leaderboards import known, run

from genbench.analysis.dataset_board import OTHER_SEEDS
from genbench.analysis.leaderboard import leaderboard
from genbench.analysis.suite_results import SuiteResults, load_suites
from genbench.analysis.values import Failure
from genbench.report.content import gather
from genbench.report.formats import leaderboard as formats
from genbench.report.formats.page import pages
from genbench.runs.store import Store

RESULTS = Path(__file__).parents[3] / "results"


def test_the_committed_results_fit_a_screen_and_say_what_they_say(committed):
    suites = load_suites(Store(committed))
    found = leaderboard(suites)
    for board in (found, leaderboard(suites, variants=True)):
        text = formats.lines(board)
        assert len(text) <= 42
        assert max(map(len, text)) <= 80
    boards = {board.data: board for board in found.boards}
    assert {e.method: e.rank for e in boards["digits"].entries if e.rank} == {
        "otcfm": 1, "sdcfm": 1, "cfm": 3, "wcfm-balanced": 3, "reflow": 5, "wcfm": 6, "starflow": 7, "tarflow": 8,
    }  # fmt: skip
    assert {e.mark for e in boards["8gaussians"].entries if e.method == "nsf"} == {OTHER_SEEDS}
    notes = " ".join(" ".join(formats.lines(found)[-9:]).split())
    assert "curve (of sliced_w2) within 5 %" in notes  # ranks are by w2
    assert "wcfm: kappa=1.0 (digits: kappa=0.0902); reflow: start=anew (digits: start=anew pairs=10000); " in notes
    assert "; tarflow, starflow: width=32 (digits: the defaults)" in notes
    table = {line.split()[0]: line for line in formats.lines(found)[:10] if line}
    assert table["otcfm"].split()[3] == table["wcfm-balanced"].split()[3] == "a"


def test_the_command_prints_text_csv_and_json(cli, tmp_path):
    shutil.copytree(RESULTS / "density", tmp_path / "density")
    assert "mixture dims=10" in cli("leaderboard", "--results", tmp_path)[1]
    rows = list(
        csv.DictReader(io.StringIO(cli("leaderboard", "--results", tmp_path, "--suite", "density", "--csv")[1]))
    )
    found = json.loads(cli("leaderboard", "--results", tmp_path, "--json")[1])
    assert [row["mean"] for row in found["rows"]] == [float(row["mean"]) for row in rows]
    code, _, err = cli("leaderboard", "--results", tmp_path, "--dataset", "mixtur")
    assert (code, err.strip()) == (2, "genbench: no results on a data set called 'mixtur'; did you mean 'mixture'?")


def test_methods_with_failed_runs_are_named(tmp_path):
    """Those without a run left, and those with some; a suite that lists a failure again does not count it twice."""
    failures = [Failure("otcfm", "moons", seed, "the loss is not finite") for seed in range(3)]
    failures += [Failure("wcfm", "moons", seed, "the loss is not finite") for seed in range(2)]
    cfm = [run("cfm", seed, 1.0 + seed) for seed in range(3)]
    tiny = SuiteResults("tiny", (*cfm, run("wcfm", 2, 5359.0)), tuple(failures))
    again = SuiteResults("again", (), tuple(failures[:3]))
    found = leaderboard([tiny, again])
    said = "Failed: otcfm on moons (3 of 3 seeds), wcfm on moons (2 of 3 seeds)."
    assert said in formats.lines(found)
    assert found.json()["failed"][0] == {"model": "otcfm", "data": "moons", "failed": 3, "seeds": 3}
    report = gather([tiny], tmp_path)
    assert said in pages(report, found, "report.html")["report.html"]
    others = leaderboard([tiny, SuiteResults("other", tuple(known(2, ["mixture"])), ())], ["mixture"])
    assert not any("Failed" in line for line in formats.lines(others))
    for number in range(50):
        again = SuiteResults(str(number), (), (Failure("a-long-name" * 9, f"data-{number}", 0, "no memory"),))
        found = found._replace(failed=(*found.failed, *leaderboard([tiny, again]).failed[-1:]))
    text = formats.lines(found)
    assert len(text) <= 40
    assert max(map(len, text)) <= 80


@pytest.fixture
def rows(swept, cli):
    return json.loads(cli("leaderboard", "--results", swept[1], "--json")[1])["rows"]


@pytest.mark.parametrize(("suffix", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_a_table_has_the_rows_of_the_leaderboard(swept, tmp_path, cli, rows, suffix, read):
    path = tmp_path / f"board.{suffix}"
    code, _, err = cli("leaderboard", "--results", swept[1], "--export", path)
    assert code == 0
    assert str(path) in err
    table = read(path)
    assert list(table["mean"]) == pytest.approx([row["mean"] for row in rows])
    assert list(table["method"]) == [row["method"] for row in rows]


def test_the_hub_reads_the_results_of_each_method(swept, tmp_path, cli, rows):
    hub = pytest.importorskip("huggingface_hub")
    if not hasattr(hub, "parse_eval_result_entries"):
        pytest.skip("this huggingface_hub reads no evaluation results")
    cli("leaderboard", "--results", swept[1], "--export", tmp_path / "board.yaml")
    for row in rows:
        data = yaml.safe_load((tmp_path / f"board-{row['method']}.yaml").read_text())
        (entry,) = hub.parse_eval_result_entries(data)
        assert (entry.dataset_id, entry.task_id) == (f"genbench/{row['data']}", row["metric"])
        assert entry.value == row["mean"]


def test_another_suffix_is_refused(swept, tmp_path, cli):
    code, _, err = cli("leaderboard", "--results", swept[1], "--export", tmp_path / "board.xlsx")
    assert code == 2
    assert ".parquet" in err
