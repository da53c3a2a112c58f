"""Models declare capabilities by their base classes. One that no model has would blank a column of every table."""

import pytest
import torch

from genbench.core import Model, Transport
from genbench.metrics.measurement import evaluate
from genbench.metrics.sampling import Sampling
from genbench.models.build import build_model
from genbench.models.flow_matching.couplings.base import Coupled
from genbench.registry import models
from genbench.runs.component import model_class
from genbench.runs.spec import build_data, resolve

FLOW_MATCHING = {"cfm", "fm", "otcfm", "reflow", "sbcfm", "sdcfm", "vp", "wcfm", "wcfm-balanced"}
FEW_STEP = {"meanflow", "shortcut", "consistency"}


@pytest.mark.parametrize(("capability", "able"), [(Transport, FLOW_MATCHING), (Coupled, FLOW_MATCHING | FEW_STEP)])
def test_these_models_and_no_others_have_the_capability(capability, able):
    assert {name for name in models if issubclass(model_class(models[name]), capability)} == able


def test_most_models_have_a_likelihood():
    able = {name for name in models if model_class(models[name]).log_prob is not Model.log_prob}
    assert able >= FLOW_MATCHING | {"nsf", "starflow", "tarflow"}


@pytest.mark.parametrize("name", ["tilt", "straightness", "nll"])
def test_metrics_of_the_model_have_values_for_wcfm(name):
    spec = resolve("wcfm", "8gaussians", metrics=[], settings={"model": {"kappa": 1.0}})
    torch.manual_seed(0)
    data = build_data(spec.data)
    model = build_model(spec.model, spec.encoder, data)
    model.prepare(data, 0)
    rows, _ = evaluate(model, data, {name: {}}, sample=spec.sample, sampling=Sampling(n=64), seed=0)
    assert all(row["value"] is not None for row in rows), rows
