"""Components of the user's own, named by their files."""

import json
import re
import shutil
import sys

import numpy as np
import pytest
from helpers.command_line import forget_files
from helpers.pages import PAGE, TINY, saved_from

import genbench
from genbench.analysis.tuning.track_tuning import track_tuning
from genbench.errors import ConfigError
from genbench.registry import models
from genbench.runs.store import Store
from genbench.storage.content_hash import sha256
from genbench.sweeps.suite import load, with_paths
from genbench.sweeps.suite_file import read
from genbench.sweeps.user_files import component_name, of_models


def test_a_model_and_points_in_files_run_from_python_and_by_the_command_line(cli, folder):
    record = genbench.run("my_model.py", "points.npy", metrics=["w2"], settings=TINY, results=folder / "r")
    name = record["spec"]["model"]["name"]
    assert re.fullmatch(r"affine@[0-9a-f]{8}", name)
    arguments = ["run", "--model", "my_model.py:affine", "--dataset", "points.npy", "--metric", "w2", "--results", "r"]
    sets = ["--set", "plan.steps=10", "--set", "evaluation.n=40", "--set", "evaluation.curve=[]"]
    code, out, err = cli(*arguments, *sets, "--json")
    assert code == 0, err
    assert json.loads(out) == record


def test_a_file_may_import_a_component_of_ours_which_keeps_its_name(folder, monkeypatch):
    assert models["gaussian"].name == "gaussian"
    monkeypatch.delitem(models._entries, "gaussian")
    monkeypatch.delitem(sys.modules, "genbench.models.gaussian")  # as in a process that has not imported it
    (folder / "own.py").write_text(
        "from genbench.models.gaussian import Gaussian\nfrom genbench.registry import models\n"
        "@models.register('own')\ndef own(event, source):\n    'Ours.'\n    return Gaussian(event, source, n=99)\n"
    )
    name, _ = component_name("models", "own.py")
    assert re.fullmatch(r"own@[0-9a-f]{8}", name)
    assert models["gaussian"].name == "gaussian"


def test_files_in_a_suite_are_relative_to_it(folder, monkeypatch):
    (folder / "suite.toml").write_text(
        'datasets = ["points.npy"]\nmodels = ["my_model.py", "cfm"]\nmetrics = ["my_metric.py:spread", "w2"]\n'
        'include = [{ model = "otcfm", dataset = { name = "points.npy", metrics = ["my_metric.py:spread"] } }]\n'
    )
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    one, other, included = load("../suite.toml").specs
    assert (one.model["name"].partition("@")[0], other.model["name"]) == ("affine", "cfm")
    assert one.data["name"] == "points"
    assert [name.partition("@")[0] for name in one.metrics] == ["spread", "w2"]
    assert included.data == one.data
    assert [name.partition("@")[0] for name in included.metrics] == ["spread"]


def test_a_record_names_the_file_by_its_content_and_loads_nothing(cli, folder):
    genbench.run("my_model.py", "moons", metrics=["w2"], settings=TINY, results=folder / "r")
    name, _ = component_name("models", "my_model.py")
    assert name in models
    forget_files()
    (folder / "my_model.py").write_text("raise SystemExit('executed')")
    code, out, err = cli("results", "status", "--results", "r")
    assert (code, "executed" in err) == (0, False), err
    assert "r: 1 record" in out
    assert f"\nfrom a Python file: 1 x model '{name}'\n" in out
    assert "unknown" not in out
    for command in (("report", "--full"), ("leaderboard",)):
        code, out, err = cli(*command, "--results", "r")
        assert (code, err, "@" in out) == (0, "", False)
    assert name not in models
    with pytest.raises(ConfigError, match=f"model '{name}' needs its Python file .*: --trust FILE.py"):
        models[name]


def test_a_run_stays_usable_after_a_metric_of_the_users_own_has_changed(cli, folder):
    run = ["run", "--model", "cfm", "--dataset", "moons", "--metric", "my_metric.py", "--results", "r"]
    run += ["--set", "plan.steps=10", "--set", "evaluation.n=40", "--set", "evaluation.curve=[]"]
    code, _, err = cli(*run)
    assert code == 0, err
    ((_, before),) = Store(folder / "r").saved()
    forget_files()
    source = (folder / "my_metric.py").read_text()
    (folder / "my_metric.py").write_text(source.replace("square().mean()", "abs().mean()"))
    for words in (run, ["eval", before["labels"]["run"], "--metric", "norm", "--results", "r"]):
        code, _, err = cli(*words)
        assert code == 0, err
    ((_, after),) = Store(folder / "r").saved()
    assert [name.partition("@")[0] for name in after["spec"]["metrics"]] == ["norm", "spread", "spread"]
    assert before["results"][0] in after["results"]
    code, out, _ = cli("verify", "--results", "r")  # the values of the first version cannot be measured again
    assert (code, out.startswith("not measured: ")) == (1, True)
    assert "needs its Python file" in " ".join(out.split())


