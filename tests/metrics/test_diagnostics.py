"""Diagnostics: counts, the norm, and the tilt, which has a closed form between Gaussians."""

import math

import pytest
import torch
from helpers.pixel_features import evaluation, normal_images, task

from genbench.errors import Unsupported
from genbench.metrics.diagnostics import tilt
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.registry import datasets, models
from genbench.settings import bind, call
from genbench.testing.toys import AffineFlow

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")


def built(model, dataset, settings=None, **of_data):
    data = call(datasets[dataset].build, settings=bind(datasets[dataset].build, of_data, dataset))
    entry = models[model].build
    made = call(entry, data.event, data.source, settings=bind(entry, settings or {}, model, context=data.event))
    made.prepare(data, 0)
    return data, made


def measured(data, model, **settings):
    x = data.test.take(8, 0).x
    return {value.part: value for value in tilt(Evaluation(data, 0, x=x, model=model), **settings)}


def test_counts_are_exact_and_have_no_floor():
    data = datasets["gaussian"].build()
    model = AffineFlow(data.event, data.source)
    x = torch.zeros(10, 2)
    x[4, 1] = float("inf")
    where = Evaluation(data, 0, x=x, nfe=17.5, model=model)
    rows = {name: measure(where, name, {}, True)[0] for name in ("nfe", "parameters", "failed")}
    trained = sum(p.numel() for p in model.parameters())
    assert {name: row["value"] for name, row in rows.items()} == {"nfe": 17.5, "parameters": trained, "failed": 1}
    assert all(row["floor"] is None for row in rows.values())
    frozen = next(iter(model.parameters())).requires_grad_(False)
    assert measure(where, "parameters", {}, True)[0]["value"] == trained - frozen.numel()


def test_samples_without_a_model_have_failures_but_no_nfe_and_no_parameters():
    data = datasets["gaussian"].build()
    where = Evaluation(data, 0, x=torch.zeros(10, 2))
    assert measure(where, "failed", {}, True)[0]["value"] == 0
    for name in ("nfe", "parameters"):
        assert measure(where, name, {}, True)[0]["reason"]


def test_the_norm_is_that_of_model_space():
    samples = evaluation(task(normal_images(3000, 1), normal_images(1000, 2)), normal_images(500, 3))
    (row,) = measure(samples, "norm", {}, True)
    x = samples.x.double().flatten(1)
    assert row["value"] == pytest.approx(float(x.square().sum(1).sqrt().mean()))
    assert row["floor"] == pytest.approx(row["value"], rel=0.05)
    assert row["better"] == "none"
    torch.testing.assert_close(row["details"]["mean_square"], float(x.square().sum(1).mean()))


def test_the_tilt_of_wcfm_between_gaussians_is_the_closed_form():
    data, model = built("wcfm", "gaussian", {"epsilon": 2.0, "cost": "sqnorm"}, dims=1, std=2.0)
    found = measured(data, model, n=16384, partners=32)
    for part, own, other in (("data", 2, 1), ("source", 1, 2)):
        u = own**2 / (2 + 2 * other**2)
        assert found[part].value == pytest.approx((1 + 2 * u) / math.sqrt(1 + 4 * u) - 1, abs=0.02)
    assert found["ess"].value == pytest.approx(math.sqrt(1 + 10) / (1 + 5), rel=0.03)
    assert found["ess"].better == "higher"


def test_without_weights_there_is_no_tilt():
    found = measured(*built("cfm", "8gaussians"))
    assert [found[part].value for part in ("source", "data", "ess")] == pytest.approx([0, 0, 1], abs=1e-12)


def test_weights_of_data_points_tilt_the_data_as_their_pairs_do_with_the_excess_of_a_shared_batch():
    by_pair, by_data = (measured(*built("wcfm", "8gaussians", {"kappa": 0.5, "weigh": w})) for w in ("pair", "data"))
    assert 1 < by_data["data"].value / by_pair["data"].value < 1.1
    assert abs(by_data["source"].value) < 0.02 < by_pair["source"].value
    assert by_data["data"].details == {"batch": 128}


def test_balancing_potentials_remove_the_tilt_and_measuring_does_not_change_the_model():
    settings = {"kappa": 1.0}
    plain = measured(*built("wcfm", "8gaussians", settings), n=1024, partners=32)
    data, model = built("wcfm-balanced", "8gaussians", settings)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    balanced = measured(data, model, n=1024, partners=32)
    assert plain["data"].value > 0.1
    assert abs(balanced["data"].value) < 0.03
    assert abs(balanced["source"].value) < 0.03
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_measured_potentials_are_those_of_training():
    data, model = built("wcfm-balanced", "8gaussians", {"kappa": 1.0})
    assert model.coupling.running
    model.coupling.psi.add_(torch.where(model.coupling.x1[:, 0] > 0, 1.0, -1.0))
    assert measured(data, model, n=1024, partners=64)["source"].value > 0.1


@pytest.mark.parametrize(
    ("model", "data", "settings", "reason"),
    [
        ("otcfm", "moons", {}, "not independent"),
        ("cfm", "moons", {"conditional": True}, "not trained on pairs"),
        ("reflow", "moons", {}, "its pairs are of noise and its teacher's samples"),
        ("wcfm", "8gaussians", {"kappa": 0.1}, "too few of 131072 pairs carry weight"),
    ],
)
def test_dependent_or_hardly_weighted_pairs_have_no_tilt(model, data, settings, reason):
    with pytest.raises(Unsupported, match=reason):
        measured(*built(model, data, settings))


def test_samples_alone_have_no_tilt():
    data = datasets["moons"].build()
    with pytest.raises(Unsupported, match="not trained on pairs"):
        tilt(Evaluation(data, 0, x=data.test.take(8, 0).x))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_couplings_that_draw_have_their_generator_on_the_device_of_the_model(device):
    data, model = built("otcfm", "moons", {"resample": True})
    model.to(device)
    with pytest.raises(Unsupported, match="not independent"):
        measured(data, model)
