"""Autoregressive blocks: exact inversion, causality, precision."""

import itertools

import pytest
import torch
from helpers.toy_transformer_flows import IMAGE, NAMES, VECTOR, perturbed, points
from torch.testing import assert_close

EVENTS = [pytest.param(IMAGE, id="image"), pytest.param(VECTOR, id="vector")]
FORMS = list(itertools.product(["start", "shift"], ["rope", "learned"], [["identity", "flip"], ["flip"], ["identity"]]))


@pytest.mark.parametrize(("first", "positions", "order"), FORMS)
@pytest.mark.parametrize("blocks", [[1], [2, 1], [1, 1, 2]])
@pytest.mark.parametrize(("scale", "clip"), [("exp", None), ("softplus", 4.0), ("unit", None)])
@pytest.mark.parametrize("event", EVENTS)
def test_sampling_inverts_the_flow(event, scale, clip, blocks, first, positions, order):
    settings = {"first": first, "positions": positions, "order": order, "blocks": blocks, "scale": scale, "clip": clip}
    model = perturbed("starflow", event, 0.1, **settings)
    x = points(event, 3)
    with torch.no_grad():
        z = model._latents(x, None).z
        assert (z - x).abs().max() > 1e-2
        assert_close(model.sample(z).x, x, atol=1e-4, rtol=1e-4)
        model, x = model.double(), x.double()
        z = model._latents(x, None).z
        assert_close(model.sample(z).x, x, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", ["identity", "flip"])
@pytest.mark.parametrize("event", EVENTS)
def test_a_token_of_noise_depends_on_no_later_token(name, order, event):
    model = perturbed(name, event, blocks=[2], order=[order]).double()
    tokens = model.flow.patches
    block = model.flow.blocks[0]

    def z(u):
        return block(u[None])[0][0]

    u = tokens.split(points(event, 1, torch.float64))[0]
    reach = torch.func.jacrev(z)(u).abs().amax((1, 3))  # (token of z, token of u)
    later = torch.ones_like(reach).triu(1).bool()
    later = later.T if order == "flip" else later
    assert reach[later].max() == 0
    earlier = later.T
    assert reach[earlier].min() > 0


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_keeps_the_affine_part_in_float32(name):
    model = perturbed(name, IMAGE, 0.1)
    x = points(IMAGE, 4)
    with torch.autocast("cpu", torch.bfloat16):
        latents = model._latents(x, None)
        back = model.sample(latents.z.detach())
    assert latents.z.dtype == latents.log_det.dtype == back.x.dtype == torch.float32
    assert_close(back.x, x, atol=0.2, rtol=0.1)
    assert_close(latents.z, model._latents(x, None).z, atol=0.2, rtol=0.1)
