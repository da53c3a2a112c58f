"""Sampling from transformer flows, token by token and by Jacobi decoding."""

import copy
import math

import pytest
import torch
from helpers.toy_transformer_flows import IMAGE, NAMES, VECTOR, perturbed, points
from torch.testing import assert_close

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.models.starflow.decoding import (
    RULES,
    Affine,
    Guidance,
    JacobiDecoding,
    sequential,
    starflow,
    tarflow,
    weights,
)

LABEL = torch.tensor([0, 1, 2])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("event", [pytest.param(IMAGE, id="image"), pytest.param(VECTOR, id="vector")])
@pytest.mark.parametrize("window", [1, 3, 100])
def test_jacobi_without_tolerance_is_sequential_and_takes_at_most_as_many_sweeps_as_tokens(name, event, window):
    model = perturbed(name, event, 0.1).double()
    z = points(event, 3, torch.float64)
    expected = model.sample(z)
    found = model.sample(z, decode="jacobi", tolerance=0.0, window=window)
    assert_close(found.x, expected.x, atol=1e-10, rtol=1e-10)
    tokens = model.flow.patches.count
    assert 1 <= found.nfe <= min(window, tokens)
    assert expected.nfe == 1


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
def test_jacobi_errs_by_no_more_than_its_tolerance(tolerance):
    model = perturbed("starflow", Event((1, 8, 8)), 0.1, patch=1).double()
    z = points(Event((1, 8, 8)), 4, torch.float64)
    exact = model.sample(z).x
    found = model.sample(z, decode="jacobi", tolerance=tolerance, window=16)
    assert (found.x - exact).abs().max() <= tolerance
    loose = model.sample(z, decode="jacobi", tolerance=100 * tolerance, window=16)
    assert loose.nfe < found.nfe


@pytest.mark.parametrize("decode", [sequential, JacobiDecoding(4, 1e-12), JacobiDecoding(32, 0.0)])
def test_decoding_solves_a_linear_chain(decode):
    """A chain u_i = 0.7 u_{i-1} + z_i: z is found again from its solution."""
    z = torch.randn(3, 20, 2, dtype=torch.float64)
    first = torch.zeros(3, 1, 2, dtype=torch.float64)
    u = decode(z, first, lambda inputs, at: Affine(0.7 * inputs, torch.zeros_like(inputs))).u
    assert_close(u - 0.7 * torch.cat([first, u[:, :-1]], 1), z, atol=1e-10, rtol=1e-10)


def test_by_default_one_sample_of_many_tokens_is_decoded_by_jacobi_and_a_batch_is_not():
    event = Event((1, 16, 16))
    model = perturbed("starflow", event, 0.02, patch=1, blocks=[1, 1])
    x0 = points(event, 3)
    alone, three = model.sample(x0[:1]), model.sample(x0)
    assert alone.nfe > three.nfe == 1
    assert_close(alone.x, three.x[:1], atol=8e-3, rtol=0)
    assert_close(three.x, model.sample(x0, decode="sequential").x, atol=0, rtol=0)
    assert model.sample(x0[:1], decode="sequential").nfe == 1
    one = perturbed("starflow", Event((1, 2, 2)), patch=2)  # a single token
    x0 = points(Event((1, 2, 2)), 3)
    assert_close(one.sample(x0, decode="jacobi").x, one.sample(x0).x)
    few = perturbed("starflow", IMAGE).sample(points(IMAGE, 1))
    assert few.nfe == 1
    assert not few.x.is_inference()
    (few.x.requires_grad_() ** 2).sum().backward()


def test_sweeps_bounds_the_iterations_of_every_token():
    visits = torch.zeros(30, dtype=torch.long)

    def step(inputs, at):
        visits[at : at + inputs.shape[1]] += 1
        return Affine(0.9 * inputs, torch.zeros_like(inputs))

    found = JacobiDecoding(8, 0.0, sweeps=3)(torch.randn(2, 30, 1), torch.zeros(2, 1, 1), step)
    assert visits.max() == 3
    assert found.evaluated == visits.sum()


def test_overflowing_guesses_do_not_affect_the_solution():
    """Guesses beyond the settled tokens may overflow, and a causal sum meets infinity times zero."""
    z = torch.randn(1, 6, 1, dtype=torch.float64)
    first = torch.zeros(1, 1, 1, dtype=torch.float64)
    solution = z.clone()
    solution[:, 0] += 1
    sums = torch.cat([first, solution[:, :-1]], 1).cumsum(1)
    seen = torch.zeros(1, 6, 1, dtype=torch.float64)

    def step(inputs, at):
        end = at + inputs.shape[1]
        seen[:, at:end] = inputs
        causal = torch.ones(end - at, end, dtype=torch.float64).tril(at)
        mu = torch.zeros_like(inputs)
        if at == 0:
            mu[:, 0] = 1
        return Affine(mu, 1e4 * (causal @ seen[:, :end] - sums[:, at:end]).abs().round(decimals=6))

    assert_close(sequential(z, first, step).u, solution)
    assert_close(JacobiDecoding(6, 0.0)(z, first, step).u, solution)


