"""EDM and py-meanflow are no packages: `helpers/song_unet.py` has their layout from their public sources.

No released file was at hand, so the tests could not see whether the files have these names.
"""

import pytest
import torch
from helpers import song_unet
from helpers.song_unet import CLASSES, SIDE, SIZES
from torch.testing import assert_close

from genbench.core import Event
from genbench.nets.ddpmpp import DDPMPlusPlus
from genbench.nets.presets import build
from genbench.nets.released.song_unet import edm, meanflow

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.mark.parametrize("classes", [0, CLASSES])
def test_released_weights_give_the_denoiser_of_edm(classes):
    """The velocity leads from x_t = t (x1 + noise level * z) to the denoised image at t = 1."""
    state = song_unet.released([1.0, 1.0], 32, 1, classes)
    settings = {"name": "ddpmpp", "frequencies": 32, "noise_level": True, **SIZES}
    net = build(Event((3, SIDE, SIDE), CLASSES), classes, settings, prediction="edm", std=0.5).eval()
    net.load_state_dict(edm(state))
    y, t = torch.randn(3, 3, SIDE, SIDE), torch.tensor([0.03, 0.5, 0.97])
    label = torch.arange(3) if classes else None
    one_hot = torch.eye(CLASSES) if classes else None
    wide = t[:, None, None, None]
    with torch.no_grad():
        denoised = song_unet.edm_denoiser(state, y, (1 - t) / t, 32, one_hot)
        assert_close(wide * y + (1 - wide) * net(t, wide * y, label), denoised, **TOLERANCE)
        if classes:
            denoised = song_unet.edm_denoiser(state, y, (1 - t) / t, 32, torch.zeros(3, CLASSES))
            assert_close(wide * y + (1 - wide) * net(t, wide * y, None), denoised, **TOLERANCE)


def test_released_weights_give_the_mean_velocity_of_meanflow():
    """Noise is at time 1 there, so time and velocity have the other direction."""
    state = song_unet.released([1.0, 3.0, 3.0, 1.0], 64, 2, augment=6)
    net = DDPMPlusPlus(Event((3, SIDE, SIDE)), 0, 2, frequencies=64, smooth=True, **SIZES).eval()
    net.load_state_dict(meanflow(state))
    x, t, interval = torch.randn(3, 3, SIDE, SIDE), torch.tensor([0.0, 0.3, 0.9]), torch.tensor([1.0, 0.5, 0.0])
    with torch.no_grad():
        due = -song_unet.network(state, x, [1 - t, interval], 64, alternating=False)
        assert_close(net(t, x, None, interval), due, **TOLERANCE)


def test_another_filter_is_refused():
    with pytest.raises(TypeError, match="filter"):
        edm(song_unet.released([1.0, 3.0, 3.0, 1.0], 32, 1))
    with pytest.raises(TypeError, match="filter"):
        meanflow(song_unet.released([1.0, 2.0, 2.0, 1.0], 32, 2))


def test_blocks_are_ordered_by_their_numbers_whatever_the_order_of_names():
    state = song_unet.released([1.0, 1.0], 32, 1)
    found, again = edm(state), edm(dict(sorted(state.items())))
    assert found.keys() == again.keys()
    assert all(torch.equal(found[name], again[name]) for name in found)
