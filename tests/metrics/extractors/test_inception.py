"""Inception with random weights, next to the libraries whose files and features these are."""

import pytest
import torch
from helpers.photographs import patches
from helpers.pixel_features import named
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from genbench.errors import ConfigError
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.extractors import inception
from genbench.metrics.extractors.feature_extractor import build_extractor
from genbench.metrics.measurement import measure


def test_features_are_those_of_torch_fidelity(inception_files, inception_setting, data):
    images, path = patches(2), str(inception_files[inception.STATE][0])
    ours = build_extractor(data, inception_setting("inception-fidelity"))(images)
    (expected,) = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], path).eval()(images)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=0)


def test_the_torchscript_file_resizes_as_tensorflow_does(inception_setting, data):
    images = patches(2)
    legacy = build_extractor(data, inception_setting("inception-legacy"))(images)
    same = build_extractor(data, inception_setting("inception-fidelity"))(images)
    torch.testing.assert_close(legacy, same, rtol=1e-3, atol=1e-3)
    clean = build_extractor(data, inception_setting("inception-clean"))(images)
    assert (clean - legacy).abs().mean() > 20 * (same - legacy).abs().mean()


def test_a_weight_file_gives_an_fid_with_its_protocol(inception_setting, data):
    x = data.space.encode(patches(6)[-2:])
    for name in ("fid-legacy", "fid-clean"):
        own = inception_setting(name.replace("fid", "inception"))
        (row,) = measure(Evaluation(data, 0, x=x), name, {"features": own}, True)
        assert row["value"] > 0
        assert row["floor"] > 0
        assert row["details"]["bias"] is None  # two images say nothing of 2048 directions
        assert own["sha256"][:8] in row["protocol"]
        assert "n=2 against 2 train images" in row["protocol"]
        own_images = Evaluation(data, 0, x=data.train.take(2, 0).x)
        (zero,) = measure(own_images, name, {"features": own}, True)
        assert abs(zero["value"]) < 1e-6


def test_spatial_features_are_seven_channels_of_the_layer_and_give_an_sfid(inception_files, inception_setting, data):
    images, path = patches(3), str(inception_files[inception.STATE][0])
    whole = FeatureExtractorInceptionV3("inception-v3-compat", ["768"], path).eval()
    seen = []
    whole.Mixed_6d.branch1x1.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    whole(images)
    setting = inception_setting("inception-spatial")
    ours = build_extractor(data, setting)(images)
    torch.testing.assert_close(ours, seen[0][:, :7].flatten(1), rtol=1e-5, atol=1e-6)
    assert ours.shape == (3, 2023)
    own_images = Evaluation(data, 0, x=data.train.take(2, 0).x)
    (row,) = measure(own_images, "sfid", {"features": setting}, True)
    assert abs(row["value"]) < 1e-6
    moved = Evaluation(data, 0, x=data.train.take(2, 0).x.roll(8, -1))  # the same things elsewhere
    (row,) = measure(moved, "sfid", {"features": setting}, True)
    assert row["value"] > 1e-3


def test_logits_leave_out_the_bias(inception_files, inception_setting, data):
    net = build_extractor(data, inception_setting("inception-legacy"))
    features = net(patches(2))
    script = torch.jit.load(str(inception_files[inception.TORCHSCRIPT][0]))
    with_bias = net.logits(features) + script.output.bias
    with torch.no_grad():
        torch.testing.assert_close(with_bias.float().softmax(1), script(patches(2).float()), rtol=1e-4, atol=1e-6)


def test_wrong_files_are_refused_with_one_line(inception_files, data, tmp_path):
    path, sha256 = inception_files[inception.STATE]
    with pytest.raises(ConfigError, match=f"has the sha256 {sha256}, not {inception.STATE.sha256}"):
        build_extractor(data, {"name": "inception-fidelity", "weights": str(path)})
    with pytest.raises(ConfigError, match="is not Inception as TorchScript"):
        build_extractor(data, {"name": "inception-clean", "weights": str(path), "sha256": sha256})
    other = tmp_path / "other.pth"
    torch.save({"conv": torch.zeros(3)}, other)
    with pytest.raises(ConfigError, match="is not Inception") as error:
        build_extractor(data, named("inception-fidelity", other))
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match=r"features\.weights: .*nowhere does not exist"):
        build_extractor(data, {"name": "inception-fidelity", "weights": str(tmp_path / "nowhere")})


def test_code_in_a_pickle_is_not_executed(data, tmp_path):
    class Evil:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    torch.save({"x": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ConfigError, match="is not Inception"):
        build_extractor(data, named("inception-fidelity", tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()
