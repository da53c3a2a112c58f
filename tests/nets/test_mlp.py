"""The multilayer perceptron."""

import torch
from helpers.toy_nets import VECTOR, make, parameters
from torch.testing import assert_close


def test_stacked_mlps_equal_each_alone():
    members = [make(VECTOR, 3, seed=seed) for seed in (0, 1)]
    stacked, buffers = torch.func.stack_module_state(members)
    x, t, label = torch.randn(2, 5, 2), torch.rand(2, 5), torch.randint(4, (2, 5))

    def run(weights, buffers, t, x, label):
        return torch.func.functional_call(members[0], (weights, buffers), (t, x, label))

    together = torch.vmap(run)(stacked, buffers, t, x, label)
    for i, net in enumerate(members):
        assert_close(together[i], net(t[i], x[i], label[i]))


def test_mlp_of_the_2d_protocol():
    """3 x 64 units over [x, t]: (3 + 1) 64 + 2 (64 + 1) 64 + (64 + 1) 2 parameters."""
    assert parameters(VECTOR) == 8706
    assert parameters(VECTOR, {"width": 10, "depth": 1}) == 4 * 10 + 11 * 2
