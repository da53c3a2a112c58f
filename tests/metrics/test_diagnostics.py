"""Diagnostics: counts, the norm, and the tilt, which has a closed form between Gaussians."""

import math

import pytest
import torch
from helpers.encoders import Scaled
from helpers.pixel_features import evaluation, normal_images, task
from helpers.toy_flows import component

from genbench.errors import ConfigError, Unsupported
from genbench.metrics.diagnostics import tilt
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.models.build import build_model
from genbench.models.latent.latent_model import Latent
from genbench.registry import datasets, metrics, models
from genbench.runs.make_spec import make_spec
from genbench.runs.spec import build_data
from genbench.settings import bind, call
from genbench.testing.toys import AffineFlow


def built(model, dataset, settings=None, **of_data):
    data = call(datasets[dataset].build, settings=bind(datasets[dataset].build, of_data, dataset))
    made = component(models, model, data.event, data.source, **settings or {})
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
    alone = Evaluation(data, 0, x=torch.zeros(10, 2))  # samples without a model
    assert measure(alone, "failed", {}, True)[0]["value"] == 0
    assert all(measure(alone, name, {}, True)[0]["reason"] for name in ("nfe", "parameters"))


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
    found = measured(*built("cfm", "8gaussians"))  # without weights there is no tilt
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
    assert model.coupling.running  # measured with the potentials of training
    model.coupling.psi.add_(torch.where(model.coupling.x1[:, 0] > 0, 1.0, -1.0))
    assert measured(data, model, n=1024, partners=64)["source"].value > 0.1


@pytest.mark.parametrize(
    ("model", "data", "settings", "reason"),
    [
        ("otcfm", "moons", {}, "not independent"),
        ("cfm", "moons", {"conditional": True}, "not trained on pairs"),
        ("reflow", "moons", {}, "it pairs noise with its teacher's samples"),
        ("wcfm", "8gaussians", {"kappa": 0.1}, "too few of 131072 pairs carry weight"),
    ],
)
def test_dependent_or_hardly_weighted_pairs_have_no_tilt(model, data, settings, reason):
    with pytest.raises(Unsupported, match=reason):
        measured(*built(model, data, settings))
    data = datasets["moons"].build()
    with pytest.raises(Unsupported, match="not trained on pairs"):
        tilt(Evaluation(data, 0, x=data.test.take(8, 0).x))


def on_digits(model, **settings):
    spec = make_spec(model, "digits", metrics=[], settings={"model": settings})
    data = build_data(spec.data)
    return build_model(spec.model, spec.encoder, data).eval(), data


def losses(model, data, **settings):
    found = measure(Evaluation(data, 0, x=torch.empty(0, 1, 8, 8), model=model), "validation_loss", settings, True)
    return {row["metric"]: row for row in found}


def test_a_flow_that_is_the_identity_has_the_bits_of_a_normal_density():
    model, data = on_digits("starflow", width=16, head=8, blocks=[1, 1])  # untrained, its scale is 1 and its shift 0
    row = losses(model, data, draws=2000)["validation_loss.bits"]
    x = data.valid.take(100, 0).x
    square = float(x.square().mean()) + data.space.bin**2 / 12
    nats = square / 2 + math.log(2 * math.pi) / 2 + math.log(17 / 2)
    assert row["value"] == pytest.approx(nats / math.log(2), rel=1e-3)
    assert row["better"] == "lower"
    assert row["protocol"] == "bits/dim of validation data, density of dequantized data, 2000 draws of 100 samples"


def test_for_a_model_of_latents_bits_are_per_dimension_of_these():
    flow, data = on_digits("starflow", width=16, head=8, blocks=[1, 1], noise=0.3)
    encoder = Scaled(data.event, factor=2)
    found = losses(Latent(data.event, flow, encoder).eval(), data, draws=2000)
    square = 4 * float(data.valid.take(100, 0).x.square().mean()) + 0.3**2
    nats = square / 2 + math.log(2 * math.pi) / 2
    assert found["validation_loss.bits"]["value"] == pytest.approx(nats / math.log(2), rel=1e-3)
    among = f"bits/dim of latents of encoder {encoder.digest()[:8]} as data, density of data + N(0, 0.3^2)"
    assert found["validation_loss.bits"]["protocol"] == f"{among}, 2000 draws of 100 samples"
    model, data = on_digits("starflow", width=16, head=16, blocks=[1, 1], conditional=True)
    assert ", labels dropped as in training, " in losses(model, data)["validation_loss.bits"]["protocol"]


def test_validation_data_are_repeated_with_other_noise_and_the_same_each_time():
    model, data = on_digits("cfm", net={"name": "unet", "channels": 8, "multipliers": [1], "attention": []})
    drawn = []

    def loss(example):
        drawn.append(example)
        return {"loss": example.x.mean()}

    model.loss = loss
    first, second = (losses(model, data, draws=250)["validation_loss"] for _ in range(2))
    assert first == second
    assert first["better"] == "none"  # losses of different models are not to be ranked
    assert [len(example.x) for example in drawn] == [100, 100, 50] * 2
    assert first["protocol"] == "its own loss, 250 draws of 100 validation samples"  # as published
    assert not torch.equal(drawn[0].x, drawn[1].x)
    assert torch.equal(drawn[0].x, drawn[3].x)


def test_couplings_pair_in_the_batches_and_labels_are_dropped_at_the_rate_that_training_has():
    model, data = on_digits("cfm", net={"name": "unet", "channels": 8}, conditional=True, label_dropout=0.25)
    sizes, labels = [], []
    model.coupling.register_forward_hook(lambda coupling, args, pairs: sizes.append(len(args[0])))
    model.loss = lambda example: (labels.append(example.label), {"loss": example.x.mean()})[1]
    evaluation = Evaluation(data, 0, x=torch.empty(0, 1, 8, 8), model=model, batch=40)
    (row,) = measure(evaluation, "validation_loss", {"draws": 2000}, True)
    assert sizes == [40] * 50
    assert row["details"] == {"batch": 40}
    assert float((torch.cat(labels) == 10).double().mean()) == pytest.approx(0.25, abs=0.03)


def test_the_reason_is_given_where_there_is_no_loss():
    model, data = on_digits("starflow", width=16, head=8, blocks=[1, 1])
    model.loss = lambda example: {"loss": torch.tensor(math.nan)}
    assert losses(model, data)["validation_loss"]["reason"] == "the loss on validation data is not finite"
    (row,) = measure(Evaluation(data, 0, x=data.valid.take(4, 0).x), "validation_loss", {}, True)
    assert row["reason"] == "samples alone have no loss"


@pytest.mark.parametrize(("name", "setting"), [("kid", "size"), ("tilt", "partners")])
def test_a_variance_of_one_is_refused_before_training(name, setting):
    with pytest.raises(ConfigError, match=f"{setting}: 1 is wrong: input should be greater than or equal to 2"):
        bind(metrics[name].build, {setting: 1}, name)


@pytest.mark.parametrize("n", [1, 2])
def test_few_points_have_no_tilt(n):
    with pytest.raises(Unsupported, match=f"too few of {n} pairs"):
        measured(*built("cfm", "8gaussians"), n=n)