def test_a_run_on_points_that_have_changed_is_not_taken_for_the_run_on_the_new_points(cli, folder):
    first = genbench.run("cfm", "points.npy", metrics=["norm"], settings=TINY, results=folder / "r")
    np.save(folder / "points.npy", np.random.default_rng(1).normal(size=(200, 2)))
    second = genbench.run("cfm", "points.npy", metrics=["norm"], settings=TINY, results=folder / "r")
    old, new = (record["labels"]["run"] for record in (first, second))
    code, _, err = cli("eval", old, "--metric", "w2", "--results", "r")
    assert (code, f"{old}/model.safetensors cannot be used: its data" in err) == (2, True), err
    with pytest.raises(ConfigError, match="has changed since"):
        genbench.load("r", old)
    assert [[*record["spec"]["metrics"]] for record in Store(folder / "r").records()] == [["norm"], ["norm"]]
    assert cli("eval", new, "--metric", "w2", "--results", "r")[0] == 0


def test_a_submission_of_an_own_model_is_replayed_where_its_file_is_trusted(cli, folder):
    genbench.run("my_model.py", "moons", metrics=["w2"], settings=TINY, results=folder / "r")
    name, _ = component_name("models", "my_model.py")
    (run,), plain = (folder / "r" / "runs").iterdir(), name.partition("@")[0]
    assert cli("results", "submit", run.name, "--results", "r", "--to", "mine.genbench.zip")[0] == 0
    forget_files()
    code, out, err = cli("verify", "mine.genbench.zip")
    assert (code, out.startswith("not measured: ")) == (1, True)
    assert err.endswith("1 not measured\ngenbench: nothing was verified: no record could be measured again\n")
    assert cli("verify", "mine.genbench.zip", "--sample", "0")[0] == 0
    needed = f"model '{name}' needs its Python file (sha256 {name[-8:]}...): --trust FILE.py"
    assert needed in " ".join(out.split())
    code, out, _ = cli("leaderboard", "--results", "none", "--add", "mine.genbench.zip")
    assert (code, f"mine:{plain}" in out, "0 of 1 seeds confirmed" in out) == (0, True, True)
    (folder / "other.py").write_text((folder / "my_model.py").read_text() + "\n")
    assert needed in " ".join(cli("verify", "mine.genbench.zip", "--trust", "other.py")[1].split())
    code, out, err = cli("verify", "mine.genbench.zip", "--trust", "my_model.py")
    assert (code, out.startswith("confirmed, ")) == (0, True), err
    out = cli("leaderboard", "--results", "none", "--add", "mine.genbench.zip")[1]
    assert (f"mine:{plain}" in out, "1 of 1 seeds confirmed" in out) == (True, True)
    assert cli("verify", "mine.genbench.zip", "--trust", "nowhere.py")[2].startswith("genbench: nowhere.py does not")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import no_such_module", "my.py cannot be loaded: ModuleNotFoundError"),
        ("import sys; sys.exit(0)", "my.py cannot be loaded: SystemExit"),
        ("", "my.py registers nothing: decorate a builder"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_one_line(cli, folder, content, message):
    (folder / "my.py").write_text(content)
    code, _, err = cli("run", "--model", "my.py", "--dataset", "moons")
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_names_and_files_that_do_not_exist_are_refused(folder):
    with pytest.raises(ConfigError, match=r"my_model.py registers no model 'affin'; did you mean 'affine'\?"):
        component_name("models", "my_model.py:affin")
    with pytest.raises(ConfigError, match=r"my_metric.py registers no model, but metric 'spread'"):
        component_name("models", "my_metric.py")
    with pytest.raises(ConfigError, match=r"write a list of names, as \['w2'\]"):
        genbench.run("gaussian", "moons", metrics="w2")
    with pytest.raises(ConfigError, match="datasets: ndarray is not a name: write a name or a path"):
        genbench.run("gaussian", np.zeros((9, 2)))
    with pytest.raises(ConfigError, match=r"nowhere.py does not exist"):
        component_name("models", "nowhere.py")


def test_paths_in_the_settings_of_a_suite_are_relative_to_it_and_those_of_set_to_the_working_folder(cli, folder):
    (folder / "sub").mkdir()
    shutil.move(folder / "points.npy", folder / "sub/points.npy")
    np.save(folder / "others.npy", np.ones((300, 2)) * np.arange(300)[:, None])
    (folder / "sub/suite.toml").write_text(
        'datasets = ["points.npy", { name = "points", path = ["points.npy"], valid = 0.2 }]\nmodels = ["cfm"]\n'
        'metrics = ["norm"]\ninclude = [{ model = "otcfm", dataset = { name = "points", path = "points.npy" } }]\n'
    )
    by_name, by_setting, included = load("sub/suite.toml").specs
    assert by_name.content == by_setting.content == included.content == sha256(folder / "sub/points.npy")
    assert {spec.data["path"] for spec in (by_name, by_setting, included)} == {"sub/points.npy"}
    (other, *_) = load("sub/suite.toml", {"data": {"path": "others.npy"}}).specs
    assert other.content == sha256(folder / "others.npy")


def test_a_path_may_start_at_home_and_is_stated_once(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    (folder / "sub").mkdir()
    suite = folder / "sub/suite.toml"
    suite.write_text('datasets = ["~/points.npy"]\nmodels = ["~/my_model.py"]\nmetrics = ["norm"]\n')
    (spec,) = load(suite).specs
    assert spec.content == sha256(folder / "points.npy")
    suite.write_text('datasets = [{ name = "~/points.npy", path = "other.npy" }]\nmodels = ["cfm"]\n')
    with pytest.raises(ConfigError, match=r"points\.npy already states the path: remove that setting"):
        load(suite)


def test_paths_of_nested_components_and_metrics_are_relative_to_the_suite_and_names_stay(folder):
    (folder / "sub/vae").mkdir(parents=True)
    (folder / "sub/suite.toml").write_text(
        'datasets = ["moons"]\nmodels = [{ name = "starflow", text = { name = "transformers", model = "owner/name" }, '
        'encoder = { name = "diffusers", model = "vae" } }]\n[metric.fid-legacy]\nstatistics = "real.npz"\n'
    )
    suite = with_paths(read(folder / "sub/suite.toml"), folder / "sub")
    (model,) = suite.models
    assert model.settings["text"] == {"name": "transformers", "model": "owner/name"}
    assert model.settings["encoder"]["model"] == str(folder / "sub/vae")
    assert suite.metric["fid-legacy"]["statistics"] == str(folder / "sub/real.npz")


def test_settings_of_a_metric_in_a_file_go_by_the_name_that_it_registers(cli, folder):
    (folder / "sub").mkdir()
    (folder / "sub/own.py").write_text(
        "from typing import Annotated\nfrom genbench.metrics.evaluation import Value\n"
        "from genbench.registry import metrics\nfrom genbench.settings import Count, OnDisk\n"
        "@metrics.register('own', better='lower', of='samples')\n"
        "def own(evaluation, *, n: Count = 40, file: Annotated[str, OnDisk(or_name=True)] = ''):\n"
        "    return Value(float(n), n, 'n')\n"
    )
    np.save(folder / "samples.npy", np.random.default_rng(0).normal(size=(60, 2)))
    words = ["samples.npy", "--dataset", "moons", "--metric", "sub/own.py", "--json"]
    code, out, err = cli("eval", *words, "--set", "metric.own.n=20")
    assert (code, err) == (0, "")
    assert [row["value"] for row in json.loads(out)["results"]] == [20]
    assert "settings for a metric that is not measured: 'other'" in cli("eval", *words, "--set", "metric.other.n=20")[2]
    (folder / "sub/suite.toml").write_text(
        'datasets = ["moons"]\nmodels = ["cfm"]\nmetrics = ["own.py"]\n[metric.own]\nn = 7\nfile = "suite.toml"\n'
    )
    (spec,) = load(folder / "sub/suite.toml").specs
    ((name, settings),) = spec.metrics.items()
    assert name.startswith("own@")
    assert (settings["n"], settings["file"]) == (7, str(folder / "sub/suite.toml"))
    tried = '{ name = "cfm", trials = { plan = { lr = [0.1] } } }'
    (folder / "sub/track.toml").write_text(
        (folder / "sub/suite.toml").read_text().replace('"cfm"', tried)
        + '[evaluation]\ncurve = [1]\ncurve_metrics = ["own"]\n'
        + '[track]\nbaseline = "cfm"\ntuning = { steps = 1, seeds = 1 }\n[[budgets]]\nsteps = 1\nseeds = [0]\n'
    )
    assert [spec.evaluation["curve_metrics"] for spec in load(folder / "sub/track.toml").specs] == [[name]]
    (trials,) = track_tuning(folder / "sub/track.toml").trials
    assert {spec.metrics[name]["n"] for spec in trials.search.specs} == {7}


def test_a_model_a_network_and_a_metric_in_files_are_tuned(cli, folder):
    net = saved_from("own_network.md", folder)
    (folder / "lower.py").write_text((folder / "my_metric.py").read_text().replace("'none'", "'lower'"))
    tiny = ["--seeds", "1", "--set", "plan.steps=2", "--set", "evaluation.n=40"]
    words = ["my_model.py", "cfm", "--dataset", "moons", "--metric", "lower.py:spread", *tiny]
    over = ["--over", "affine.start=[0.0, -1.0]", "--over", f'cfm.net=["mlp", "{net}"]']
    code, out, err = cli("tune", *words, *over)
    assert (code, out.startswith("moons: spread on the validation split")) == (0, True), err
    (path,) = (folder / "results/tuning").glob("*.json")
    found = json.loads(path.read_text())
    assert found["metric"].startswith("spread@")
    named = [f"{each['method']} {each['settings']}" for each in found["candidates"]]
    expected = ["affine model.start=0.0", "affine model.start=-1.0", "cfm model.net=mlp", 'cfm model.net="residual"']
    assert [re.sub("@[0-9a-f]{8}", "", text) for text in named] == expected
    assert all(len(each["values"]) == 1 for each in found["candidates"])
    (nested,) = of_models(["cfm"], {"model": {"net": {"name": ["mlp", net]}}})["model"].values()
    assert [re.sub("@[0-9a-f]{8}", "", name) for name in nested["name"]] == ["mlp", "residual"]
    twice = ["tune", "my_model.py", "my_model.py:affine", *words[2:], "--over", "affine.start=[0.0]"]
    assert "is listed twice: remove one" in cli(*twice)[2]


def test_show_check_and_compare_take_the_files_that_run_takes(cli, folder):
    shown = cli("show", "my_model.py")[1]
    assert re.match(r"affine@[0-9a-f]{8}: model, version 1", shown)
    assert "initial log standard deviation" in shown
    assert cli("show", "model", "my_model.py:affine")[1] == shown
    assert "did you mean 'affine'?" in cli("show", "my_model.py:afine")[2]
    assert "my_model.py registers no such component" in cli("show", "metric", "my_model.py")[2]
    net = saved_from("own_network.md", folder)
    assert "blocks" in cli("show", net)[1]
    assert f"{net} registers no model, data set or metric, but net 'residual': test it by" in cli("check", net)[2]
    for model in ("my_model.py", "gaussian"):
        for seed in (0, 1):
            genbench.run(model, "moons", seed=seed, metrics=["w2"], settings=TINY, results=folder / "r")
    code, out, err = cli("compare", "my_model.py", "gaussian", "--dataset", "moons", "--results", "r")
    assert (code, err) == (0, "")
    assert re.match(r"w2: (affine|gaussian|not separated)", out)


def test_a_model_that_cannot_learn_the_data_is_an_error_after_its_record_is_saved(cli, folder):
    pages = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (folder / "two.py").write_text("\n\n".join(pages))
    words = ["run", "--model", "two.py:affine-by-class", "--dataset", "gaussian", "--metric", "w2", "--results", "r"]
    for _ in range(2):
        code, out, err = cli(*words)
        assert code == 2
        assert "affine-by-class was not trained on gaussian: it always needs labels" in err
        assert "record.json" in out
    # no value, but trained: not an error
    model = ["run", "--model", "my_model.py", "--dataset", "moons", "--set", "plan.steps=2", "--set", "evaluation.n=40"]
    assert cli(*model, "--metric", "straightness", "--results", "r")[0] == 0
