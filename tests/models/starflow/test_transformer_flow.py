"""TARFlow and STARFlow: exactness of the flow, its density and its gradients."""

import math

import pytest
import torch
from helpers.toy_transformer_flows import IMAGE, NAMES, SMALL, VECTOR, build, perturbed, points
from torch.testing import assert_close

from genbench.core import Batch, Event, Normal

EVENTS = [pytest.param(IMAGE, id="image"), pytest.param(VECTOR, id="vector")]


@pytest.mark.parametrize(("name", "positions"), zip(NAMES, ["rope", "learned"], strict=True))
@pytest.mark.parametrize("conditioned", ["first", "all"])
@pytest.mark.parametrize("inject", ["prefix", "add"])
def test_the_inverse_is_exact_given_a_label(name, conditioned, inject, positions):
    settings = {"conditional": True, "conditioned": conditioned, "inject": inject, "positions": positions}
    model = perturbed(name, IMAGE, 0.1, **settings).double()
    x, label = points(IMAGE, 4, torch.float64), torch.tensor([0, 1, 2, -1])
    with torch.no_grad():
        z = model._latents(x, label).z
        assert_close(model.sample(z, label=label).x, x, atol=1e-10, rtol=1e-10)
        assert (model.sample(z, label=label.roll(1)).x - x).abs().amax((1, 2, 3)).min() > 1e-4
        assert_close(model.log_prob(x[3:], label=None), model.log_prob(x, label=label)[3:])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("conditional", [False, True])
def test_log_prob_agrees_with_the_autograd_jacobian(name, event, conditional):
    model = perturbed(name, event, conditional=conditional).double()
    x, label = points(event, 1, torch.float64), torch.tensor([2])
    jacobian = torch.func.jacrev(lambda y: model._latents(y[None], label).z.flatten())(x[0])
    log_det = torch.linalg.slogdet(jacobian.reshape(event.dims, event.dims))[1]
    expected = Normal(event.shape).log_prob(model._latents(x, label).z) + log_det
    assert_close(model.log_prob(x, label=label), expected)


@pytest.mark.parametrize("name", NAMES)
def test_training_reaches_the_entropy_of_a_correlated_gaussian(name, trained):
    law, small = {"dims": 3, "spread": 3.0, "correlation": 0.7}, {"blocks": [1, 1, 1], "width": 32, "head": 16}
    plan = {"steps": 200, "batch_size": 256, "lr": 4e-3, "schedule": "cosine"}
    model, data = trained(name, "gaussian", data=law, model=small, plan=plan)
    x = data.test.take(4000, 0).x
    with torch.no_grad():
        excess = (data.truth.log_prob(x) - model.log_prob(x)).mean()
    assert -1e-3 < excess < 0.03


@pytest.mark.parametrize("name", NAMES)
def test_checkpointing_changes_no_gradient(name):
    kept, recomputed = (perturbed(name, IMAGE, 0.1, checkpoint=checkpoint) for checkpoint in (False, True))
    example = kept.draw(Batch(points(IMAGE, 4), torch.zeros(4, dtype=torch.long)), torch.Generator())
    for model in (kept, recomputed):
        model(example)["loss"].backward()
    for a, b in zip(kept.parameters(), recomputed.parameters(), strict=True):
        assert_close(a.grad, b.grad)


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_the_negative_log_likelihood_per_dimension(name):
    model = perturbed(name, IMAGE, 0.1, penalty=0.0)
    example = model.draw(Batch(points(IMAGE, 5), torch.zeros(5, dtype=torch.long)), torch.Generator())
    parts = model.loss(example)
    nll = -model.log_prob(example.x).mean() / IMAGE.dims
    assert_close(parts["nll_per_dim"], nll.detach())
    assert_close(parts["loss"], nll - math.log(2 * math.pi) / 2)
    penalised = perturbed(name, IMAGE, 0.1, penalty=0.5).loss(example)
    assert_close(penalised["loss"] - parts["loss"], 0.5 * penalised["latents"])


def test_the_kind_of_noise_determines_the_density():
    event = Event((1, 4, 4), bin=0.125)
    batch = Batch(torch.zeros(500, 1, 4, 4), torch.zeros(500, dtype=torch.long))

    def moved(noise, event=event):
        model = build("tarflow", event, noise=noise)
        return model.density, model.draw(batch, torch.Generator().manual_seed(0)).x

    density, x = moved("uniform")
    assert density == "dequantized data"
    assert x.abs().max() <= 0.0625
    assert_close(x.std(), torch.tensor(0.125 / math.sqrt(12)), rtol=0.03, atol=0)
    density, x = moved(0.1)
    assert density == "data + N(0, 0.1^2)"
    assert_close(x.std(), torch.tensor(0.1), rtol=0.03, atol=0)
    for density, x in (moved(None), moved("uniform", Event((1, 4, 4)))):
        assert density == "data"
        assert_close(x, batch.x)


def test_label_dropout_drops_its_share_of_labels():
    model = build("starflow", IMAGE, **SMALL, conditional=True, label_dropout=0.25)
    label = torch.arange(8000) % 3
    drawn = model.draw(Batch(torch.zeros(8000, *IMAGE.shape), label), torch.Generator().manual_seed(0)).label
    hidden = drawn < 0
    assert abs(hidden.float().mean() - 0.25) < 0.02
    assert_close(drawn[~hidden], label[~hidden])


def test_one_step_along_the_score_denoises_a_gaussian():
    """Data N(0, s^2) + noise: the model of noised data knows the posterior mean, s^2 / (s^2 + sigma^2) y."""
    model = build("tarflow", Event((3,)), blocks=[1], first="start", noise=0.5).double()
    total = math.sqrt(1.2**2 + 0.5**2)
    with torch.no_grad():
        model.flow.blocks[0].net.proj_out.bias[0] = math.log(total)
    x0 = points(Event((3,)), 4, torch.float64)
    noisy, clean = model.sample(x0, denoise=False), model.sample(x0)
    assert_close(noisy.x, total * x0, atol=1e-6, rtol=1e-6)
    assert_close(clean.x, noisy.x * 1.2**2 / total**2, atol=1e-6, rtol=1e-6)
    assert clean.nfe == noisy.nfe + 1 == 2
