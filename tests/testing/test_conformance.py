"""The conformance tests: they pass for what is right, and name the fact for what is broken on purpose."""

import copy
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genbench.core import Batch, Data, Event, Normal, Samples
from genbench.errors import ConfigError, Unsupported
from genbench.metrics.evaluation import Value
from genbench.registry import datasets, metrics, models
from genbench.settings import Positive
from genbench.space import Real
from genbench.testing import check_dataset, check_metric, check_model, check_module
from genbench.testing.toys import Affine, Blobs, tasks

PLUGIN = Path(__file__).parents[1] / "plugin"
NEEDS_FILES = {"cifar10", "cifar10-captions", "mnist", "fashion_mnist", "folder"}
MADE_FOR = {
    "fd-digits_cnn": "digits",
    "class_balance": "digits",
    "density_coverage": "digits",
    "precision_recall": "digits",
    "kid": "digits",
    "vendi": "digits",
    "memorisation": "digits",
    "fd-infinity": "digits",
    "fd-captions_cnn": "digits-captions",
    "caption_accuracy": "digits-captions",
}
NEEDS_PHOTOGRAPHS = {"fid-legacy", "fid-clean", "fid-infinity", "fd-dinov2", "fd-efficientnet_lite0", "inception_score"}
"""Networks of photographs, which take too long on as many images; tests of extractors have them."""

FEWER = {"kid": {"subsets": 5}}


@pytest.mark.parametrize("name", models)
def test_every_model_conforms(name):
    assert len(check_model(name)) == len(tasks())


# TARFlow's scales are not clipped: with larger embeddings, weights that are perturbed and not trained overflow.
@pytest.mark.parametrize(("name", "settings"), [("cfm", {}), ("tarflow", {"init": 0.1})])
def test_conditional_models_conform(name, settings):
    lines = check_model(name, {"conditional": True, **settings})
    assert "has none" in lines[0]  # vectors without classes are refused, with the reason
    assert all("sample" in line for line in lines[1:])


@pytest.mark.parametrize("name", sorted(set(datasets) - NEEDS_FILES))
def test_every_dataset_conforms(name):
    assert check_dataset(name)


@pytest.mark.parametrize("name", sorted(set(metrics) - NEEDS_PHOTOGRAPHS))
def test_every_metric_conforms(name):
    assert check_metric(name, FEWER.get(name), data=[MADE_FOR[name]] if name in MADE_FOR else [])


def test_the_toy_model_is_exactly_what_it_says():
    model = Affine(Event((2,)), Normal((2,)))
    x0 = torch.randn(5, 2)
    end = model.sample(x0).x
    for t in (0.0, 0.3, 1.0):
        on_path = (1 - t) * x0 + t * end
        torch.testing.assert_close(model.velocity(torch.tensor(t), on_path), end - x0)


# Each of these breaks one fact, and the sentence has to name it.


class Broken(Affine):
    """`Affine` with a fault."""

    fault = ""

    def draw(self, batch, generator):
        if self.fault == "draws from the global state":
            torch.rand(1)
        if self.fault == "writes into its batch":
            batch.x[0] += 1
        if self.fault == "does not repeat":
            return super().draw(batch._replace(x=batch.x + next(self.counter)), generator)
        return super().draw(batch, generator)

    def loss(self, example):
        if self.fault == "has state":
            self.seen += 1
        terms = super().loss(example)
        if self.fault == "loses a gradient":
            return {"loss": -self.source.log_prob(example.x - self.shift).mean()}
        if self.fault == "is not finite":
            return {"loss": terms["loss"] * float("nan")}
        if self.fault == "lies about its gradient":
            return {"loss": terms["loss"].detach() + 3 * (terms["loss"] - terms["loss"].detach())}
        return terms

    def sample(self, x0, *, label=None):
        x = super().sample(x0).x
        if self.fault == "depends on the batch":
            x = x - x.mean(0)
        if self.fault == "has another shape":
            x = x.flatten(1)[:, :1]
        if self.fault == "samples at random":
            x = x + torch.randn_like(x)
        return Samples(x, 1.0)

    def log_prob(self, x, *, label=None):
        if self.fault == "is not normalised":
            return super().log_prob(x) + 0.1
        if self.fault == "refuses without reason":
            raise Unsupported
        return super().log_prob(x)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("draws from the global state", "draw must not draw from the global random state"),
        ("writes into its batch", "draw must not write into its batch"),
        ("does not repeat", "draw must depend on the batch and the generator only; 'x'"),
        ("has state", "loss must be pure, and changes 'seen'"),
        ("loses a gradient", "no gradient reaches 'log_scale'"),
        ("is not finite", r"loss\['loss'\] must be finite"),
        ("lies about its gradient", "down the gradient must lower the loss"),
        ("depends on the batch", "must not depend on the batch"),
        ("has another shape", "not that of the event"),
        ("samples at random", "sample must not draw from the global random state"),
        ("is not normalised", "must integrate to 1 over the plane, it gives 1.1"),
        ("refuses without reason", "must say why"),
    ],
)
def test_a_broken_model_is_told_what_is_wrong(fault, sentence):
    def broken(event, source) -> Broken:
        """Break one fact."""
        model = Broken(event, source)
        model.fault, model.counter = fault, iter(range(1000))
        model.register_buffer("seen", torch.zeros(()))
        return model

    with pytest.raises(AssertionError, match=sentence):
        check_model(broken)


