"""Commands on results folders: status, retry, clean, merge, verify, validate, schema, compare, commands of a sweep."""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from genbench.cli.main import main
from genbench.registry import models
from genbench.report.compare import compare_records
from genbench.report.suites import load_records
from genbench.results.status import of_suite
from genbench.runs.record import format_record, read_record
from genbench.runs.spec import resolve
from genbench.runs.store import Store
from genbench.settings import parse
from genbench.storage import lease
from genbench.sweeps.ensembles import members
from genbench.sweeps.shell_commands import command
from genbench.sweeps.suite import load

SUITES = sorted(Path(__file__).parents[2].glob("genbench/suites/*.toml"))
SUITE = """
datasets = ["moons"]
models = ["cfm", {name = "wcfm", kappa = 0.5}]
metrics = ["sliced_w2", "nfe"]
seeds = [0, 1]
plan = {steps = 10, batch_size = 16}
evaluation = {n = 64, curve = [1]}
"""


@pytest.fixture
def say(monkeypatch, capsys):
    """Run the command line in this process: (exit code, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["genbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return stop.value.code, said.out, said.err

    return call


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished sweep of four cells."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "tiny.toml").write_text(SUITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["genbench", "sweep", str(folder / "tiny.toml"), "--results", str(folder / "r")])
        with pytest.raises(SystemExit) as stop:
            main()
    assert stop.value.code == 0
    return folder


@pytest.fixture
def copy(made, tmp_path):
    """A copy of it: (suite, results)."""
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy/tiny.toml", tmp_path / "copy/r"


def first(results, pattern="runs/*/*/record.json"):
    return sorted(results.glob(pattern))[0]


def rewrite(path, change):
    record = json.loads(json.dumps(read_record(path)))
    change(record)
    path.write_text(format_record(record))


def older(record):
    record["spec"]["model"]["version"] = 0


def test_a_finished_sweep_is_done_and_whole(say, copy):
    suite, results = copy
    assert say("status", results) == (0, f"{results}: 4 records\n", "")
    _, out, err = say("sweep", suite, "--results", results, "--dry-run")
    assert out.count("done ") == 4
    assert "4 cells, 0 to run" in err
    code, out, err = say("verify", results, "--sample", 4)
    assert (code, out.count("bitwise equal")) == (0, 4)
    assert "4 records, 0 damaged files" in err


def test_a_dry_run_estimates_what_is_missing(say, copy):
    suite, results = copy
    rewrite(
        first(results, "runs/cfm-moons-1*/*/record.json"),
        lambda r: r["provenance"]["cost"].update(train_seconds=100, evaluate_seconds=20),
    )
    shutil.rmtree(first(results, "runs/cfm-moons-0*"))
    suite.write_text(SUITE.replace("steps = 10", "steps = 20").replace("[0, 1]", "[0]"))
    cells = of_suite(load(suite).specs, Store(results))
    assert [cell.state for cell in cells] == ["run", "run"]
    assert cells[0].seconds == pytest.approx(220)
    assert "about 4 min" in say("sweep", suite, "--results", results, "--dry-run")[1]


def test_what_is_trained_once_is_estimated_once(copy):
    suite, results = copy
    for path in results.glob("runs/cfm-moons-1*/*/record.json"):
        rewrite(path, lambda r: r["provenance"]["cost"].update(train_seconds=100, evaluate_seconds=20))
    for path in [first(results, "runs/cfm-moons-0*"), *results.glob("runs/wcfm-moons-1*/*/record.json")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    suite.write_text(SUITE.replace('"cfm",', '{name = "cfm", sample = {method = "euler", steps = [1, 2]}},'))
    cells = of_suite(load(suite).specs, Store(results))
    assert [cell.seconds for cell in cells[:4]] == pytest.approx([120, 20, 20, 20])  # seed 1 has its weights


def test_running_failed_and_stale_cells_are_told_apart(say, copy):
    suite, results = copy
    specs = load(suite).specs
    store = Store(results)
    with store.hold(specs[0]) as held:
        shutil.rmtree(held.record_path(specs[0]).parent)
        store.record_path(specs[1]).unlink()
        store.write_failure(specs[1], "the sky fell\nTypeError: it did")
        rewrite(store.record_path(specs[3]), lambda r: r["spec"]["metrics"]["nfe"].update(version=0))
        states = [cell.state for cell in of_suite(specs, store)]
        assert states == ["running", "failed", "done", "stale"]
        folder = json.loads(say("status", results, "--json")[1])
    assert list(folder["running"]) == [held.folder(specs[0]).name]
    assert list(folder["failed"].values()) == ["TypeError: it did"]
    assert sum(folder["stale"].values()) == 1


def test_retry_runs_what_failed_and_forgets_it(say, copy):
    suite, results = copy
    spec = load(suite).specs[1]
    record = Store(results).record_path(spec)
    before = record.read_bytes()
    record.unlink()
    Store(results).write_failure(spec, "the machine was on fire")
    assert "cfm on moons, seed 1" in say("retry", results, "--dry-run")[1]
    code, _, err = say("retry", results, "--failed")
    assert code == 0
    assert "1 to retry" in err
    assert json.loads(record.read_text())["results"] == json.loads(before)["results"]
    assert "0 to retry" in say("retry", results)[2]


def test_stale_records_stay_out_of_tables_and_can_be_removed(say, copy):
    _, results = copy
    path = first(results)
    rewrite(path, older)
    _, out, err = say("report", results)
    assert "left out as outdated: cfm on moons: made with version 0 of model 'cfm', which is now 1 (1 record)" in err
    assert "(0, 1)" in out  # the other model has both seeds
    assert "1 seed only" in out
    assert str(path) in say("clean", results, "--stale", "--dry-run")[1]
    assert path.exists()
    say("clean", results, "--stale")
    assert not path.parents[1].exists()
    assert len(Store(results).record_paths()) == 3


def test_stale_metrics_are_taken_out_of_records_that_are_not_stale_otherwise(say, copy):
    suite, results = copy
    path, other = sorted(results.glob("runs/*/*/record.json"))[:2]
    before = read_record(path)
    rewrite(path, lambda r: r["spec"]["metrics"]["nfe"].update(version=0))
    rewrite(other, older)
    holding = Store(results).hold(load(suite).specs[1])
    with holding:  # whoever is at a run is not disturbed
        out = say("clean", results, "--stale")[1]
    assert f"{other.parents[1]}: stays, {other.parents[1].name} is being run by" in out
    assert f"{path}: nfe, made with version 0 of metric 'nfe'" in out
    now = read_record(path)
    assert now["results"] == [row for row in before["results"] if row["metric"] != "nfe"]
    assert list(now["spec"]["metrics"]) == ["sliced_w2"]
    assert other.exists()
    assert "4 cells, 1 to run" in say("sweep", suite, "--results", results, "--dry-run")[2]


@pytest.mark.parametrize("command", ["status", "retry", "clean", "verify"])
def test_a_folder_that_is_not_there_is_no_empty_one(say, tmp_path, command):
    code, _, err = say(command, tmp_path / "resluts")
    assert (code, err) == (2, f"genbench: no results folder at {tmp_path / 'resluts'}\n")


def test_clean_removes_what_the_dead_left(say, copy):
    _, results = copy
    run = first(results).parents[1]
    (results / "leases" / run.name / f"{lease._machine()}.999999999.1.x").mkdir(parents=True)
    (run / ".record.json.x.tmp").write_text("half")
    assert "whose owner (process 999999999" in say("clean", results)[1]
    assert not (results / "leases").exists()
    assert not list(results.rglob("*.tmp"))


def test_merging_adds_what_is_new_and_names_what_differs(say, copy, tmp_path):
    suite, results = copy
    other = tmp_path / "other"
    shutil.copytree(results, other)
    shutil.rmtree(first(results, "runs/wcfm-moons-0*"))
    same, extended, different = [
        first(other, f"runs/{n}*/*/record.json") for n in ("cfm-moons-0", "cfm-moons-1", "wcfm-moons-1")
    ]

    def without_nfe(record):
        del record["spec"]["metrics"]["nfe"]
        record["results"] = [row for row in record["results"] if row["metric"] != "nfe"]

    mine = results / extended.relative_to(other)
    before = read_record(mine)
    rewrite(mine, without_nfe)
    rewrite(different, lambda r: r["results"][0].update(value=1.0))
    code, out, _ = say("merge", results, other)
    assert code == 0
    assert "1 different, 1 extended, 1 new, 1 the same" in out
    assert f"different values, not copied: {different.parents[1].name}" in out
    assert read_record(mine) == before
    assert read_record(results / same.relative_to(other)) == read_record(same)
    assert "4 cells, 0 to run" in say("sweep", suite, "--results", results, "--dry-run")[2]
    assert say("verify", results, "--sample", 4)[0] == 0
    assert say("merge", results, tmp_path / "nothing")[0] == 2


def test_merging_takes_weights_that_have_no_record_and_none_that_belong_to_other_values(say, copy, tmp_path):
    _, results = copy
    other = tmp_path / "other"
    shutil.copytree(results, other)
    alone, different, renewed = [
        first(other, f"runs/{n}*/*/record.json") for n in ("cfm-moons-0", "cfm-moons-1", "wcfm-moons-0")
    ]
    shutil.rmtree(alone.parent)
    shutil.rmtree(results / alone.parents[1].relative_to(other))
    rewrite(different, lambda r: r["results"][0].update(value=1.0))
    (results / different.relative_to(other)).with_name("samples.npz").unlink()
    (results / different.parents[1].relative_to(other) / "model.safetensors").unlink()
    before = read_record(results / renewed.relative_to(other))
    rewrite(results / renewed.relative_to(other), lambda r: r["spec"]["metrics"]["nfe"].update(version=0))
    rewrite(results / renewed.relative_to(other), lambda r: r["results"][0].update(value=7.0))
    assert before["results"][0]["metric"] == "nfe"
    out = say("merge", results, other)[1]
    assert "1 different, 1 extended, 1 the same, 1 weights" in out
    assert (results / alone.parents[1].relative_to(other) / "model.safetensors").exists()
    assert not (results / different.parents[1].relative_to(other) / "model.safetensors").exists()
    assert not (results / different.relative_to(other)).with_name("samples.npz").exists()
    assert read_record(results / renewed.relative_to(other)) == before


def test_a_note_of_a_failure_is_over_when_the_record_came_another_way(say, copy, tmp_path):
    """By a merge, or by a process that died before it dropped the note."""
    suite, results = copy
    other, spec = tmp_path / "other", load(suite).specs[1]
    shutil.copytree(results, other)
    path = Store(results).record_path(spec)
    path.unlink()
    Store(results).write_failure(spec, "the machine was on fire")
    assert "on fire" in say("status", results)[1]
    assert "on fire" not in say("clean", results)[1]
    say("merge", results, other)
    assert path.with_name("failure.txt").exists()
    assert "failed" not in say("status", results)[1]
    assert "failed" not in say("sweep", suite, "--results", results)[1]
    assert "0 to retry" in say("retry", results)[2]
    assert "failure.txt: it has succeeded since" in say("clean", results)[1]
    assert not path.with_name("failure.txt").exists()


def test_a_damaged_note_of_a_failure_is_told_and_no_more(say, copy):
    suite, results = copy
    spec = load(suite).specs[1]
    Store(results).write_failure(spec, "the machine was on fire")
    note = Store(results).record_path(spec).with_name("failure.txt")
    note.write_bytes(note.read_bytes()[:-20] + b"\xff")
    assert "failure.txt is damaged" in say("status", results)[1]
    assert "cannot be retried: not the spec of a run" in say("retry", results)[2]
    say("clean", results, "--failed")
    assert not note.exists()


def test_verify_finds_damage_and_values_that_cannot_be_had_again(say, copy):
    _, results = copy
    weights = first(results, "runs/cfm-moons-0*/model.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    rewrite(first(results, "runs/wcfm-moons-0*/*/record.json"), lambda r: r["results"][1].update(value=0.123))
    code, out, err = say("verify", results, "--sample", 4)
    assert code == 1
    assert f"{weights} is damaged: its checksum differs" in out
    assert out.count("bitwise equal") == 2
    assert "1 damaged files, 1 records" in err


def test_a_seed_is_noise_and_a_rule_is_not(say, copy, tmp_path):
    """Five seeds whose difference is steady are told apart, five whose difference changes sign are not."""
    _, results = copy
    record = read_record(first(results))

    def folder(name, values, **settings):
        for seed, value in enumerate(values):
            rows = [{**row, "value": value} for row in record["results"] if row["metric"] == "sliced_w2"][:1]
            spec = {**record["spec"], "seed": seed, "model": record["spec"]["model"] | settings}
            path = tmp_path / name / f"runs/{seed}/x/record.json"
            path.parent.mkdir(parents=True)
            path.write_text(format_record({**record, "spec": spec, "results": rows}))
        return tmp_path / name

    one = folder("one", [1.0, 2.0, 3.0, 4.0, 5.0])
    steady = folder("steady", [0.9, 1.91, 2.9, 3.89, 4.9], sigma=0.5)
    noise = folder("noise", [1.1, 1.8, 3.2, 3.9, 5.0])
    for other, verdict in ((steady, "better"), (noise, "within noise"), (one, "equal")):
        (part,), alone = compare_records(load_records(one), load_records(other))
        assert [value.verdict for value in part.values] == [verdict]
        assert not alone
    ((part,), _) = compare_records(load_records(one), load_records(steady))
    assert [(c.name, c.one, c.other) for c in part.spec] == [("model.sigma", 0.0, 0.5)]
    code, out, _ = say("compare", one, steady)
    assert code == 0
    assert "spec: model.sigma 0.0 -> 0.5" in out
    assert "better" in out


def test_runs_of_two_models_and_published_records_are_compared_too(say, copy):
    _, results = copy
    runs = [first(results, f"runs/{name}*").name for name in ("cfm-moons-0", "wcfm-moons-0")]
    out = json.loads(say("compare", *runs, "--results", results, "--json")[1])
    (part,) = out["comparisons"]
    assert {value["verdict"] for value in part["values"]} <= {"one pair only: may be noise", "equal"}
    assert ["model.name", "cfm", "wcfm"] in [[c["name"], c["one"], c["other"]] for c in part["spec"]]
    assert not part["only"]
    assert not [c for c in part["code"] if None in (c["one"], c["other"])]
    out = json.loads(say("compare", results, results / "tiny/records.jsonl.gz", "--json")[1])
    assert {value["verdict"] for part in out["comparisons"] for value in part["values"]} == {"equal"}


def test_runs_of_two_seeds_are_compared_as_they_are_and_sweeps_without_a_common_seed_say_so(say, copy, tmp_path):
    _, results = copy
    runs = [first(results, f"runs/cfm-moons-{seed}*") for seed in (0, 1)]
    (part,) = json.loads(say("compare", *runs, "--json")[1])["comparisons"]
    assert part["spec"] == [{"name": "seed", "one": 0, "other": 1}]
    values = [read_record(first(run, "*/record.json"))["results"] for run in runs]
    for side, rows in zip(("one", "other"), values, strict=True):
        assert [value[side] for value in part["values"]] == [row["value"] for row in rows]
    assert not part["only"]
    for name, seed in (("a", 0), ("b", 1)):
        for run in results.glob(f"runs/*-{seed}-*"):
            shutil.copytree(run, tmp_path / name / "runs" / run.name)
    shutil.copytree(runs[0], tmp_path / "a/runs/again")  # more than one run of it
    out = say("compare", tmp_path / "a", tmp_path / "b")[1]
    assert "no common seed of sliced_w2" in out
    assert "only the" not in out


def test_validate_counts_and_refuses(say, copy):
    suite, _ = copy
    code, out, _ = say("validate", suite)
    assert (code, out) == (0, f"{suite}: 4 cells, 2 models on data sets, 4 trained models\n")
    suite.write_text(SUITE.replace("kappa", "kapa"))
    assert "did you mean 'kappa'?" in say("validate", suite)[2]
    measured = 'metrics = ["fid-legacy"]\n[metric]\nfid-legacy = { statistics = "nowhere.npz" }\n'
    suite.write_text('datasets = ["digits"]\nmodels = ["cfm"]\n' + measured)
    code, _, err = say("validate", suite)
    assert (code, err) == (2, "genbench: fid-legacy.statistics: nowhere.npz does not exist\n")


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_the_schema_knows_our_suites(path):
    validate = pytest.importorskip("jsonschema").validate
    from genbench.sweeps.suite_schema import schema

    suite = tomllib.loads(path.read_text())
    validate(suite, schema())
    suite["models"] = [{"name": "wcfm", "kapa": 1}]
    with pytest.raises(Exception, match="is not valid under any"):
        validate(suite, schema())


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_the_commands_of_a_suite_are_its_cells(path, tmp_path):
    try:
        specs = load(path).specs
    except Exception as error:
        pytest.skip(f"its data is not here: {error}")
    for spec in specs[:: max(1, len(specs) // 8)]:
        words = shlex.split(command(spec, tmp_path))
        given = {name: [] for name in ("--set", "--metric", "--model", "--dataset", "--seed", "--stack", "--results")}
        for name, value in zip(words[2::2], words[3::2], strict=True):
            given[name].append(value)
        (model,), (dataset,), settings = given["--model"], given["--dataset"], parse(given["--set"])
        if spec.stack:
            among = members(model, dataset, json.loads(given["--stack"][0]), given["--metric"], settings)
            again = next(other for other in among if (other.seed, other.model) == (spec.seed, spec.model))
        else:
            seed = int(given["--seed"][0])
            again = resolve(model, dataset, seed=seed, metrics=given["--metric"], settings=settings)
        assert (again.train_key, again.evaluation_key, again.metrics) == (
            spec.train_key,
            spec.evaluation_key,
            spec.metrics,
        )


def test_a_slurm_array_and_xargs_run_the_commands_word_for_word(say, copy, tmp_path, monkeypatch):
    """A genbench that writes down what it is called with takes the place of the real one."""
    suite, results = copy
    shutil.rmtree(results)
    said = say("sweep", suite, "--results", "it's here", "--dry-run", "--commands")[1]
    commands = tmp_path / "commands.txt"
    commands.write_text(said)
    stub = tmp_path / "bin/genbench"
    stub.parent.mkdir()
    stub.write_text(
        f"#!{sys.executable}\nimport json, sys\nsys.stdout.write(json.dumps(['genbench', *sys.argv[1:]]) + '\\n')\n"
    )
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}:{os.environ['PATH']}")
    expected = [shlex.split(line) for line in said.splitlines()]
    assert len(expected) == 4
    array = str(Path(__file__).parents[2] / "benchmarks/array.sh")
    heard = []
    for number in range(1, 5):
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(number)}
        heard.append(subprocess.check_output(["bash", array, str(commands)], env=environment, text=True))
    line = f"tr '\\n' '\\0' < {commands} | xargs -0 -n 1 -P 2 sh -c"
    assert line.partition("|")[2] in (Path(__file__).parents[2] / "docs/sweeps.md").read_text().replace("-P 4", "-P 2")
    both = [*heard, *subprocess.check_output(line, shell=True, text=True).splitlines()]
    assert sorted(json.loads(text) for text in both) == sorted(expected * 2)


def test_a_component_whose_version_rises_makes_its_records_stale(copy, monkeypatch):
    suite, results = copy
    entry = models["cfm"]
    monkeypatch.setitem(models._entries, "cfm", type(entry)(entry.name, entry.build, entry.version + 1, entry.traits))
    cells = of_suite(load(suite).specs, Store(results))
    assert [cell.state for cell in cells] == ["stale", "stale", "done", "done"]
    assert "version 1 of model 'cfm', which is now 2" in cells[0].note


def test_published_records_keep_what_made_them(say, copy):
    _, results = copy
    shutil.rmtree(results / "runs")
    assert say("report", results, "--html", results / "page.html")[0] == 0
    page = (results / "page.html").read_text()
    assert f"genbench {version('genbench')}" in page
    assert f"Python {platform.python_version()}" in page
    (made,) = json.loads((results / "tiny/origins.json").read_text())
    assert len(made["runs"]) == 4
    (results / "tiny/origins.json").write_text("[{}]")
    assert "tiny/origins.json holds no origins" in say("report", results)[2]
