import shlex
from dataclasses import replace

import pytest

from genbench.errors import ConfigError
from genbench.runs.make_spec import make_spec
from genbench.suites import FOLDER
from genbench.sweeps.set_options import parse_set_options
from genbench.sweeps.shell_commands import baseline, command
from genbench.sweeps.suite import load

SUITES = sorted(FOLDER.glob("*.toml"))


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_the_commands_of_a_suite_are_its_cells(path):
    try:
        specs = load(path).specs
    except ConfigError as error:
        pytest.skip(f"its data is not here: {error}")
    for spec in specs[:: max(1, len(specs) // 8)]:
        spec = replace(spec, stack=None)
        words = shlex.split(command(spec))
        given = {name: [] for name in ("--set", "--metric", "--model", "--dataset", "--seed")}
        for name, value in zip(words[2::2], words[3::2], strict=True):
            given[name].append(value)
        (model,), (dataset,), (seed,) = given["--model"], given["--dataset"], given["--seed"]
        settings = parse_set_options(given["--set"])
        again = make_spec(model, dataset, seed=int(seed), metrics=given["--metric"], settings=settings)
        assert (again.train_key, again.evaluation_key, again.metrics) == (
            spec.train_key,
            spec.evaluation_key,
            spec.metrics,
        )


def test_a_baseline_has_the_budget_the_file_and_the_network_of_the_run(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("a,b\n" + "".join(f"{k % 7},{k % 11}\n" for k in range(200)))
    model = {"kappa": 0.5, "net": {"width": 32}}  # cfm has no kappa
    settings = {"data": {"path": str(path), "test": 0.3}, "plan": {"steps": 7}, "model": model}
    words = shlex.split(baseline(make_spec("wcfm", "points", settings=settings), "cfm", "0-2"))
    given = [*zip(words[2::2], words[3::2], strict=True)]
    assert given[:3] == [("--model", "cfm"), ("--dataset", str(path)), ("--seed", "0-2")]
    assert {*given[3:]} == {("--set", f"{name}") for name in ("data.test=0.3", "plan.steps=7", "model.net.width=32")}


def test_a_baseline_has_the_sampler_of_the_run_if_the_run_changed_its_own():
    """The suggested rival of four Euler steps took a hundred evaluations of dopri5."""
    euler = make_spec("cfm", "moons", settings={"sample": {"method": "euler", "steps": 4}})
    assert baseline(euler, "otcfm", "0").endswith(" --set sample.method=euler --set sample.steps=4")
    for model in ("cfm", "meanflow", "starflow"):
        assert "sample." not in baseline(make_spec(model, "moons"), "otcfm", "0")


@pytest.mark.parametrize("encoder", [{}, {"encoder": {"name": "autoencoder", "width": 8}}])
@pytest.mark.parametrize("net", [{}, {"net": {"channels": 32}}])
def test_a_baseline_of_images_has_the_network_and_the_encoder_of_the_run(net, encoder):
    """The suggested rival of a small U-Net, with 2.2 million parameters, had 35.7 million."""
    settings = {"model": {**net, **encoder, "conditional": True}}
    spec = make_spec("wcfm", "digits", settings=settings)
    words = shlex.split(baseline(spec, "otcfm", "0"))
    again = make_spec("otcfm", "digits", settings=parse_set_options(words[9::2]))
    assert (again.encoder, again.plan) == (spec.encoder, spec.plan)
    assert [again.model[name] for name in ("net", "conditional")] == [
        spec.model[name] for name in ("net", "conditional")
    ]
