"""Autoregressive blocks: exact inversion, causality, precision."""

import itertools

import pytest
import torch
from helpers.toy_transformer_flows import IMAGE, NAMES, VECTOR, perturbed, points
from torch.testing import assert_close

EVENTS = [pytest.param(IMAGE, id="image"), pytest.param(VECTOR, id="vector")]
FORMS = itertools.product(["start", "shift"], ["rope", "learned"], [["identity", "flip"], ["flip"], ["identity"]])
SCALES = itertools.cycle([("exp", None), ("softplus", 4.0), ("unit", None), ("softplus", None), ("exp", 2.0)])
BLOCKS = itertools.cycle([[1], [2, 1], [1, 1, 2], [1, 2]])


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(("form", "scale", "blocks"), list(zip(FORMS, SCALES, BLOCKS, strict=False)))
def test_sampling_inverts_the_flow(event, form, scale, blocks):
    names = ("first", "positions", "order", "scale", "clip")
    model = perturbed("starflow", event, 0.1, blocks=blocks, **dict(zip(names, (*form, *scale), strict=True)))
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
    u = model.flow.patches.split(points(event, 1, torch.float64))[0]
    reach = torch.func.jacrev(lambda u: model.flow.blocks[0](u[None])[0][0])(u)
    reach = reach.abs().amax((1, 3))  # (token of z, token of u)
    later = torch.ones_like(reach).triu(1).bool()
    later = later.T if order == "flip" else later
    assert reach[later].max() == 0
    assert reach[later.T].min() > 0


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
