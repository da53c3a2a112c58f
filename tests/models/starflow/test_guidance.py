"""Guidance of transformer flows."""

import pytest
import torch
from helpers.toy_transformer_flows import IMAGE, NAMES, perturbed, points
from torch.testing import assert_close

from genbench.models.starflow.guidance import Affine, starflow, tarflow, weights

LABEL = torch.tensor([0, 1, 2])


@pytest.mark.parametrize("rule", [starflow, tarflow])
def test_zero_guidance_is_the_conditional_prediction(rule):
    given, null = (Affine(torch.randn(2, 3, 4), torch.randn(2, 3, 4)) for _ in range(2))
    for found, expected in zip(rule(given, null, torch.zeros(3, 1)), given, strict=True):
        assert_close(found, expected)


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
def test_steps_reach_the_full_weight_in_equal_steps_over_the_transformed_tokens(copied, known):
    torch.testing.assert_close(weights(2.0, 4, "steps", copied)[:, 0].tolist(), known)


def test_annealed_weights_grow_from_zero_to_the_full_weight():
    assert_close(weights(2.0, 5, "linear"), torch.tensor([[0.0], [0.5], [1.0], [1.5], [2.0]]))
    assert_close(weights(2.0, 3, "constant"), torch.full((3, 1), 2.0))


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
