"""The README and the pages under docs/: every command, target, suite, code block and link in them works."""

import re
import shlex
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pandas as pd
import pytest

import genbench
from genbench.suites import find

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
}
TUTORIALS = {path.relative_to(ROOT).as_posix(): path for path in sorted((ROOT / "docs" / "tutorials").glob("*.py"))}
# What jupytext makes of a tutorial's cells of text and of shell commands. `make docs` executes the tutorials.
PAGES |= {name: re.sub(r"^# ?", "", path.read_text(), flags=re.MULTILINE) for name, path in TUTORIALS.items()}


def blocks(language):
    return [block for page in PAGES.values() for block in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)]


def new_method(name="Gaussian"):
    (method,) = (block for block in blocks("python") if f"class {name}" in block)
    return method


def test_the_new_method_finds_the_gaussian_and_runs_with_classes_where_there_are_some(tmp_path, monkeypatch):
    from genbench.testing import check_module
    from genbench.user_code import FILES

    monkeypatch.setenv(FILES, "")
    file = tmp_path / "my_model.py"
    file.write_text(new_method() + new_method("ByClass"))
    lines = list(check_module(str(file)))
    checked = "draw, loss, gradient, sample, state, log_prob"
    assert any(line.startswith(f"model affine on vectors: {checked}") for line in lines)
    lines = [line for line in lines if "affine-by-class" in line]
    assert "the data has no classes" in lines[0]
    assert all(checked in line for line in lines[1:])
    assert len([line for line in new_method().splitlines() if line.strip()]) <= 32
    settings = {"data": {"mean": 2.0, "std": 0.5}, "plan": {"steps": 800, "lr": 0.02}, "metric": {"nll": {"n": 4000}}}
    chosen = {"metrics": ["nll", "straightness"], "settings": settings, "results": tmp_path}
    rows = {row["metric"]: row for row in genbench.run(f"{file}:affine", "gaussian", **chosen)["results"]}
    assert abs(rows["nll"]["value"] - rows["nll"]["floor"]) < 0.01
    assert "ODE" in rows["straightness"]["reason"]
    settings = {"plan": {"steps": 5}, "evaluation": {"n": 64}, "metric": {"nll": {"n": 64}}}
    measured, refused = (
        genbench.run(f"{file}:affine-by-class", data, metrics=["nll", "w2"], settings=settings, results=tmp_path)
        for data in ("moons", "gaussian")
    )
    assert {row["metric"] for row in measured["results"] if row["value"] is not None} == {"nll", "w2"}
    assert all("the data has no classes" in row["reason"] for row in refused["results"])


def commands():
    """Return the arguments of every call of genbench in a shell block, without pipes and redirections."""
    cells = [
        re.findall(r'^%% language="bash"\n(.*?)(?=^%%|\Z)', PAGES[name], re.MULTILINE | re.DOTALL) for name in TUTORIALS
    ]
    lines = re.sub(r"\\\n *", "", "\n".join([*blocks("sh"), *chain(*cells)])).splitlines()
    calls = [re.split(r" [|&]|;| 2?>", line)[0] for line in lines if line.startswith("genbench ")]
    return sorted({tuple(shlex.split(call, comments=True)[1:]) for call in calls})


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_every_command_and_option_exists(arguments):
    from typer.main import get_command

    from genbench.cli.main import app, trusted_files

    command, name, typed, context = get_command(app), "genbench", trusted_files(list(arguments))[1], None
    while hasattr(command, "commands"):
        context = command.make_context(name, list(typed), parent=context, resilient_parsing=True)
        name, command, typed = command.resolve_command(context, list(typed))
    with command.make_context(name, typed, parent=context) as parsed:
        assert parsed.args == []


