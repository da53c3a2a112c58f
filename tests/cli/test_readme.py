import re
from pathlib import Path

import genbench

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_new_method_of_the_readme_runs_and_finds_the_gaussian(tmp_path, monkeypatch):
    from genbench.registry import models

    monkeypatch.setitem(models._entries, "affine", None)  # taken out again at the end
    (method,) = (block for block in blocks("python") if "class Gaussian" in block)
    exec(compile(method, "README.md", "exec"), {"__name__": "readme"})
    settings = {"data": {"mean": 2.0, "std": 0.5}, "plan": {"steps": 800, "lr": 0.02}, "metric": {"nll": {"n": 4000}}}
    record = genbench.run("affine", "gaussian", metrics=["nll", "straightness"], settings=settings, results=tmp_path)
    rows = {row["metric"]: row for row in record["results"]}
    assert abs(rows["nll"]["value"] - rows["nll"]["floor"]) < 0.01
    assert "ODE" in rows["straightness"]["reason"]


def test_the_method_has_some_thirty_lines():
    (method,) = (block for block in blocks("python") if "class Gaussian" in block)
    assert len([line for line in method.splitlines() if line.strip()]) <= 32


def test_every_command_of_the_readme_exists():
    from genbench.cli.main import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    used = set(re.findall(r"^genbench (\w+)", README, re.MULTILINE))
    assert used
    assert used <= known


def test_the_suite_of_the_readme_is_one(tmp_path):
    from genbench.sweeps.suite import load

    (suite,) = blocks("toml")
    (tmp_path / "suite.toml").write_text(suite)
    assert len(load(tmp_path / "suite.toml").specs) == 27


def test_every_target_of_the_readme_exists():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^`?make (\w+)|`make (\w+)`", README, re.MULTILINE))
    assert targets
    for target in ("".join(pair) for pair in targets):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
