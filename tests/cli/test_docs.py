"""The README and the pages under docs/: every command, target, suite, code block and link in them works."""

import re
from pathlib import Path

import pytest

import genbench

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
}


def blocks(language):
    return [block for page in PAGES.values() for block in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)]


def new_method():
    (method,) = (block for block in blocks("python") if "class Gaussian" in block)
    return method


def test_the_new_method_runs_and_finds_the_gaussian(tmp_path, monkeypatch):
    from genbench.registry import models

    monkeypatch.setitem(models._entries, "affine", None)  # removed again at the end
    exec(compile(new_method(), "new_method.md", "exec"), {"__name__": "readme"})
    settings = {"data": {"mean": 2.0, "std": 0.5}, "plan": {"steps": 800, "lr": 0.02}, "metric": {"nll": {"n": 4000}}}
    record = genbench.run("affine", "gaussian", metrics=["nll", "straightness"], settings=settings, results=tmp_path)
    rows = {row["metric"]: row for row in record["results"]}
    assert abs(rows["nll"]["value"] - rows["nll"]["floor"]) < 0.01
    assert "ODE" in rows["straightness"]["reason"]


def test_the_new_method_has_some_thirty_lines():
    assert len([line for line in new_method().splitlines() if line.strip()]) <= 32


def test_every_command_exists():
    from genbench.cli.main import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    used = set(re.findall(r"^genbench (\w+)", "\n".join(blocks("sh")), re.MULTILINE))
    assert used
    assert used <= known


def test_the_suite_is_valid(tmp_path):
    from genbench.sweeps.suite import load

    (suite,) = blocks("toml")
    (tmp_path / "suite.toml").write_text(suite)
    assert len(load(tmp_path / "suite.toml").specs) == 27


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(
        re.findall(
            r"\bmake ([a-z-]+)\b(?=[`\s])",
            "\n".join([*blocks("sh"), *re.findall(r"`make [a-z-]+`", "\n".join(PAGES.values()))]),
        )
    )
    assert {"reproduce", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES)
def test_links_and_paths_lead_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", PAGES[page]) if "://" not in link]
    paths = re.findall(r"`((?:genbench|benchmarks|tests)/[\w./]+)`", PAGES[page])
    lost = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert not lost + [path for path in paths if not (ROOT / path).exists()]


def test_the_readme_is_short():
    assert len(PAGES["README.md"].split()) <= 900