def test_no_shell_reads_a_list_as_a_pattern():
    """zsh stops at --over model.kappa=[0.5,1], unless it is quoted."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "genbench" / "cli").glob("*.py")]
    text = "\n".join([*PAGES.values(), *sources])
    assert "--over 'model.kappa=[" in text
    assert not re.findall(r"--(?:over|set)\s+[\w.:-]+=\[", text)


def test_the_difference_that_a_page_prints_is_that_of_its_command(committed, monkeypatch):
    """The name of a model in it was ambiguous."""
    from typer.testing import CliRunner

    from genbench.cli.main import app

    monkeypatch.chdir(committed.parent)
    (call,) = [call for call in commands() if "results/couplings-digits" in call]
    (said,) = re.findall(r"the ([\d.]+) that the command above prints", PAGES["docs/trust.md"])
    assert f"lower by {said}" in CliRunner().invoke(app, [*call]).output


def test_the_tutorial_on_samples_prints_the_protocols_that_it_asks_to_compare():
    page = PAGES["docs/tutorials/own_samples.py"]
    measured = re.findall(r"^genbench (?:eval|run) .*\n(?: .*\n)?", page, re.MULTILINE)
    shown = [call for call in measured if "moons" in call]
    assert len(shown) == 3
    assert all(" --full" in call for call in shown)


def test_a_suite_is_saved_before_it_is_swept():
    for name, text in PAGES.items():
        suites = re.findall(r"^genbench sweep (\w+\.toml)", text, re.MULTILINE) if "```toml" in text else []
        assert all(re.search(f"Save this \\w+ as `{suite}`", text) for suite in suites), name


def test_functions_of_the_package_exist():
    """genbench.registry was called without being imported."""
    assert {*re.findall(r"\bgenbench\.([\w.]+)\(", "\n".join(PAGES.values()))} <= {*genbench.__all__}


def test_every_model_is_on_its_page():
    from genbench.registry import models

    own = [name for name in models if "@" not in name]  # other tests load files
    assert not [name for name in own if not re.search(rf"`{name}`|--model {name}\b", PAGES["docs/models.md"])]


ELSEWHERE = ("data.path=cifar10.tar.gz", "model.text.name=transformers", "mine.py", "spread.py")
ELSEWHERE += ("model.net=my_net.py", "model.encoder=my_encoder.py")
"""Of runs that need a file or a download."""


@pytest.mark.parametrize(
    "arguments", [call for call in commands() if call[0] == "run" and not {*call} & {*ELSEWHERE}], ids=" ".join
)
def test_every_run_is_a_valid_request(arguments, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from genbench.cli.main import app

    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(("words", "cells"), [("include", 37), ("stack", 40), ("[track]", 32)])
def test_suites_are_valid(tmp_path, words, cells):
    from genbench.sweeps.suite import load

    suites = [block for block in blocks("toml") if "datasets" in block]
    assert len(suites) == 3
    (suite,) = (block for block in suites if words in block and ("include" in block) == (words == "include"))
    (tmp_path / "suite.toml").write_text(suite)
    assert len(load(tmp_path / "suite.toml").specs) == cells


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from genbench.cli.main import app

    monkeypatch.chdir(tmp_path)
    coupling, code = re.findall(r"```python\n(.*?)```", PAGES["README.md"], re.DOTALL)
    (tmp_path / "my_model.py").write_text(coupling)
    run = "run --model my_model.py --dataset moons --metric straightness --set plan.steps=2"
    result = CliRunner().invoke(app, run.split())
    assert result.exit_code == 0, result.output
    names = {}
    exec(compile(code.replace('"steps": 500', '"steps": 2'), "README.md", "exec"), names)
    assert names["samples"].numpy().shape == (100, 2)


def test_the_python_of_the_page_on_pandas_runs_in_a_folder_with_other_data_too(committed, monkeypatch):
    """It paired seeds across data sets."""

    def with_others(read):
        return lambda path: pd.concat([read(path), read(path).assign(data="others")])

    monkeypatch.chdir(committed.parent)
    for name in ("frame", "table"):
        monkeypatch.setattr(genbench, name, with_others(getattr(genbench, name)))
    names = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", PAGES["docs/pandas.md"], re.DOTALL)), names)
    assert {*names["main"].data} == {*names["frame"].data} - {"others"}
    assert len(names["wide"]) == names["frame"].seed.nunique()


def test_formulas_belong_to_components_and_are_latex():
    from genbench.registry import ALL

    convert = pytest.importorskip("latex2mathml.converter").convert
    formulas = tomllib.loads((ROOT / "docs" / "site" / "formulas.toml").read_text(encoding="utf-8"))
    for kind, named in formulas.items():
        for name, formula in named.items():
            assert name in ALL[kind], name
            for line in formula.splitlines():
                assert "\\" not in convert(line), f"{name}: a command that is not known is left as it is"


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


def test_make_install_shows_its_progress_and_ends_with_how_to_use_what_it_made(tmp_path):
    """It was silent for minutes, and its genbench was "command not found"."""

    def make(folder, *options):
        command = ["make", "-C", ROOT, "install", f"VENV={folder}", *options]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    (tmp_path / ".installed").touch()
    assert f"ready: . {tmp_path}/bin/activate\n" in make(tmp_path)
    planned = make(tmp_path / "new", "--dry-run")
    assert "--editable '.[dev]'" in planned
    assert "--quiet" not in planned


def component(link):
    """Return whether a link leads to a page that is made from the registry."""
    from genbench.registry import ALL

    found = re.fullmatch(r"components/(\w+)/([\w-]+)\.md", link)
    return found is not None and found[2] in ALL[found[1]]


@pytest.mark.parametrize("page", PAGES)
def test_links_and_paths_lead_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", PAGES[page]) if "://" not in link]
    paths = re.findall(r"`((?:genbench|benchmarks|tests)/[\w./]+)`", PAGES[page])
    lost = [link for link in links if not ((ROOT / page).parent / link).exists() and not component(link)]
    assert not lost + [path for path in paths if not (ROOT / path).exists()]


def test_the_pattern_of_the_own_row_finds_no_line_of_a_caption(committed):
    """A wrapped caption had a line that began with "methods in turns"."""
    from typer.testing import CliRunner

    from genbench.cli.main import app

    (pattern,) = re.findall(r"genbench leaderboard \| grep -E '(.*)'", "\n".join(PAGES.values()))
    lines = CliRunner().invoke(app, ["leaderboard", "--results", str(committed)]).output.splitlines()
    found = [number for number, line in enumerate(lines) if re.match(pattern, line)]
    heads = {number for number in found if lines[number].startswith("method ")}
    assert all(re.fullmatch("─+", lines[number + 1]) for number in heads)
    assert len(heads) >= 10
    assert {lines[number].partition(",")[0] for number in found if number not in heads} == {"plane-v1"}


def test_the_quickstart_verifies_all_records_of_its_submission():
    """It verified 60 of 80, so no row had all its seeds confirmed."""
    track = tomllib.loads(find("plane-v1").read_text("utf-8"))
    count = len(track["datasets"]) * len(track["budgets"][0]["seeds"])
    assert PAGES["docs/quickstart.md"].count(f"all {count} records\ngenbench verify ") == 1
    assert f" --sample {count}\n" in PAGES["docs/quickstart.md"]


def test_blocks_fit_a_page_and_the_readme_is_short():
    assert len(PAGES["README.md"].splitlines()) <= 60
    assert all(f"`{command}`" in PAGES["README.md"] for command in ("make reproduce", "make test"))
    pages = {name: text for name, text in PAGES.items() if name.endswith(".md")}
    wide = [
        f"{name}: {line}"
        for name, text in pages.items()
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
        if language in ("sh", "toml", "text") and len(line) > 80
    ]
    assert not wide
