"""The multilayer perceptron."""

from helpers.toy_nets import VECTOR, parameters


def test_mlp_of_the_2d_protocol():
    """3 x 64 units over [x, t]: (3 + 1) 64 + 2 (64 + 1) 64 + (64 + 1) 2 parameters."""
    assert parameters(VECTOR) == 8706
    assert parameters(VECTOR, {"width": 10, "depth": 1}) == 4 * 10 + 11 * 2
