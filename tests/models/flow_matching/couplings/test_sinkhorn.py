import math
import warnings

import pytest
import torch
from helpers.toy_flows import stream

from genbench.errors import RunFailed
from genbench.models.flow_matching.couplings.minibatch_ot import MinibatchOT
from genbench.models.flow_matching.couplings.sinkhorn import Sinkhorn
from genbench.numerics.optimal_transport import pot


def test_sinkhorn_goes_from_independent_to_the_exact_plan():
    x0, x1 = torch.randn(128, 1), torch.randn(128, 1)
    exact = MinibatchOT()(x0, x1, None, stream()).x0

    def correlation(reg):
        paired = Sinkhorn(reg=reg)(x0, x1, None, stream()).x0
        return torch.corrcoef(torch.stack([paired[:, 0], x1[:, 0]]))[0, 1].item()

    best = torch.corrcoef(torch.stack([exact[:, 0], x1[:, 0]]))[0, 1].item()
    assert correlation(0.02) == pytest.approx(best, abs=0.03)
    assert abs(correlation(1000.0)) < 0.4  # of 128 independent pairs it has a standard deviation of 0.09


def test_sinkhorn_correlation_of_gaussians_is_the_closed_form():
    # The entropic plan of N(0,1) with itself for cost c = |x-y|^2 and strength reg is Gaussian with correlation
    # rho solving rho / (1 - rho^2) = 2 / reg (Janati et al., 2020).
    reg = 1.0
    rho = (math.sqrt(1 + 16 / reg**2) - 1) / (4 / reg)
    quantiles = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(1000) + 0.5) / 1000)[:, None]
    paired = Sinkhorn(reg=reg)(quantiles, quantiles, None, stream()).x0
    assert (paired * quantiles).mean().item() == pytest.approx(rho, abs=0.04)


def test_partners_are_drawn_on_the_device_of_the_generator(monkeypatch):
    """Plans are made on the CPU; the device meta stands for a GPU, whose generators draw nothing elsewhere."""

    class OfAnotherDevice(torch.Generator):
        device = torch.device("meta")

    def multinomial(probabilities, count, *, generator):
        devices.append(probabilities.device)
        return torch.arange(len(probabilities))[:, None]

    devices = []
    monkeypatch.setattr(torch, "multinomial", multinomial)
    x0 = torch.randn(8, 2)
    assert torch.equal(Sinkhorn(reg=1.0)(x0, x0, None, OfAnotherDevice()).x0, x0)
    assert devices == [torch.device("meta")]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_pairs_on_a_gpu_stay_there():
    x0, x1 = torch.randn(2, 64, 2, device="cuda")
    for label in (None, torch.arange(64, device="cuda") % 2):
        pairs = Sinkhorn(reg=1.0)(x0, x1, label, torch.Generator("cuda"))
        assert pairs.x0.device == x0.device
        assert torch.isin(pairs.x0, x0).all()


@pytest.mark.parametrize(("reg", "scale"), [(1e-6, 100.0), (1.0, math.nan)])
def test_sinkhorn_without_convergence_is_an_error(reg, scale):
    with pytest.raises(RunFailed, match="larger reg"):
        Sinkhorn(reg=reg)(torch.randn(64, 2) * scale, torch.randn(64, 2), None, stream())


def test_a_warning_of_another_thread_is_no_error(monkeypatch):
    """Pairs are drawn in a thread; filters of warnings are those of all threads."""
    sinkhorn = pot().sinkhorn

    def beside(*args, **settings):
        warnings.warn("of another thread", stacklevel=1)
        return sinkhorn(*args, **settings)

    monkeypatch.setattr(pot(), "sinkhorn", beside)
    with pytest.warns(UserWarning, match="of another thread"):
        Sinkhorn(reg=1.0)(torch.randn(8, 2), torch.randn(8, 2), None, stream())
