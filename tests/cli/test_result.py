"""The next command goes from a first run to a comparison, and can be typed as it is."""

import shlex

from helpers.command_line import METRICS, TINY, genbench

OWN = """
from genbench.registry import models
from genbench.testing.toys import AffineFlow
@models.register("mine")
def mine(event, source) -> AffineFlow:
    "Mine."
    return AffineFlow(event, source)
"""


def next_of(done):
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("next: "))
    assert done.stdout.splitlines()[-1] == line
    return shlex.split(line)[2:]


def test_a_run_of_ones_own_files_leads_to_a_comparison_under_their_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "people.csv").write_text("a,b\n" + "".join(f"{k % 7},{k % 11}\n" for k in range(400)))
    tiny = [*TINY[:2], "--set", "evaluation.n=40", "--set", "evaluation.curve=[]"]
    first = genbench("run", "--model", "mine.py", "--dataset", "people.csv", *tiny, *METRICS, "--results", "r")
    assert "mine on people, seed 0" in first.stdout
    second = genbench(*next_of(first))
    words = next_of(second)
    assert words == ["compare", "mine", "cfm", "--dataset", "people", "--results", "r"]
    compared = genbench(*words).stdout
    assert compared == genbench("compare", "mine.py", "cfm", "--dataset", "people.csv", "--results", "r").stdout
    assert "mine on people  ->  cfm on people" in compared
    for command in (["leaderboard"], ["list", "runs"]):
        printed = genbench(*command, "--results", "r").stdout
        assert "mine" in printed
        assert "@" not in printed
