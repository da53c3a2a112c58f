"""W-CFM without the tilt: potentials against the closed form of Gaussians, marginals, limits, training."""

import math

import pytest
import torch
from helpers.toy_flows import stream, tilted
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from genbench.core import Event
from genbench.errors import ConfigError, RunFailed
from genbench.metrics.sampling import noise
from genbench.models.flow_matching.couplings.balanced import Balanced, ReferenceSettings
from genbench.models.flow_matching.couplings.base import PilotPairs
from genbench.models.flow_matching.couplings.wcfm_weights import Gibbs, KernelSettings, WeightSettings
from genbench.numerics.weighted_pairs import tilt_of_batch


def labels(n, classes=1):
    return torch.arange(n) % classes


def balanced(shape=(2,), classes=0, epsilon=1.0, cost="norm", **settings):
    kernel = KernelSettings(epsilon=epsilon, cost=cost)
    return Balanced(Event(shape), classes, kernel=kernel, settings=ReferenceSettings(**settings))


def shown(x0, x1, label=None, **settings):
    """Return the coupling whose reference these points are."""
    coupling = balanced(x0.shape[1:], reference=len(x0), running=False, **settings)
    coupling.prepare([PilotPairs(x0, x1, labels(len(x0)) if label is None else label)])
    return coupling


def weights(coupling, x0, x1):
    """Return the weights of all pairs of noise and data."""
    phi, psi = coupling.potentials(x0, x1, labels(len(x0)))
    return torch.exp(coupling.kernel.log(x0, x1) + phi[:, None] + psi)


def log_density(x0, x1, mean, variance, epsilon):
    """Log-density of the entropic plan from N(0, I) to a Gaussian, for the squared norm, against independence.

    The plan is Gaussian. The off-diagonal of its precision matrix is that of the kernel, -2 / epsilon, which with
    variances 1 and b gives the covariance c as the root of b - c^2 = c epsilon / 2 (Janati et al., 2020).
    """
    total = 0
    for i, (m, b) in enumerate(zip(mean, variance, strict=True)):
        c = math.sqrt(epsilon**2 / 16 + b) - epsilon / 4
        joint = MultivariateNormal(torch.tensor([0.0, m]), torch.tensor([[1.0, c], [c, b]]))
        apart = Normal(0.0, 1.0).log_prob(x0[:, i]) + Normal(m, math.sqrt(b)).log_prob(x1[:, i])
        total = total + joint.log_prob(torch.stack([x0[:, i], x1[:, i]], 1)) - apart
    return total


def test_potentials_match_the_closed_form_in_eight_dimensions():
    mean, std = torch.linspace(-1, 1, 8), torch.linspace(0.5, 2, 8)
    draws, epsilon = stream(), 12.0
    coupling = shown(
        torch.randn(2048, 8, generator=draws),
        mean + std * torch.randn(2048, 8, generator=draws),
        epsilon=epsilon,
        cost="sqnorm",
    )
    x0, x1 = torch.randn(1000, 8, generator=draws), mean + std * torch.randn(1000, 8, generator=draws)
    exact = log_density(x0, x1, mean.tolist(), std.square().tolist(), epsilon)
    error = coupling(x0, x1, None, draws).weight.log() - exact
    assert error.mean().abs() < 0.02
    assert error.std() < 0.05 * exact.std()


def test_a_small_epsilon_approaches_the_optimal_plan():
    x0, x1 = torch.randn(400, 1), 2 * torch.randn(400, 1) + 1
    shortest = (x0.sort(0).values - x1.sort(0).values).square().mean()
    square = torch.cdist(x0, x1).square()
    lengths = [(weights(shown(x0, x1, epsilon=e, cost="sqnorm"), x0, x1) * square).mean() for e in (1.0, 0.1, 0.02)]
    assert lengths[0] > lengths[1] > lengths[2]
    assert lengths[2].item() == pytest.approx(shortest.item(), rel=0.03)