def test_a_setting_without_a_meaning_is_a_fault():
    def silent(event, source, *, scale: Positive = 1.0) -> Affine:
        """Say nothing of the scale."""
        return Affine(event, source)

    with pytest.raises(AssertionError, match=r"the setting silent\.scale has no meaning"):
        check_model(silent)


class Faulty(Blobs):
    """`Blobs` with a fault."""

    fault = ""
    table = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))

    def batch(self, step, size, seed):
        batch = super().batch(0 if self.fault == "repeats" else step, size, seed)
        if self.fault == "is impure":
            return batch._replace(x=batch.x + torch.rand(1))
        if self.fault == "labels":
            return batch._replace(label=batch.label + 7)
        if self.size is not None:
            return Batch(self.table[torch.arange(step * size, (step + 1) * size) % 30], batch.label)
        return batch._replace(x=batch.x.double()) if self.fault == "dtype" else batch

    def take(self, n, seed):
        if self.size is None:
            return super().take(n, seed)
        if n > self.size and self.fault != "takes too many":
            raise Unsupported("there are 40")
        order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
        if self.fault == "takes twice":
            order = order[torch.arange(40) // 2]
        return Batch(self.table[order.repeat(2)[:n]], torch.zeros(n, dtype=torch.int64))


@pytest.mark.parametrize(
    ("fault", "finite", "sentence"),
    [
        ("repeats", False, "two steps must see different batches of train"),
        ("is impure", False, "must not draw from the global random state"),
        ("labels", False, r"must lie in 0\.\.0"),
        ("dtype", False, "must be float32"),
        ("", True, "an epoch must visit every sample of train once"),  # batches see 30 of the 40
        ("takes twice", True, "must return each once, whatever the seed"),
        ("takes too many", True, r"take\(41\) must raise Unsupported"),
    ],
)
def test_a_broken_data_set_is_told_what_is_wrong(fault, finite, sentence):
    def broken() -> Data:
        """Break one fact."""
        split = type("Now", (Faulty,), {"fault": fault})
        if fault in ("takes twice", "takes too many"):
            split.batch = lambda self, step, size, seed: Batch(
                self.table[torch.arange(step * size, (step + 1) * size).add(seed) % 40],
                torch.zeros(size, dtype=torch.int64),
            )
        train, valid, test = (split(part, (2,), 0, 40 if finite else None) for part in ("train", "valid", "test"))
        return Data(Event((2,)), Real(), Normal((2,)), train, valid, test)

    with pytest.raises(AssertionError, match=sentence):
        check_dataset(broken)


def test_a_test_split_that_was_trained_on_is_a_fault():
    def leaking() -> Data:
        """Show the training data in the test."""
        data = copy.copy(tasks()["vectors"])
        return replace(data, test=data.train)

    with pytest.raises(AssertionError, match="5000 of 5000 test samples lie in the training split"):
        check_dataset(leaking)


@pytest.fixture
def metric(request):
    """A metric under a name of its own, gone after the test."""
    measure, traits = request.param
    metrics.register("broken", version=1, **traits)(measure)
    yield "broken"
    del metrics._entries["broken"]


def _spread(evaluation):
    """Mean square of the samples."""
    return Value(float(evaluation.samples(100).square().mean()), 100, "plain")


def _silent(evaluation):
    """No protocol."""
    return _spread(evaluation)._replace(protocol="")


def _restless(evaluation):
    """Draws from the global state."""
    return Value(float(torch.rand(())), 1, "random")


def _nan(evaluation):
    """Not a number."""
    return Value(float("nan"), 1, "none")


def _nowhere(evaluation):
    """Nothing has it."""
    raise Unsupported("needs what nobody has")


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ((_spread, {"better": "higher", "of": "samples"}), "declared better when higher"),
        ((_spread, {"better": "smaller", "of": "samples"}), "must declare better"),
        ((_silent, {"better": "lower", "of": "samples"}), "must state its protocol"),
        ((_restless, {"better": "lower", "of": "samples"}), "must be deterministic"),
        ((_nan, {"better": "lower", "of": "samples"}), "must raise Unsupported where it has no value"),
        ((_nowhere, {"better": "lower", "of": "samples"}), "must have a value somewhere.*needs what nobody has"),
    ],
    indirect=["metric"],
)
def test_a_broken_metric_is_told_what_is_wrong(metric, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_metric(metric)


def test_a_module_reports_every_violation(tmp_path):
    file = tmp_path / "two_models.py"
    file.write_text(
        "from genbench.registry import models\n"
        "from genbench.testing.toys import Affine\n"
        "@models.register('test-good')\n"
        "def good(event, source) -> Affine:\n    'Good.'\n    return Affine(event, source)\n"
        "@models.register('test-bad')\n"
        "def bad(event, source) -> Affine:\n    return Affine(event, source)\n"
    )
    lines = []
    try:
        for line in check_module(str(file)):
            lines.append(line)
    except AssertionError as error:
        lines.append(str(error))
    finally:
        for name in ("test-good", "test-bad"):
            models._entries.pop(name, None)
    assert lines[-1] == f"{file}: 1 of 2 components violate what they must hold to"
    assert "model test-bad: VIOLATED: test-bad has no docstring: its first line is what `genbench list` shows" in lines
    assert any(line.startswith("model test-good on vectors: draw") for line in lines)


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("genbench.errors", "registers no model"),
        ("no_such_module", "cannot be imported"),
        ("no/such.py", "is not a Python file"),
    ],
)
def test_a_module_without_components_is_a_wrong_request(module, sentence):
    with pytest.raises(ConfigError, match=sentence):
        list(check_module(module))


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install the example package, from a copy since building leaves traces, and return an environment that sees it."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PLUGIN, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps", "--no-index"]
    options = ["--no-build-isolation", "--target", str(folder / "site"), str(folder / "source")]
    subprocess.run([*pip, *options], check=True, capture_output=True, text=True)
    return os.environ | {"PYTHONPATH": str(folder / "site"), "PYTHONHASHSEED": "0"}


def genbench(environment, *arguments):
    command = [sys.executable, "-c", "from genbench.cli.main import main; main()", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_installed_plug_in_is_listed(installed):
    done = genbench(installed, "list")
    assert done.returncode == 0, done.stderr
    for name in ("example-affine", "example-laplace", "example-mean"):
        assert name in done.stdout


def test_an_installed_plug_in_conforms(installed):
    done = genbench(installed, "check", "genbench_plugin_example")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model example-affine on vectors: draw, loss, gradient, sample, state, log_prob" in done.stdout
    assert "data set example-laplace: meanings, units, defaults, splits" in done.stdout
    assert "metric example-mean on example-laplace: example-mean = " in done.stdout


def test_an_installed_plug_in_runs(installed, tmp_path):
    arguments = ["run", "--model", "example-affine", "--dataset", "example-laplace", "--results", str(tmp_path)]
    done = genbench(installed, *arguments, "--set", "plan.steps=20", "--json")
    assert done.returncode == 0, done.stderr
    assert '"metric": "example-mean"' in done.stdout
