"""Networks inside metrics of others: verified before torchvision loads them, and the value is that of the library."""

import hashlib

import pytest
import torch
import torchvision
from helpers.encoders import Scaled
from helpers.photographs import task
from torchmetrics.functional.image.lpips import _LPIPS

from genbench.core import Event, Normal
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.extractors.torchvision_weights import published
from genbench.metrics.measurement import measure
from genbench.models.latent.latent_model import Latent
from genbench.registry import metrics
from genbench.settings import bind


@pytest.mark.parametrize("weights", ["AlexNet_Weights", "VGG16_Weights", "SqueezeNet1_1_Weights"])
def test_the_name_of_a_file_states_the_digits_of_its_sha256(weights):
    file = published(weights)
    assert file.url.startswith("https://download.pytorch.org/models/")
    assert len(file.sha256) == 8
    int(file.sha256, 16)
    assert file.name.endswith(f"-{file.sha256}.pth")


@pytest.fixture
def lpips(fixed_density):
    """Measure LPIPS on SqueezeNet for an encoder."""
    data = task(8, 24)

    def value(share):
        encoder = Scaled(data.event, share=share)
        flow = fixed_density(Event(data.event.shape), Normal(data.event.shape), None)
        evaluation = Evaluation(data, 0, x=data.train.take(2, 0).x, model=Latent(data.event, flow, encoder))
        bound = bind(metrics["torchmetrics:LPIPS"].build, {"net_type": "squeeze"}, "LPIPS", context=data.event)
        (row,) = measure(evaluation, "torchmetrics:LPIPS", bound, False)
        return row

    return data, value


@pytest.fixture
def squeezenet(tmp_path, monkeypatch):
    """Put a file of the published form, with weights drawn at random, where genbench looks for it."""
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path))
    network = torchvision.models.squeezenet1_1(weights=None)
    torch.save(network.state_dict(), tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    digits = hashlib.sha256(content).hexdigest()[:8]
    stated = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.value
    monkeypatch.setattr(stated, "url", f"https://download.pytorch.org/models/squeezenet1_1-{digits}.pth")
    place = published("SqueezeNet1_1_Weights").place
    place.parent.mkdir()
    place.write_bytes(content)
    return place, network


def test_lpips_is_that_of_torchmetrics_on_the_network_of_the_file(squeezenet, lpips):
    _, network = squeezenet
    data, value = lpips
    before = torch.hub.get_dir()
    row = value(0.5)
    library = _LPIPS(net="squeeze", pnet_rand=True)  # its linear layers are the published ones
    library.net.slices.load_state_dict(
        {
            f"{part}.{name}": weight
            for part, module in enumerate(library.net.slices)
            for name, _ in module.state_dict().items()
            for weight in [network.features.state_dict()[name]]
        }
    )
    x = data.test.take(24, 0).x
    again, real = (data.space.decode(each).float() / 255 for each in (0.5 * x, x))
    with torch.no_grad():
        expected = library(again, real, normalize=True).mean()
    assert row["value"] == pytest.approx(float(expected), rel=1e-5)
    assert f"SqueezeNet1_1_Weights {published('SqueezeNet1_1_Weights').sha256}" in row["protocol"]
    assert row["better"] == "lower"
    assert torch.hub.get_dir() == before
    assert abs(value(1.0)["value"]) < 1e-6 < value(0.9)["value"] < row["value"]


class Hostile:
    """What would run a function when it is unpickled."""

    def __reduce__(self):
        return exec, ("import pathlib; pathlib.Path('run').touch()",)


def test_a_file_with_the_right_digits_runs_no_code(squeezenet, lpips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"features": Hostile()}, tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    stated = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.value
    name = f"squeezenet1_1-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    monkeypatch.setattr(stated, "url", f"https://download.pytorch.org/models/{name}")
    published("SqueezeNet1_1_Weights").place.write_bytes(content)
    assert "it is not loaded" in lpips[1](0.5)["reason"]
    assert not (tmp_path / "run").exists()


def test_a_file_with_another_hash_is_not_loaded(squeezenet, lpips):
    place, _ = squeezenet
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    row = lpips[1](0.5)
    assert row["value"] is None
    assert place.name in row["reason"]