def test_the_trained_variance_is_that_of_the_data(trained, drawn):
    """W-CFM under the same kernel has a closed form, to which test_methods trains it: far from the data."""
    data, model = {"dims": 1, "std": 2.0}, {"cost": "sqnorm", "epsilon": 4.0}
    plan = {"steps": 500, "batch_size": 256, "lr": 3e-3, "schedule": "cosine", "ema": 0.99}
    balanced, _ = trained("wcfm-balanced", "gaussian", data=data, model=model, plan=plan)
    ratio = drawn(balanced).var().item() / noise(balanced.source, 4096, seed=1).var().item()
    assert ratio == pytest.approx(4.0, rel=0.02)
    cov = tilted(4.0, 2.0)
    assert (cov[1, 1] / cov[0, 0]).item() < 3.0


def test_a_running_reference_averages_sampling_errors():
    draws = stream()

    def pair(n):
        return torch.randn(n, 2, generator=draws), 3 * torch.randn(n, 2, generator=draws)

    probe = pair(1000)
    coupling = balanced(reference=128)
    coupling.prepare([PilotPairs(*pair(128), labels(128))])
    fixed, mean = weights(coupling, *probe), torch.zeros(1000, 1000)
    for step in range(400):
        coupling(*pair(32), None, draws)
        if step % 8 == 7:
            mean += weights(coupling, *probe) / 50
    assert (tilt_of_batch(mean, labels(1000)).mean(0) < tilt_of_batch(fixed, labels(1000)).mean(0) / 3).all()


def test_classes_are_balanced_one_by_one():
    draws, label = stream(), labels(600, classes=3)
    x0 = torch.randn(600, 2, generator=draws)
    x1 = torch.randn(600, 2, generator=draws) + 4.0 * label[:, None]
    pairs = shown(x0, x1, label, epsilon=1.0, classes=3)(x0, x1, label, draws)
    for one in range(3):
        mine = label == one
        alone = shown(x0[mine], x1[mine], epsilon=1.0)(x0[mine], x1[mine], None, draws)
        assert_close(pairs.weight[mine], alone.weight, rtol=1e-2, atol=1e-3)
    with pytest.raises(RunFailed, match="class 2 is not among"):
        shown(x0, x1, label % 2, epsilon=1.0, classes=3)(x0, x1, label, draws)


def test_weights_of_images_are_finite_and_average_one():
    draws = stream()
    x0 = torch.randn(600, 3, 32, 32, generator=draws)
    x1 = torch.randn(600, 1, 1, 1, generator=draws) * torch.ones(3, 32, 32)  # of norms from 0 to 200
    pairs = shown(x0[:400], x1[:400], epsilon=5.0)(x0[400:], x1[400:], None, draws)
    assert pairs.weight.mean().item() == pytest.approx(1.0, abs=0.05)
    kernel, own = KernelSettings(epsilon=5.0), WeightSettings(normalizer="batch")
    plain = Gibbs(Event((3, 32, 32)), 0, kernel=kernel, settings=own)(x0[400:], x1[400:], None, draws).weight
    assert plain.max() > 4 > 2 > pairs.weight.max()


def test_missing_potentials_and_wrong_settings_are_errors(trained):
    with pytest.raises(RunFailed, match="prepare"):
        balanced()(torch.randn(4, 2), torch.randn(4, 2), None, stream())
    with pytest.raises(ConfigError, match=r"model.reference=100 must be at least twice plan.batch_size=64"):
        trained("wcfm-balanced", "moons", model={"reference": 100}, plan={"steps": 1, "batch_size": 64})
    with pytest.raises(ConfigError, match="not both"):
        trained("wcfm-balanced", "moons", model={"kappa": 1.0, "epsilon": 1.0})
    with pytest.raises(RunFailed, match="raise epsilon"):
        shown(torch.randn(64, 2), 100 * torch.randn(64, 2), epsilon=1e-6)
