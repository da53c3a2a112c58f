"""Released weights give the outputs of the published networks.

SiT, EDM and py-meanflow are not packages: `helpers/` has their layouts from their public sources.
The tests do not check these names against released files, because none was available.
"""

import pytest
import torch
from helpers import song_unet
from helpers.sit import WIDTH, position_table, released
from helpers.toy_nets import parameters
from torch.testing import assert_close
from torchcfm.models.unet.unet import UNetModelWrapper

from genbench.core import Event
from genbench.nets.ddpmpp import DDPMPlusPlus
from genbench.nets.released_weights import edm, meanflow, sit, torchcfm
from genbench.nets.unet import UNet

COLOR = (3, song_unet.SIDE, song_unet.SIDE)
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def test_the_published_layout_is_the_default_network():
    names = dict.fromkeys(UNet(Event((3, 32, 32))).state_dict())
    with torch.device("meta"):
        published = UNetModelWrapper(
            dim=(3, 32, 32), num_res_blocks=2, num_channels=128, channel_mult=[1, 2, 2, 2], num_heads=4,
            num_head_channels=64, attention_resolutions="16", dropout=0.1,
        )  # fmt: skip
    assert torchcfm(published.state_dict()).keys() == names.keys()


def test_other_positions_are_refused():
    for table in (position_table()[:, :, torch.randperm(WIDTH)], torch.zeros(1, 9, WIDTH)):
        with pytest.raises(TypeError, match="positions"):
            sit(released() | {"pos_embed": table})


def test_the_settings_of_the_format_are_the_published_size():
    from genbench.results.importing import FORMATS

    count = parameters(Event((4, 32, 32), 1000), FORMATS["sit"].settings["model"]["net"], 1000)
    variances = 1152 * 16 + 16  # which SiT also predicts
    assert count + variances == pytest.approx(675e6, rel=1e-3)


def test_released_weights_give_the_mean_velocity_of_meanflow():
    """Noise is at time 1 there, so time and velocity have the other direction."""
    state = song_unet.released([1.0, 3.0, 3.0, 1.0], 64, 2, augment=6)
    net = DDPMPlusPlus(Event(COLOR), 0, 2, frequencies=64, smooth=True, **song_unet.SIZES).eval()
    net.load_state_dict(meanflow(state))
    x, t, interval = (
        torch.randn(3, *COLOR),
        torch.tensor([0.0, 0.3, 0.9]),
        torch.tensor([1.0, 0.5, 0.0]),
    )
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
