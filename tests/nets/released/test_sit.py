"""SiT is not a package: `helpers/sit.py` has its layout from its public source. No released file was at hand."""

import pytest
import torch
from helpers.sit import CHANNELS, CLASSES, DEPTH, HEADS, SIDE, WIDTH, outputs, position_table, released

from genbench.core import Event
from genbench.nets.dit import DiT
from genbench.nets.released.sit import weights


def test_released_weights_give_the_outputs_of_sit():
    net, state = DiT(Event((CHANNELS, SIDE, SIDE), CLASSES), CLASSES, width=WIDTH, heads=HEADS, depth=DEPTH), released()
    net.load_state_dict(weights(state))
    x, t, label = torch.randn(3, CHANNELS, SIDE, SIDE), torch.rand(3), torch.tensor([0, 4, 5])
    with torch.no_grad():
        expected = outputs(state, t, x, label)
        torch.testing.assert_close(net(t, x, label), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(net(t[2:], x[2:], None), expected[2:], rtol=1e-5, atol=1e-5)  # class 5 is none


def test_other_positions_are_refused():
    for table in (position_table()[:, :, torch.randperm(WIDTH)], torch.zeros(1, 9, WIDTH)):
        with pytest.raises(TypeError, match="positions"):
            weights(released() | {"pos_embed": table})


def test_the_settings_of_the_format_are_the_published_size():
    from genbench.results.importing import FORMATS

    net = FORMATS["sit"].settings["model"]["net"]
    with torch.device("meta"):
        built = DiT(Event((4, 32, 32), 1000), 1000, **{name: value for name, value in net.items() if name != "name"})
    count = sum(parameter.numel() for parameter in built.parameters())
    variances = 1152 * 16 + 16  # which SiT also predicts
    assert count + variances == pytest.approx(675e6, rel=1e-3)