def test_a_nan_sample_affects_no_other_sample():
    model = perturbed("starflow", IMAGE, 0.1)
    z = points(IMAGE, 3)
    expected = model.sample(z).x
    z[1, 0, 0, 0] = math.nan
    for options in ({}, {"decode": "jacobi", "tolerance": 1e-6}):
        found = model.sample(z, **options).x
        assert found[1].isnan().any()
        assert_close(found[[0, 2]], expected[[0, 2]], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rule", [starflow, tarflow])
def test_guidance_extrapolates_linearly_where_variances_agree(rule):
    log_sigma = torch.randn(2, 3, 4)
    given, null = (Affine(torch.randn(2, 3, 4), log_sigma) for _ in range(2))
    mu, scale = rule(given, null, torch.full((3, 1), 1.7))
    assert_close(mu, 2.7 * given.mu - 1.7 * null.mu)
    assert_close(scale, log_sigma)


def test_the_starflow_rule_is_the_product_of_gaussians():
    """Where the conditional variance is the smaller, the guided density is p_c^(1+w) / p_u^w."""
    given = Affine(torch.tensor([[[0.4]]]), torch.tensor([[[-0.6]]]))
    null = Affine(torch.tensor([[[-0.3]]]), torch.tensor([[[0.1]]]))
    w = 1.5
    mu, log_sigma = starflow(given, null, torch.tensor([[w]]))
    u = torch.linspace(-3, 3, 50)

    def log_density(affine):
        return torch.distributions.Normal(affine[0].item(), affine[1].exp().item()).log_prob(u)

    gap = (1 + w) * log_density(given) - w * log_density(null) - log_density((mu, log_sigma))
    assert gap.std() < 1e-4


def test_the_starflow_rule_never_widens_nor_overflows():
    given, null = (Affine(torch.randn(50, 3, 4), 3 * torch.randn(50, 3, 4)) for _ in range(2))
    mu, log_sigma = starflow(given, null, torch.full((3, 1), 20.0))
    assert (log_sigma <= given.log_sigma + 1e-6).all()
    assert mu.isfinite().all()


@pytest.mark.parametrize(("copied", "known"), [(0, [0.5, 1.0, 1.5, 2.0]), (1, [0.0, 2 / 3, 4 / 3, 2.0])])
def test_annealed_weights_grow_equally_over_the_transformed_tokens_to_the_full_weight(copied, known):
    torch.testing.assert_close(weights(2.0, 4, "linear", copied)[:, 0].tolist(), known)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rule", ["starflow", "tarflow"])
def test_guidance_applies_to_conditioned_blocks(name, rule):
    model = perturbed(name, IMAGE, 0.1, conditional=True).double()
    z = points(IMAGE, 3, torch.float64)
    plain = model.sample(z, label=LABEL)
    barely = model.sample(z, label=LABEL, guidance=1e-9, rule=rule)
    assert_close(barely.x, plain.x, atol=1e-6, rtol=1e-6)
    guided = model.sample(z, label=LABEL, guidance=1.0, rule=rule)
    assert (guided.x - plain.x).abs().max() > 1e-3
    shares = [b.net.depth * b.steps * (2 if b.net.conditioned else 1) for b in model.flow.blocks]
    assert guided.nfe == pytest.approx(sum(shares) / sum(b.net.depth * b.steps for b in model.flow.blocks))
    fast = model.sample(z, label=LABEL, guidance=1.0, rule=rule, decode="jacobi", tolerance=0.0)
    assert_close(fast.x, guided.x, atol=1e-9, rtol=1e-9)
    nothing = torch.full((3,), -1)
    unguided = model.sample(z, label=nothing, guidance=1.0, rule=rule)
    assert_close(unguided.x, model.sample(z).x)  # no label against no label


@pytest.mark.parametrize("name", NAMES)
def test_an_infinite_temperature_guides_away_from_uniform_attention(name):
    """A block without queries attends to all tokens alike: the given and the guided prediction follow in parallel."""
    model = perturbed(name, IMAGE, by=0.1).double()
    block = model.flow.blocks[0]
    flat = copy.deepcopy(block)
    for layer in flat.net.layers:
        width = layer.attention.out.in_features
        layer.attention.qkv.weight.data[:width] = layer.attention.qkv.bias.data[:width] = 0
    z = points(IMAGE, 3, torch.float64).flatten(1).unflatten(1, (-1, 8))
    weight = weights(1.5, z.shape[1], "linear").double()
    with torch.no_grad():
        u = block.inverse(z, None, sequential, Guidance(None, RULES[name], weight, 1e12)).u
        u, z = (each.flip(1) if block.flip else each for each in (u, z))
        inputs = torch.cat([block._first(u), u[:, block.copied : -1]], 1)
        given, null = (each._affine(each.net(inputs)) for each in (block, flat))
        mu, log_sigma = RULES[name](given, null, weight[block.copied :])
    assert float((given.mu - null.mu).abs().max()) > 1e-3
    assert_close(mu + log_sigma.exp() * z[:, block.copied :], u[:, block.copied :], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "guided"), [("tarflow", 2.0), ("starflow", (2 * 2 + 1) / 3)])
def test_a_temperature_guides_a_model_without_labels_in_the_blocks_of_its_paper(name, guided):
    model, x0 = perturbed(name, IMAGE, by=0.1), points(IMAGE, 2)
    plain, tempered = model.sample(x0), model.sample(x0, guidance=1.0, temperature=0.5)
    assert (plain.nfe, tempered.nfe) == pytest.approx((1.0, guided))
    assert float((plain.x - tempered.x).abs().max()) > 1e-4
    almost = model.sample(x0, guidance=1.0, temperature=1 + 1e-6)
    assert_close(almost.x, plain.x, rtol=0, atol=1e-3)


def test_a_temperature_without_guidance_is_refused():
    with pytest.raises(ConfigError, match=r"set sample\.guidance"):
        perturbed("tarflow", IMAGE).sample(points(IMAGE, 1), temperature=2.0)
