"""Printing: cells fit a screen, labels do not control the terminal, and the next command can be typed as it is."""

import re
import shlex
from pathlib import Path

from helpers.command_line import METRICS, TINY, genbench
from helpers.reports import printed

from genbench.analysis.compare import Change, Comparison, Difference
from genbench.analysis.significance import paired
from genbench.cli.printing import SHOWN, print_cells, print_comparison, print_folder, print_models
from genbench.results.status import FolderStatus


def test_a_large_suite_fits_a_screen():
    cells = [f"cfm on moons, seed {n}" for n in range(360)]
    assert printed(print_cells, cells).splitlines() == [*cells[:SHOWN], f"and {360 - SHOWN} more"]


def test_all_reasons_are_shown_however_many_runs_share_one():
    stale = {f"cfm-{n}/e": "version 0 of cfm" for n in range(31)} | {"wcfm/e": "version 0 of wcfm"}
    folder = FolderStatus(32, 0, {}, [], [], stale, stale, {}, {}, [], {})
    assert printed(print_folder, folder, Path("r")).splitlines() == [
        "r: 32 records",
        "failed: 31 x version 0 of cfm: cfm-0/e, cfm-1/e, cfm-2/e, ... (--json)",
        "failed: 1 x version 0 of wcfm: wcfm/e",
        "outdated: 31 x version 0 of cfm: cfm-0/e, cfm-1/e, cfm-2/e, ... (--json)",
        "outdated: 1 x version 0 of wcfm: wcfm/e",
    ]


def test_no_label_reaches_the_terminal_as_a_command():
    evil = "cfm\x1b[31m\x1b]0;title\x07\r\nx\x9b2J\u202e[bold]"
    text = printed(print_cells, [evil, evil])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert text.count("cfm x[bold]") == 2


def test_the_output_of_commands_fits_80_columns(cli, swept, own_home, tmp_path, monkeypatch):
    """Lines with a path, and errors, which are one line each, may be longer."""
    suite, results = swept
    monkeypatch.chdir(tmp_path)
    small = ["--metric", "w2", "--set", "plan.steps=3", "--set", "evaluation.n=64", "--set", "evaluation.curve=[]"]
    calls = [
        ["list"],
        ["show", "wcfm"],
        ["show", "plan"],
        ["new", "model", "mine"],
        ["check", "mine.py"],
        ["doctor"],
        ["leaderboard", "--results", results],
        ["results", "status", "--results", results],
        ["sweep", suite, "--results", results, "--dry-run"],
        ["report", "--results", results],
        ["compare", "cfm", "wcfm", "--dataset", "moons", "--results", results],
        ["results", "submit", suite, "--to", "x.genbench.zip", "--results", results],
        ["verify", "x.genbench.zip", "--sample", "1"],
        ["leaderboard", "--results", results, "--add", "x.genbench.zip"],
        ["verify", "--results", results, "--sample", "1"],
        ["run", "--model", "cfm", "--dataset", "moons", "--seeds", "0-1", "--results", results, *small],
    ]
    wide = []
    for call in calls:
        code, out, err = cli(*call)
        assert code == 0, (call, err)
        wide += [line for line in [*out.splitlines(), *err.splitlines()] if len(line) > 80 and "/" not in line]
    assert not wide


def compared(*metrics):
    difference = paired({0: 1.0, 1: 2.0, 2: 4.0}, {0: 1.1, 1: 1.9, 2: 4.2})
    values = [Difference(metric, 1.0, 2.0, difference, 0.5, "lower") for metric in metrics]
    comparison = Comparison("cfm on moons", "otcfm on moons", [], [], values, [])
    return " ".join(printed(print_models, comparison).split())


def test_one_metric_is_compared_in_a_sentence_and_several_in_a_table():
    sentence, table = compared("w2"), compared("w2", "nll")
    assert sentence.startswith("w2: not separated")
    assert "verdict" not in sentence
    assert table.startswith("cfm on moons -> otcfm on moons metric first")
    assert "w2: not" not in table
    for text in (sentence, table):
        assert "80 % power" in text


def test_the_metrics_with_too_few_seeds_are_named_without_a_p_value():
    """Too few seeds to test: run both models with more seeds, beside "better" of another metric."""
    one = {0: 1.0, 1: 2.0, 2: 4.0}
    equal, apart = ({seed: one[seed] + 1 + k * seed for seed in one} for k in (0, 0.01))
    values = [
        Difference(metric, 2.0, 3.0, paired(other, one), p, "lower")
        for metric, other, p in (("nfe", equal, 0.11), ("w2", apart, 0.0064))
    ]
    text = printed(print_models, Comparison("cfm on moons", "otcfm on moons", [], [], values, []))
    assert "Too few seeds to test nfe: run both models" in " ".join(text.split())
    assert ("0.11" in text, "0.0064" in text, "worse" in text) == (False, True, True)
    text = printed(print_models, Comparison("cfm on moons", "otcfm on moons", [], [], values[:1] * 2, []))
    assert "Too few seeds to test: run both models" in " ".join(text.split())


def test_runs_without_a_common_value_are_named_without_an_empty_table():
    spec = [Change("plan.steps", 1, 2), Change("metrics.w2", None, {"n": 9}), Change("metrics.nll.n", 8, 9)]
    part = Comparison("cfm on moons", "cfm on moons", spec, [], [], ["only the second measured w2"])
    assert printed(print_comparison, [part], []).splitlines() == [
        "cfm on moons: no value was measured in the same way and with a common seed",
        "spec: plan.steps 1 -> 2",
        "spec: metrics.nll.n 8 -> 9",
        "only the second measured w2",
    ]


OWN = """
from genbench.registry import models
from genbench.testing.toys import AffineFlow
@models.register("mine")
def mine(event, source) -> AffineFlow:
    "Mine."
    return AffineFlow(event, source)
"""


def test_a_run_of_ones_own_files_is_shown_and_compared_under_their_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "données.csv").write_text("a,b\n" + "".join(f"{k % 7},{k % 11}\n" for k in range(400)))
    tiny = [*TINY[:2], "--set", "evaluation.n=40", "--set", "evaluation.curve=[]", *METRICS, "--results", "r"]
    ran = genbench("run", "--model", "mine.py", "--dataset", "données.csv", *tiny).stdout
    assert "mine on données, seed 0" in ran
    assert ran.splitlines()[-1].startswith("next: genbench show mine-donn_es-0-")
    assert "mine on données, seed 0" in genbench(*shlex.split(ran.splitlines()[-1])[2:]).stdout
    genbench("run", "--model", "cfm", "--dataset", "données.csv", *tiny)
    compared = genbench("compare", "mine", "cfm", "--dataset", "données", "--results", "r").stdout
    assert compared == genbench("compare", "mine.py", "cfm", "--dataset", "données.csv", "--results", "r").stdout
    assert "mine on données  ->  cfm on données" in compared
    listed = genbench("list", "runs", "--results", "r").stdout
    assert "mine" in listed
    assert "@" not in listed
