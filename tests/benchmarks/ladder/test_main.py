"""The command of the ladder: it says in one line what is wrong, and registers predictions once."""

import sys

import pytest
from helpers.published import RESULTS
from helpers.tracks import planted

from benchmarks.ladder.__main__ import main
from genbench.results.reader import RECORDS
from genbench.runs.record import format_published


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


def test_predictions_are_registered_once(monkeypatch, capsys, tmp_path):
    (tmp_path / "plane-v1").mkdir()
    (tmp_path / "plane-v1" / RECORDS).write_bytes(format_published([*planted(20), *planted(50)]))
    words = "--results", str(tmp_path), "--predict", "plane-v1", "50", "20000", "ratio"
    run(monkeypatch, *words)
    path = tmp_path / "plane-v1" / "predictions_ratio.toml"
    path.write_text("as registered")
    with pytest.raises(SystemExit):
        run(monkeypatch, *words)
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"{path} exists: predictions are registered once")
    assert path.read_text() == "as registered"
