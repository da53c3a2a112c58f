import pytest
import torch
from helpers.photographs import CIFAR10, cifar10, patches
from torchmetrics.image.fid import NoTrainInceptionV3

from genbench.metrics.extractors import inception, resize


@pytest.mark.parametrize("images", [patches, *([cifar10] if CIFAR10.exists() else [])])
def test_antialiased_resizing_is_that_of_torchmetrics_to_the_last_bit(inception_files, images):
    images, inputs = images(2), []
    net = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(inception_files[inception.STATE][0])).eval()
    net.Conv2d_1a_3x3.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0]))
    net(images)
    torch.testing.assert_close((resize.antialiased(images, 299) - 128) / 128, inputs[0], rtol=0, atol=0)
