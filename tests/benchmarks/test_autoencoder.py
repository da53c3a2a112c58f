"""The script that made the weights of the autoencoder of CIFAR-10 trains such weights again."""

import torch
from helpers.photographs import task

from benchmarks.features import autoencoder as script
from genbench.models.latent.autoencoder import NAME, SHA256, Cifar10Autoencoder
from genbench.storage import tensors


def test_a_training_repeats_and_gives_what_the_encoder_loads(tmp_path):
    data = task(48, 16)
    net = script.trained(data, tmp_path, 3)
    again = script.trained(data, tmp_path / "again", 3)
    torch.testing.assert_close(again.state_dict(), net.state_dict(), rtol=0, atol=0)
    z = net.encode(data.train.take(48, 0).x).detach()
    torch.testing.assert_close(z.std((0, 2, 3), correction=1), torch.ones(8), rtol=1e-3, atol=0)
    shipped = tensors.shipped("genbench.models.latent", NAME, SHA256)
    assert {name: (value.shape, value.dtype) for name, value in shipped.items()} == {
        name: (value.shape, script.stored(name, value).dtype) for name, value in net.state_dict().items()
    }
    encoder = Cifar10Autoencoder(data.event)
    assert list(encoder.stages()) == []
    assert script.psnr(net, data) < script.psnr(encoder.eval(), data)
