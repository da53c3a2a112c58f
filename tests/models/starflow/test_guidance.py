"""Guidance of transformer flows."""

import copy

import pytest
import torch
from helpers.toy_transformer_flows import IMAGE, NAMES, perturbed, points
from torch.testing import assert_close

from genbench.errors import ConfigError
from genbench.models.starflow.guidance import RULES, Affine, Guidance, starflow, tarflow, weights
from genbench.models.starflow.jacobi_decoding import sequential

LABEL = torch.tensor([0, 1, 2])


@pytest.mark.parametrize("weight", [0.0, 1.7])
@pytest.mark.parametrize("rule", [starflow, tarflow])
def test_guidance_extrapolates_linearly_where_variances_agree(rule, weight):
    log_sigma = torch.randn(2, 3, 4)
    given, null = (Affine(torch.randn(2, 3, 4), log_sigma) for _ in range(2))
    mu, scale = rule(given, null, torch.full((3, 1), weight))
    assert_close(mu, (1 + weight) * given.mu - weight * null.mu)
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
    tokens = model.flow.patches.count
    shares = [b.net.depth * b.steps * (2 if b.net.conditioned else 1) for b in model.flow.blocks]
    assert guided.nfe == pytest.approx(sum(shares) / sum(b.net.depth * b.steps for b in model.flow.blocks))
    assert tokens == 6
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
