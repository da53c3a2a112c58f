"""Conformance of metrics: the built-in metrics pass, and each broken one fails with the sentence of its fault."""

import pytest
import torch

from genbench.errors import ConfigError, Unsupported
from genbench.metrics.evaluation import Value
from genbench.registry import metrics
from genbench.testing import check_metric

MADE_FOR = {
    "fd-digits_cnn": "digits",
    "conditional_w2": "branches",
    "class_balance": "digits",
    "density_coverage": "digits",
    "precision_recall": "digits",
    "kid": "digits",
    "memorization": "digits",
    "monge_distance": "digits",
    "fd-captions_cnn": "digits-captions",
    "caption_accuracy": "digits-captions",
}
NEEDS_PHOTOGRAPHS = {"fid-legacy", "fid-clean", "fd-dinov2", "fd-efficientnet_lite0"}
NEEDS_PHOTOGRAPHS |= {"mind", "fd-mnist5k_cnn", "sfid", "cmmd"}
"""Networks of photographs, which take too long on as many images; tests of extractors have them."""

NEEDS_LATENTS = {"latent_bits_per_dim", "reconstruction_fd"}
"""Metrics of models with an encoder, which the toy tasks have not; tests of models of latents and of fid have them."""

NEEDS_FLOW_MATCHING = {"error_budget"}
"""Metrics of models that the toy model is not; their own tests have them."""

FEWER = {"kid": {"subsets": 5}, "w2": {"n": 256}}


@pytest.mark.parametrize("name", sorted(set(metrics) - NEEDS_PHOTOGRAPHS - NEEDS_LATENTS - NEEDS_FLOW_MATCHING))
def test_every_metric_conforms(name, monkeypatch):
    monkeypatch.setattr("genbench.testing.metrics.SIZE", 1024)
    assert check_metric(name, FEWER.get(name), data=[MADE_FOR[name]] if name in MADE_FOR else [])


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


def _without_protocol(evaluation):
    """No protocol."""
    return _spread(evaluation)._replace(protocol="")


def _random(evaluation):
    """Draws from the global state."""
    return Value(float(torch.rand(())), 1, "random")


def _nan(evaluation):
    """Not a number."""
    return Value(float("nan"), 1, "none")


def _tensor(evaluation):
    """Not a number of Python."""
    return _spread(evaluation)._replace(value=evaluation.samples(100).var())


def _centering(evaluation):
    """Writes into its samples."""
    x = evaluation.samples(100).numpy()
    x -= x.mean(0)
    return Value(float((x**2).mean()), 100, "plain")


def _without_value(evaluation):
    """Measured nowhere."""
    raise Unsupported("needs other data")


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ((_spread, {"better": "higher", "of": "samples"}), "declared better when higher"),
        ((_without_protocol, {"better": "lower", "of": "samples"}), "must state its protocol"),
        ((_random, {"better": "lower", "of": "samples"}), "must be deterministic"),
        ((_centering, {"better": "lower", "of": "samples"}), r"broken must not write into samples.*a clone\(\)"),
        ((_nan, {"better": "lower", "of": "samples"}), "must raise Unsupported where it has no value"),
        ((_tensor, {"better": "lower", "of": "samples"}), r"broken is of type Tensor: convert it with float\("),
        ((_spread, {"better": "lower", "of": "samples", "bounds": (None, 0)}), "broken is .* cannot be above 0: "),
    ],
    indirect=["metric"],
)
def test_a_broken_metric_fails_with_the_violated_requirement(metric, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_metric(metric)


@pytest.mark.parametrize(
    ("traits", "wrong"),
    [
        ({"better": "small", "of": "samples"}, "better='small'"),
        ({"of": "model"}, "better=None"),
        ({"better": "none", "of": "sample"}, "of='sample'"),
        ({"better": "none", "of": "model", "bounds": 0}, "bounds=0"),
        ({"better": "none", "of": "model", "bounds": {"": (0, 1), "part": (1, 0)}}, r"bounds=\(1, 0\)"),
    ],
)
def test_a_metric_that_no_record_could_hold_is_not_registered(traits, wrong):
    """A record with better="small" was written, and could not be read again: its other values were lost."""
    with pytest.raises(ConfigError, match=f"metric broken: {wrong} is wrong: write "):
        metrics.register("broken", version=1, **traits)(_spread)


@pytest.mark.parametrize("metric", [(_without_value, {"better": "lower", "of": "samples"})], indirect=True)
def test_a_metric_without_a_value_anywhere_was_not_checked(metric):
    with pytest.raises(Unsupported, match=r"no value on any task.*on vectors: - needs other data"):
        check_metric(metric)
