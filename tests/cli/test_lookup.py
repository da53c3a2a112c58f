"""Commands on components and suites."""

import json

import pytest
from helpers.command_line import genbench, without_torch

from genbench.cli.descriptions import describe_section
from genbench.user_code import FILES


def test_show_a_section_of_settings_or_a_component_of_a_kind(cli):
    assert json.loads(cli("show", "plan", "--json")[1]) == json.loads(json.dumps(describe_section("plan")))
    assert "plan.batch_size" in cli("show", "plan")[1]
    shown = json.loads(cli("show", "dataset", "gaussian", "--json")[1])  # there is a model of that name
    assert shown["kind"] == "data set"
    assert cli("show", "metric", "w2")[1] == cli("show", "w2")[1] == cli("show", "metrics", "w2")[1]
    assert "nothing among models called 'w2'" in cli("show", "model", "w2")[2]
    assert cli("show", "paper", "w2")[0] == 2
    assert "genbench list metrics" in cli("show", "metrics")[2]


@pytest.mark.parametrize("name", ["plan", "data", "sample", "tarflow", "cifar10"])
def test_show_fits_a_screen(cli, name):
    lines = cli("show", name)[1].splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("kind", "option"), [("model", "--model"), ("dataset", "--dataset"), ("metric", "--metric")])
def test_a_new_component_conforms_and_runs_as_it_is(cli, tmp_path, monkeypatch, kind, option):
    monkeypatch.setenv(FILES, "")
    monkeypatch.chdir(tmp_path)
    assert cli("new", kind, "my-own")[0] == 0
    code, out, err = cli("check", "my_own.py")
    assert code == 0, out + err
    other = [*(["--model", "cfm"] if kind != "model" else []), *(["--dataset", "moons"] if kind != "dataset" else [])]
    small = ["--set", "plan.steps=5", "--set", "evaluation.n=64", "--metric", "w2", "--quiet"]
    code, out, err = cli("run", option, "my_own.py", *other, *small)
    assert (code, err) == (0, "")
    assert "w2" in out
    assert "exists already" in cli("new", kind, "my-own")[2]


def test_a_new_suite_is_valid(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("new", "suite", "two")[0] == 0
    assert "18 cells, 18 to run" in cli("sweep", "two.toml", "--dry-run")[2]
    assert cli("new", "suite", "../two")[0] == 2


def test_names_are_listed_without_torch():
    done = without_torch("list")
    assert done.returncode == 0, done.stderr
    assert "wcfm" in done.stdout
    assert "Gibbs" in done.stdout


def test_show_prints_the_defaults_of_a_data_set():
    shown = genbench("show", "cifar10").stdout
    for said in ("steps=400000", "batch_size=128", "ema=0.9999", "n=50000", "Usual metrics: fid-legacy"):
        assert said in shown
