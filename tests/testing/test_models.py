"""Conformance of models: the built-in models pass, and each broken model fails with the sentence of its fault."""

import pytest
import torch

from genbench.core import Samples
from genbench.errors import Unsupported
from genbench.models.flow_matching.velocity_model import FlowMatching
from genbench.registry import models
from genbench.settings import Positive
from genbench.testing import check_model
from genbench.testing import models as checks
from genbench.testing.toys import AffineFlow, toy_tasks

FEW = {"sdcfm": {"points": 64}}
"""Settings that take seconds off a check: the potentials of few points are solved at once."""


@pytest.mark.parametrize("name", models)
def test_every_model_conforms(name, monkeypatch):
    check = checks._log_prob

    def of_another_code_than_cfm(model, data):
        if name == "cfm" or type(model).log_prob is not FlowMatching.log_prob:
            check(model, data)

    monkeypatch.setattr(checks, "_log_prob", of_another_code_than_cfm)
    assert len(check_model(name, FEW.get(name))) == len(toy_tasks())


# TARFlow's scales are not clipped: with larger embeddings, weights that are perturbed and not trained overflow.
@pytest.mark.parametrize(("name", "settings"), [("cfm", {}), ("tarflow", {"init": 0.1})])
def test_conditional_models_conform(name, settings):
    lines = check_model(name, {"conditional": True, **settings})
    assert "has none" in lines[0]  # vectors without classes are refused, with the reason
    assert all("sample" in line for line in lines[1:])


class Broken(AffineFlow):
    """`AffineFlow` with a fault."""

    fault = ""

    def draw(self, batch, generator):
        if self.fault == "draws from the global state":
            torch.rand(1)
        if self.fault == "writes into its batch":
            batch.x[0] += 1
        if self.fault == "does not repeat":
            return super().draw(batch._replace(x=batch.x + next(self.counter)), generator)
        if self.fault == "draws ahead by its weights":
            return super().draw(batch._replace(x=batch.x + self.shift.detach()), generator)
        if self.fault == "draws ahead and counts" and self.training:
            self.seen += 1
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
        if self.fault == "is not normalized":
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
        ("draws ahead by its weights", r"or else set draws='step': 'x' changes with the weights"),
        ("draws ahead and counts", r"or else set draws='step': draw must be pure, but it changes 'seen'"),
        ("draws at an unknown time", "draws must be one of step, block, thread, not 'early'"),
        ("has state", "loss must be pure, but it changes 'seen'"),
        ("loses a gradient", "no gradient reaches 'log_scale'"),
        ("is not finite", r"loss\['loss'\] must be finite"),
        ("lies about its gradient", "down the gradient must lower the loss"),
        ("depends on the batch", "must not depend on the batch"),
        ("has another shape", r"float32 of shape \(6, 1\); it has to return real numbers of shape"),
        ("samples at random", "sample must not draw from the global random state"),
        ("is not normalized", "must integrate to 1 over the plane, it gives 1.1"),
        ("refuses without reason", "without a reason"),
    ],
)
def test_a_broken_model_fails_with_the_violated_requirement(fault, sentence):
    def broken(event, source) -> Broken:
        """Violate one requirement."""
        model = Broken(event, source)
        model.fault, model.counter = fault, iter(range(1000))
        model.draws = "early" if "unknown" in fault else "block" if "ahead" in fault else "step"
        model.register_buffer("seen", torch.zeros(()))
        return model

    with pytest.raises(AssertionError, match=sentence):
        check_model(broken)


def test_a_setting_without_a_meaning_fails():
    def silent(event, source, *, scale: Positive = 1.0) -> AffineFlow:
        """Leave the scale unexplained."""
        return AffineFlow(event, source)

    with pytest.raises(AssertionError, match=r"the setting silent\.scale has no meaning"):
        check_model(silent)
