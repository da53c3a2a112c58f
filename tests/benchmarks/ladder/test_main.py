"""The command of the ladder: it says in one line what is wrong."""

import sys
from pathlib import Path

import pytest

from benchmarks.ladder.__main__ import main

RESULTS = Path(__file__).parents[3] / "results"


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["ladder", *words])
    main()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plane-v1", "two", "20000", "ratio"), "numbers of steps"),
        (("plane-v1", "2000", "20000", "luck"), "one of held, ratio, elsewhere"),
        (("plane-v0", "2000", "20000", "ratio"), "no records"),
        (("plane-v1", "20000", "40000", "held"), "plane-v1: no method is trained on moons for 40000 steps"),
        (("plane-v1", "20000", "2000", "ratio"), "no data set has values at 20000 steps and none at 2000"),
    ],
)
def test_bad_input_gets_one_line(monkeypatch, capsys, words, message):
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, "--results", str(RESULTS), "--predict", *words)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
