"""The causal transformer: its cache, its prefix and rotary positions."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from helpers.toy_transformer_flows import IMAGE, perturbed, points
from torch.func import vmap
from torch.testing import assert_close

from genbench.nets.transformer import causal_attention, rotary_embedding, rotate

LABEL = torch.tensor([0, 1, 2])


@pytest.mark.parametrize("inject", ["prefix", "add"])
@pytest.mark.parametrize(
    ("positions", "cuts"), [("rope", [0, 1, 2, 3, 4, 5, 6]), ("learned", [0, 6]), ("learned", [0, 2, 5, 6])]
)
def test_cached_steps_equal_the_full_pass(inject, positions, cuts):
    model = perturbed("starflow", IMAGE, conditional=True, inject=inject, positions=positions).double()
    net = model.flow.blocks[0].net
    tokens = model.flow.patches.split(points(IMAGE, 3, torch.float64))
    prefix = model.classes(LABEL)
    cache = net.start(prefix)
    with torch.no_grad():
        steps = [net.step(tokens[:, a:b], cache, a) for a, b in itertools.pairwise(cuts)]
        assert_close(torch.cat(steps, 1), net(tokens, prefix))


def test_a_longer_prefix_is_causal_and_its_positions_matter():
    """In one layer, keys and values of a prefix token are its own: only places tell an order from another."""
    model = perturbed("starflow", IMAGE, conditional=True, blocks=[1]).double()
    net = model.flow.blocks[0].net
    tokens = model.flow.patches.split(points(IMAGE, 2, torch.float64))
    prefix = torch.randn(2, 5, 32, dtype=torch.float64)
    with torch.no_grad():
        out = net(tokens, prefix)
        cache = net.start(prefix)
        assert_close(torch.cat([net.step(tokens[:, i : i + 1], cache, i) for i in range(6)], 1), out)
        assert (net(tokens, prefix.flip(1)) - out).abs().amax((1, 2)).min() > 1e-4


@pytest.mark.parametrize(("axes", "head"), [(1, 8), (2, 8), (3, 16)])
def test_rotary_products_depend_on_differences_of_places_along_every_axis(axes, head):
    q, k = torch.randn(2, head, dtype=torch.float64)

    def product(here, there):
        rotations = rotary_embedding(torch.tensor([here, there]), head).double().unbind(1)
        return rotate(q[None], rotations[0][:, None])[0] @ rotate(k[None], rotations[1][:, None])[0]

    zero = [0] * axes
    assert_close(product(zero, zero), q @ k)
    for axis in range(axes):
        one, three, five = ([n if a == axis else 0 for a in range(axes)] for n in (1, 3, 5))
        assert_close(product(one, three), product(three, five), atol=1e-5, rtol=1e-5)
        assert (product(zero, one) - q @ k).abs() > 1e-3


@pytest.mark.parametrize("tokens", [1, 2, 7])
def test_attention_of_a_stack_is_batched_and_equals_that_of_each_member(tokens, recwarn):
    q, k, v = torch.randn(3, 4, 5, 2, tokens, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    stacked = vmap(causal_attention)(q, k, v)
    members = zip(q, k, v, strict=True)
    alone = torch.stack([F.scaled_dot_product_attention(*member, is_causal=True) for member in members])
    assert_close(stacked, alone, rtol=1e-14, atol=1e-14)
    assert not [w for w in recwarn if "performance drop" in str(w.message)]


@pytest.mark.parametrize("inject", ["prefix", "add"])
def test_the_residual_stream_is_float32_under_bf16(inject):
    model = perturbed("starflow", IMAGE, conditional=True, inject=inject)
    net, seen = model.flow.blocks[0].net, []
    for layer in net.layers:
        layer.register_forward_hook(lambda layer, inputs, output: seen.extend([inputs[0].dtype, output.dtype]))
    with torch.autocast("cpu", torch.bfloat16):
        net(model.flow.patches.split(points(IMAGE, 3)), model.classes(LABEL).bfloat16())
    assert len(seen) == 2 * net.depth
    assert set(seen) == {torch.float32}
