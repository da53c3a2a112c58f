import torch
from torchcfm.models.unet.unet import UNetModelWrapper

from genbench.core import Event
from genbench.nets.released.torchcfm import weights
from genbench.nets.unet import UNet

SHAPE = (3, 8, 8)


def theirs(seed=0):
    """Return torchcfm's network, of the published layout but smaller, with weights that differ from their start."""
    torch.manual_seed(seed)
    net = UNetModelWrapper(
        dim=SHAPE, num_res_blocks=1, num_channels=128, channel_mult=[1, 2], num_heads=4, num_head_channels=64,
        attention_resolutions="4", dropout=0.1,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return net.eval()


def test_released_weights_give_the_outputs_of_torchcfm():
    net = UNet(Event(SHAPE), channels=128, multipliers=(1, 2), blocks=1, attention=(4,)).eval()
    reference = theirs()
    for prefix in ("", "module."):  # of DistributedDataParallel
        state = {prefix + name: value for name, value in reference.state_dict().items()}
        net.load_state_dict(weights(state))
        x, t = torch.randn(4, *SHAPE), torch.rand(4)
        with torch.no_grad():
            torch.testing.assert_close(net(t, x), reference(t, x), rtol=1e-5, atol=1e-5)


def test_the_published_layout_is_the_default_network():
    names = dict.fromkeys(UNet(Event((3, 32, 32))).state_dict())
    with torch.device("meta"):
        published = UNetModelWrapper(
            dim=(3, 32, 32), num_res_blocks=2, num_channels=128, channel_mult=[1, 2, 2, 2], num_heads=4,
            num_head_channels=64, attention_resolutions="16", dropout=0.1,
        )  # fmt: skip
    assert weights(published.state_dict()).keys() == names.keys()
