"""What couplings have in common: the independent one as their limit, and how often they make a GPU wait."""

import pytest
import torch
from helpers.toy_flows import component, stream
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from genbench.core import Event
from genbench.models.flow_matching.couplings.base import Independent, PilotPairs
from genbench.registry import couplings

LABEL = torch.arange(32) % 2


def test_independent_changes_nothing():
    x0, x1 = torch.randn(2, 10, 2)
    pairs = Independent()(x0, x1, None, stream())
    assert_close(pairs.x0, x0)
    assert_close(pairs.weight, torch.ones(10))


class Waits(TorchDispatchMode):
    """Counts operations whose result, or its shape, a GPU would have to send to the host."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.count += name in ("_local_scalar_dense", "nonzero", "_unique2", "bincount", "equal")
        return func(*args, **(kwargs or {}))


def built(name, conditions=0, classes=0, **settings):
    return component(couplings, name, Event((3,), 2, conditions=conditions), classes, **settings)


@pytest.mark.parametrize("label", [None, LABEL])
@pytest.mark.parametrize(
    ("name", "settings", "most"),
    [
        ("gibbs", {}, 0),
        ("gibbs", {"normalizer": "running"}, 0),
        ("gibbs", {"normalizer": "batch", "weigh": "data"}, 0),
        ("balanced", {"reference": 64}, 1),
    ],
)
def test_weights_of_a_batch_make_a_gpu_wait_at_most_once(name, settings, most, label):
    coupling = built(name, classes=0 if label is None else 2, kappa=1.0, **settings)
    x0, x1 = torch.randn(2, 64, 3)
    coupling.prepare([PilotPairs(x0, x1, torch.zeros(64, dtype=torch.long) if label is None else LABEL.repeat(2))])
    with Waits() as waits:
        coupling(x0[:32], x1[:32], label, stream())
    assert waits.count <= most


@pytest.mark.parametrize(
    ("settings", "conditions", "label", "partners"),
    [
        ({}, 0, None, 0),
        ({"resample": True}, 0, LABEL, 2),
        ({"mismatch": 1.0}, 0, LABEL, 0),
        ({}, 1, None, 0),
        ({"plan": "sinkhorn", "reg": 10.0}, 0, LABEL, 2),
    ],
)
def test_the_costs_and_labels_of_a_plan_reach_the_host_in_one_copy(monkeypatch, settings, conditions, label, partners):
    """The partners found in each class are also asked to the CPU, where those of exact plans already are."""
    coupling, copies, copy = built("ot", conditions, 2, **settings), [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: copies.append(tensor) or copy(tensor))
    coupling(torch.randn(32, 3), torch.randn(32, 3), label, stream())
    assert len(copies) == 1 + partners
