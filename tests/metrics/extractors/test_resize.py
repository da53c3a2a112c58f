import numpy as np
import pytest
import torch
from helpers.photographs import CIFAR10, cifar10, patches
from PIL import Image
from torchmetrics.image.fid import NoTrainInceptionV3

from genbench.metrics.extractors import inception, resize


@pytest.mark.parametrize("images", [patches, *([cifar10] if CIFAR10.exists() else [])])
def test_antialiased_resizing_is_that_of_torchmetrics_to_the_last_bit(inception_files, images):
    images, inputs = images(2), []
    net = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(inception_files[inception.STATE][0])).eval()
    net.Conv2d_1a_3x3.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0]))
    net(images)
    torch.testing.assert_close((resize.antialiased(images, 299) - 128) / 128, inputs[0], rtol=0, atol=0)


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 48), (40, 30, 17)])
def test_bicubic_resizing_is_that_of_pillow_in_floats_on_the_central_square(height, width, size):
    images = torch.randint(256, (1, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = images[0, :, top : top + side, left : left + side].float().numpy()
    expected = [
        np.asarray(Image.fromarray(channel).resize((size, size), Image.Resampling.BICUBIC)) for channel in square
    ]
    torch.testing.assert_close(resize.bicubic(images, size)[0], torch.tensor(np.stack(expected)), rtol=0, atol=1e-3)
