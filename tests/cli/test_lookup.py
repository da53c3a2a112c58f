"""Commands on components, suites and saved runs."""

import json
import shlex
import shutil

import pytest
from helpers.command_line import begin, genbench
from helpers.records import edit_record

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
    shown = genbench("show", "cifar10").stdout
    for said in ("steps=400000", "batch_size=128", "ema=0.9999", "n=50000", "Usual metrics: fid-legacy"):
        assert said in shown


@pytest.mark.parametrize("name", ["plan", "tarflow", "cifar10"])
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


def test_a_run_is_found_by_the_beginning_of_its_name_and_its_command_repeats_it(kept):
    results, record, _ = kept
    place, before = ("--results", results), sorted(results.rglob("*"))
    printed = genbench("show", "cfm-moons", *place).stdout
    assert sorted(results.rglob("*")) == before  # it writes nothing
    assert "sliced_w2" in printed
    assert "By NFE (" in printed
    assert f"picture: {results}/runs/{record['labels']['run']}/{record['labels']['evaluation']}/samples.png" in printed
    (line,) = (line for line in printed.splitlines() if line.startswith("repeat: genbench run"))
    repeated = genbench(*shlex.split(line)[2:], "--json")
    assert json.loads(repeated.stdout) == record
    assert "already done" in repeated.stderr
    assert json.loads(genbench("show", record["labels"]["run"], "--json", *place).stdout) == record
    assert "model, version" in genbench("show", "cfm", *place).stdout  # a component comes before a run
    assert "--open shows the picture of a run" in begin("show", "cfm", "--open").stderr
    (listed,) = json.loads(genbench("list", "runs", *place, "--json").stdout)
    rows = {(row["metric"], row["point"]): row["value"] for row in record["results"]}
    assert (listed["run"], listed["value"]) == (record["labels"]["run"], rows[listed["metric"], "main"])
    assert record["labels"]["run"] in genbench("list", "runs", *place).stdout


def test_listed_runs_state_the_settings_and_contents_in_which_they_differ(cli, swept):
    """Which of ln-points-0-26b1cb20da72 and ln-points-0-d63c4fe5389f had std=0.5? Only `show` told, one by one."""
    _, results = swept

    def listed():
        """Return the model, the metric and the settings of each run."""
        lines = map(str.split, cli("list", "runs", "--results", results)[1].splitlines())
        return sorted({(words[0].split("-")[0], words[3], *words[5:]) for words in lines})

    def edit(record):
        record["spec"]["model"]["name"] = record["labels"]["model"] = f"ln@0000000{record['spec']['seed']}"
        record["results"] = [{**row, "metric": row["metric"].replace("nfe", own)} for row in record["results"]]
        record["spec"]["metrics"][own] = record["spec"]["metrics"].pop("nfe")
        for measured in record["provenance"]["measurements"]:
            measured["metrics"] = [own if name == "nfe" else name for name in measured["metrics"]]

    own = "gap@9caa24b0"
    assert listed() == [("cfm", "nfe"), ("wcfm", "nfe", "kappa=0.5")]
    for path in results.glob("runs/cfm-*/*/record.json"):
        edit_record(path, edit)
    assert listed() == [("cfm", "gap", "ln@00000000"), ("cfm", "gap", "ln@00000001"), ("wcfm", "nfe", "kappa=0.5")]
    assert "gap@" not in cli("list", "runs", "--results", results, "--json")[1]


def test_a_beginning_of_several_names_is_refused(kept):
    results, record, _ = kept
    folder = results / "runs" / record["labels"]["run"]
    other = folder.with_name("cfm-moons-1-000000000000")
    other.mkdir()
    assert begin("show", "cfm-m", "--results", results).code == 0  # nothing was measured there
    shutil.copytree(folder, other, dirs_exist_ok=True)
    for command in ("show", "eval"):
        done = begin(command, "cfm-m", "--results", results)
        assert done.code == 2
        assert "2 runs begin with cfm-m" in done.stderr
