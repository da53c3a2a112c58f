"""The loss on validation data: which data, the same draws every time, and bits that are known."""

import math

import pytest
import torch
from helpers.encoders import Scaled

from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.models.build import build_model
from genbench.models.latent.latent_model import Latent
from genbench.runs.make_spec import make_spec
from genbench.runs.spec import build_data


def built(model, **settings):
    spec = make_spec(model, "digits", metrics=[], settings={"model": settings})
    data = build_data(spec.data)
    return build_model(spec.model, spec.encoder, data).eval(), data


def rows(model, data, **settings):
    found = measure(Evaluation(data, 0, x=torch.empty(0, 1, 8, 8), model=model), "validation_loss", settings, True)
    return {row["metric"]: row for row in found}


def test_a_flow_that_is_the_identity_has_the_bits_of_a_normal_density():
    model, data = built("starflow", width=16, head=8, blocks=[1, 1])  # untrained, its scale is 1 and its shift 0
    row = rows(model, data, draws=2000)["validation_loss.bits"]
    x = data.valid.take(100, 0).x
    square = float(x.square().mean()) + data.space.bin**2 / 12
    nats = square / 2 + math.log(2 * math.pi) / 2 + math.log(17 / 2)
    assert row["value"] == pytest.approx(nats / math.log(2), rel=1e-3)
    assert row["better"] == "lower"
    assert row["protocol"] == "bits/dim of validation data, density of dequantised data, 2000 draws of 100 samples"


def test_for_a_model_of_latents_bits_are_per_dimension_of_these():
    flow, data = built("starflow", width=16, head=8, blocks=[1, 1], noise=0.3)
    encoder = Scaled(data.event, factor=2)
    found = rows(Latent(data.event, flow, encoder).eval(), data, draws=2000)
    square = 4 * float(data.valid.take(100, 0).x.square().mean()) + 0.3**2
    nats = square / 2 + math.log(2 * math.pi) / 2
    assert found["validation_loss.bits"]["value"] == pytest.approx(nats / math.log(2), rel=1e-3)
    among = f"bits/dim of latents of encoder {encoder.digest()[:8]} as data, density of data + N(0, 0.3^2)"
    assert found["validation_loss.bits"]["protocol"] == f"{among}, 2000 draws of 100 samples"


def test_labels_that_are_dropped_are_in_the_protocol_of_bits():
    model, data = built("starflow", width=16, head=16, blocks=[1, 1], conditional=True)
    assert ", labels dropped as in training, " in rows(model, data)["validation_loss.bits"]["protocol"]


def test_validation_data_are_repeated_with_other_noise_and_the_same_each_time():
    model, data = built("cfm", net={"name": "unet", "channels": 8, "multipliers": [1], "attention": []})
    drawn = []

    def loss(example):
        drawn.append(example)
        return {"loss": example.x.mean()}

    model.loss = loss
    first, second = (rows(model, data, draws=250)["validation_loss"] for _ in range(2))
    assert first == second
    assert first["better"] == "none"  # losses of different models are not to be ranked
    assert [len(example.x) for example in drawn] == [100, 100, 50] * 2
    assert first["protocol"] == "its own loss, 250 draws of 100 validation samples"  # as published
    assert not torch.equal(drawn[0].x, drawn[1].x)
    assert torch.equal(drawn[0].x, drawn[3].x)


def test_couplings_pair_in_the_batches_and_labels_are_dropped_at_the_rate_that_training_has():
    model, data = built("cfm", net={"name": "unet", "channels": 8}, conditional=True, label_dropout=0.25)
    sizes, labels = [], []
    model.coupling.register_forward_hook(lambda coupling, args, pairs: sizes.append(len(args[0])))
    model.loss = lambda example: (labels.append(example.label), {"loss": example.x.mean()})[1]
    evaluation = Evaluation(data, 0, x=torch.empty(0, 1, 8, 8), model=model, batch=40)
    (row,) = measure(evaluation, "validation_loss", {"draws": 2000}, True)
    assert sizes == [40] * 50
    assert row["details"] == {"batch": 40}
    assert float((torch.cat(labels) == 10).double().mean()) == pytest.approx(0.25, abs=0.03)


def test_the_loss_is_a_mean_over_the_draws():
    model, data = built("starflow", width=16, head=8, blocks=[1, 1])
    seen = []
    model.draw = lambda batch, stream: (seen.append(batch), batch)[1]
    model.loss = lambda batch: {"loss": batch.x.mean()}
    value = rows(model, data, draws=130)["validation_loss"]["value"]
    x = torch.cat([batch.x for batch in seen])
    assert len(x) == 130
    assert value == pytest.approx(float(x.mean()), abs=1e-6)
    valid = {tuple(image.flatten().tolist()) for image in data.valid.take(100, 5).x}
    assert {tuple(image.flatten().tolist()) for image in x} == valid


def test_the_reason_is_given_where_there_is_no_loss():
    model, data = built("starflow", width=16, head=8, blocks=[1, 1])
    model.loss = lambda example: {"loss": torch.tensor(math.nan)}
    assert rows(model, data)["validation_loss"]["reason"] == "the loss on validation data is not finite"
    (row,) = measure(Evaluation(data, 0, x=data.valid.take(4, 0).x), "validation_loss", {}, True)
    assert row["reason"] == "samples alone have no loss"
