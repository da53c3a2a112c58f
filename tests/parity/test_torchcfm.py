"""Flow matching against the library of Tong et al. (torchcfm): the same pairs, velocities and points.

nets/released_weights compares the network.
"""

import math

import pytest
import torch
from torchcfm import conditional_flow_matching as theirs
from torchcfm.optimal_transport import OTPlanSampler

from genbench.models.flow_matching.couplings.minibatch_ot import MinibatchOT
from genbench.models.flow_matching.paths import Bridge, Lipman, Straight, VariancePreserving

SHAPE = (3, 8, 8)


@pytest.fixture
def batch():
    stream = torch.Generator().manual_seed(0)
    x0, x1 = torch.randn(2, 16, *SHAPE, generator=stream)
    return x0, x1, 0.05 + 0.9 * torch.rand(16, generator=stream)


@pytest.mark.parametrize(
    ("path", "matcher"),
    [
        (Straight(0.1), theirs.ConditionalFlowMatcher(0.1)),
        (Lipman(0.1), theirs.TargetConditionalFlowMatcher(0.1)),
        (Bridge(0.5), theirs.SchrodingerBridgeConditionalFlowMatcher(0.5)),
        (VariancePreserving("cosine"), theirs.VariancePreservingConditionalFlowMatcher(0.0)),
    ],
    ids=["cfm", "fm", "sbcfm", "vp"],
)
def test_the_velocity_at_a_place_is_theirs(batch, path, matcher):
    x0, x1, t = batch
    x, velocity = path(x0, x1, t[:, None, None, None], torch.Generator().manual_seed(1))
    expected = matcher.compute_conditional_flow(x0, x1, t, x)
    torch.testing.assert_close(velocity, expected, rtol=1e-3, atol=1e-4)
    # And so is the law of the place: its mean by hand of theirs, its spread as they say.
    mean = matcher.compute_mu_t(x0, x1, t)
    spread = matcher.compute_sigma_t(t)
    if isinstance(path, Lipman):  # its noise is the source itself
        mean, spread = mean + theirs.pad_t_like_x(spread, x0) * x0, torch.zeros(())
    error = (x - mean).square().flatten(1).mean(1).sqrt()
    torch.testing.assert_close(error, spread * torch.ones(16), rtol=0.25, atol=1e-5)
    assert math.isfinite(float(error.sum()))


def test_minibatch_transport_finds_their_plan(batch):
    x0, x1, _ = batch
    plan = torch.from_numpy(OTPlanSampler("exact").get_map(x0, x1))
    ours, weight, *_ = MinibatchOT()(x0, x1, None, torch.Generator())
    assert torch.equal(ours, x0[plan.argmax(0)])
    assert torch.equal(weight, torch.ones(16))
    assert not torch.equal(ours, x0)
