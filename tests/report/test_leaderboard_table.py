"""The leaderboard as a table: it fits a screen, and says what the results say, in every format."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from helpers.leaderboards import known, run
from rich.console import Console

from genbench.analysis.leaderboard import leaderboard
from genbench.analysis.values import Failure, SuiteResults, load_suites, without_tracks
from genbench.report.content import gather
from genbench.report.formats.page import pages
from genbench.report.formats.terminal import show
from genbench.report.leaderboard_table import METHODS, TASKS, leaderboard_table, task_tables
from genbench.runs.store import Store

RESULTS = Path(__file__).parents[2] / "results"


def printed(table):
    out = io.StringIO()
    show([table], Console(file=out, width=80))
    return out.getvalue()


def cells_of(table, method):
    (row,) = [row for row in table.rows if row.label == method]
    return dict(zip([column.title for column in table.columns], row.cells, strict=True))


def test_the_committed_results_fit_a_screen_and_say_what_they_say(committed):
    found = leaderboard(without_tracks(load_suites(Store(committed))), most=TASKS)
    table = leaderboard_table(found, METHODS)
    text = printed(table).splitlines()
    assert len(text) <= 40
    assert max(map(len, text)) <= 80
    assert (len(table.rows) <= 10, len(table.columns) + 1 <= 7, table.rows[0].floor) == (True, True, True)
    digits = {row.label: row.cells[[c.title for c in table.columns].index("digits")] for row in table.rows}
    letters = {method: cell.letters for method, cell in digits.items() if cell.letters}
    assert letters == {"sdcfm": "a", "otcfm": "ab", "wcfm": "bc", "cfm": "c", "wcfm-balanced": "c", "reflow": "d",
                       "starflow": "e", "tarflow": "e"}  # fmt: skip
    noted = {table.notes[i - 1] for i in cells_of(table, "nsf")["8gaussians"].notes}
    assert noted == {"3 of 10 seeds"}
    assert cells_of(table, "sdcfm")["moons"].aside
    assert cells_of(table, "tarflow")["8gaussians-moons"].text == "unsupported"
    assert "kappa=0.5" in {table.notes[i - 1] for i in cells_of(table, "wcfm")["digits"].notes}
    legend = " ".join(table.legend)
    assert all(method in legend for method in found.methods[METHODS:][:3])
    best = {board.pairs.order[0] for board in found.boards[:TASKS]}
    assert best <= {row.label for row in table.rows}  # no method that leads a column is left out
    shown = [column.title for other in task_tables(found, 5) for column in other.columns if column.title != "NFE"]
    assert len(shown) == len(found.boards) - TASKS


def test_one_seed_is_too_few_and_a_missing_cell_is_a_word():
    found = leaderboard([SuiteResults("tiny", (*known(1), run("vp", 0, 9.0)), ())])
    table = leaderboard_table(found)
    assert "too few seeds to compare methods" in table.legend[0]
    assert not any(cell.letters or cell.leading for row in table.rows for cell in row.cells)
    assert "tie" not in printed(table)
    assert cells_of(table, "vp")["mixture"].text == "missing"


def test_the_caption_names_the_metrics_of_the_curves_and_a_bound_has_a_sign():
    """That of digits was called sliced W2; the first measured point was printed as if it were where the target is."""
    curve = [(20.0, 0.9), (40.0, 0.8)]
    runs = [run("cfm", s, 1.0 + s / 99, data, curve=curve) for data in ("moons", "mixture") for s in range(3)]
    for each in runs[:3]:
        each.record["results"] += [row | {"metric": "sliced_w2"} for row in each.record["results"]]
        each.record["results"][1:3] = []
    found = leaderboard([SuiteResults("tiny", tuple(runs), ())])
    table = leaderboard_table(found)
    assert "(of sliced_w2, w2)" in table.legend[0]
    assert "≤: already with the fewest evaluations that were measured" in table.legend[0]
    assert cells_of(table, "cfm")["NFE"].text == "≤20"
    assert {(row["nfe_to_target"], row["nfe_at_most"]) for row in found.rows()} == {(20.0, True)}


def test_the_command_prints_text_csv_json_and_markdown(cli, tmp_path):
    shutil.copytree(RESULTS / "density", tmp_path / "density")
    assert "mixture dims=10" in cli("leaderboard", "--results", tmp_path, "--suite", "density")[1]
    rows = list(
        csv.DictReader(io.StringIO(cli("leaderboard", "--results", tmp_path, "--suite", "density", "--csv")[1]))
    )
    found = json.loads(cli("leaderboard", "--results", tmp_path, "--json")[1])
    assert sorted(row["mean"] for row in found["rows"]) == sorted(float(row["mean"]) for row in rows)
    shown = cli("leaderboard", "--results", tmp_path, "--dataset", "mixture", "--markdown")[1]
    assert re.search(r"^\| nsf +\| ", shown, re.MULTILINE)
    assert cli("leaderboard", "--results", tmp_path, "--csv", "--json")[0] == 2
    code, _, err = cli("leaderboard", "--results", tmp_path, "--dataset", "mixtur")
    assert (code, err.strip()) == (2, "genbench: no results on a data set called 'mixtur'; did you mean 'mixture'?")


def test_methods_with_failed_runs_are_named(tmp_path):
    """Those without a run left, and those with some; a suite that lists a failure again does not count it twice."""
    failures = [Failure("otcfm", "moons", seed, "the loss is not finite") for seed in range(3)]
    failures += [Failure("wcfm", "moons", seed, "the loss is not finite") for seed in range(2)]
    cfm = [run("cfm", seed, 1.0 + seed) for seed in range(3)]
    tiny = SuiteResults("tiny", (*cfm, run("wcfm", 2, 5359.0)), tuple(failures))
    found = leaderboard([tiny, SuiteResults("again", (), tuple(failures[:3]))])
    table = leaderboard_table(found)
    assert cells_of(table, "otcfm")["moons"].text == "failed 3 of 3 seeds"
    assert cells_of(table, "wcfm")["moons"].aside
    assert "failed 2 of 3 seeds" in table.notes
    said = "Failed: otcfm on moons (3 of 3 seeds), wcfm on moons (2 of 3 seeds)."
    assert said in table.legend
    assert found.json()["failed"][0] == {"model": "otcfm", "data": "moons", "failed": 3, "seeds": 3}
    assert said in pages(gather([tiny], tmp_path), found, "report.html")["report.html"]
    others = leaderboard([tiny, SuiteResults("other", tuple(known(2, ["mixture"])), ())], ["mixture"])
    assert not any("Failed" in line for line in leaderboard_table(others).legend)
    for number in range(50):
        again = SuiteResults(str(number), (), (Failure("a-long-name" * 9, f"data-{number}", 0, "no memory"),))
        found = found._replace(failed=(*found.failed, *leaderboard([tiny, again]).failed[-1:]))
    text = printed(leaderboard_table(found)).splitlines()
    assert len(text) <= 40
    assert max(map(len, text)) <= 80


@pytest.fixture
def rows(swept, cli):
    return json.loads(cli("leaderboard", "--results", swept[1], "--json")[1])["rows"]


@pytest.mark.parametrize(("suffix", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_a_file_has_the_rows_of_the_leaderboard(swept, tmp_path, cli, rows, suffix, read):
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
