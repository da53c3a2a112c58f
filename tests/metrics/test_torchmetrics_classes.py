import inspect
import subprocess
import sys
from importlib.metadata import version

import pytest
import torch
import torchmetrics.image
from helpers.encoders import Scaled
from torchmetrics.image import PeakSignalNoiseRatio

from genbench.core import Event, Normal
from genbench.data.digits import digits
from genbench.errors import ConfigError
from genbench.metrics import torchmetrics_classes
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.image.classifier import digits_cnn
from genbench.metrics.image.feature_sets import feature_sets
from genbench.metrics.image.frechet import Moments, frechet
from genbench.metrics.image.reference_statistics import real_images
from genbench.metrics.measurement import measure
from genbench.metrics.torchmetrics_classes import WITH_NETWORKS
from genbench.models.latent.latent_model import Latent
from genbench.registry import metrics
from genbench.settings import bind, settings_of


@pytest.fixture(scope="module")
def data():
    return digits()


def read(data, name, model=None, n=500, **settings):
    bound = bind(metrics[name].build, settings, name, context=data.event)
    (row,) = measure(Evaluation(data, 0, x=data.train.take(n, 3).x, model=model), name, bound, True)
    return row


@pytest.fixture
def latent(data, fixed_density):
    return Latent(data.event, fixed_density(Event((1, 8, 8)), Normal((1, 8, 8)), None), Scaled(data.event, share=0.5))


@pytest.fixture
def small(monkeypatch):
    """The classifier of digits in place of Inception, which takes long."""
    monkeypatch.setattr(torchmetrics_classes, "feature_sets", lambda *given: feature_sets(given[0], None, given[2]))


def test_only_features_of_inception_bear_the_names_of_its_metrics(data):
    assert "inception-legacy is for images of 256 levels" in read(data, "torchmetrics:FID")["reason"]
    with pytest.raises(ConfigError, match="features: dinov2 is not inception-legacy or"):
        bind(metrics["torchmetrics:FID"].build, {"features": "dinov2"}, "torchmetrics:FID")


@pytest.mark.usefixtures("small")
def test_distances_are_on_our_features_with_a_floor_and_a_protocol(data):
    row = read(data, "torchmetrics:FID")
    cnn = digits_cnn(data)
    samples = cnn(data.space.decode(data.train.take(500, 3).x))
    real = cnn(real_images(data, "train", 1297)[torch.arange(1297)])
    assert row["value"] == pytest.approx(frechet(Moments([samples]), Moments([real])), rel=1e-6)
    assert row["floor"] > row["value"]  # samples are training images, the floor is of test images
    assert "FrechetInceptionDistance of torchmetrics" in row["protocol"]
    assert "digits_cnn" in row["protocol"]
    assert row["better"] == "lower"
    assert read(data, "torchmetrics:FID", n=600)["floor"] is None  # there are 500 test images


@pytest.mark.usefixtures("small")
def test_random_subsets_are_those_of_the_seed_and_settings_arrive(data):
    torch.rand(3)
    first = read(data, "torchmetrics:KID", subsets=3, subset_size=100)
    torch.rand(3)
    assert read(data, "torchmetrics:KID", subsets=3, subset_size=100) == first
    assert read(data, "torchmetrics:KID", subsets=4, subset_size=100)["value"] != first["value"]
    assert first["details"]["sd"] > 0
    assert "subset_size" in read(data, "torchmetrics:KID", n=50)["reason"]
    assert 1 < read(data, "torchmetrics:IS")["value"] <= 10


def test_reconstructions_are_compared_with_the_images(data, latent):
    row = read(data, "torchmetrics:PSNR", latent)
    x = data.test.take(500, 0).x
    pair = (data.space.decode(each).double() / 16 for each in (x / 2, x))
    expected = PeakSignalNoiseRatio(data_range=1.0)(*pair)
    assert row["value"] == pytest.approx(float(expected), rel=1e-4)
    assert row["better"] == "higher"
    assert "reconstructions of 500 test images" in row["protocol"]
    assert "no encoder" in read(data, "torchmetrics:PSNR")["reason"]


@pytest.mark.usefixtures("small")
def test_the_protocol_states_the_settings_that_are_not_the_defaults_of_the_class(data, latent):
    def stated(name, **settings):
        return read(data, f"torchmetrics:{name}", latent, **settings)["protocol"].partition(", digits_cnn")[0]

    kid, usual = "KernelInceptionDistance of torchmetrics ", version("torchmetrics")
    assert stated("KID", subset_size=100) == f"{kid}{usual} (subset_size=100)"
    assert stated("KID", subset_size=100, degree=1) == f"{kid}{usual} (subset_size=100, degree=1)"
    assert stated("KID", subset_size=100, degree=3) == stated("KID", subset_size=100)
    reconstructions = f"torchmetrics {usual}, reconstructions"
    assert reconstructions in stated("PSNR")
    assert stated("PSNR", data_range=1.0) == stated("PSNR") != stated("PSNR", base=2.0)
    assert reconstructions in stated("UniversalImageQualityIndex", kernel_size=[11, 11])
    assert f"{usual} (kernel_size=[5, 5]), " in stated("UniversalImageQualityIndex", kernel_size=[5, 5])


def test_names_and_settings_are_checked():
    assert "torchmetrics:FID" in metrics
    assert not any(":" in name for name in metrics)
    with pytest.raises(ConfigError, match=r"torchmetrics has no image metric 'KIDD'; did you mean 'KID'\?"):
        metrics["torchmetrics:KIDD"]
    with pytest.raises(ConfigError, match=r"has no setting 'subset_sise'; did you mean 'subset_size'\?"):
        bind(metrics["torchmetrics:KID"].build, {"subset_sise": 3}, "torchmetrics:KID")
    assert "feature" not in settings_of(metrics["torchmetrics:KID"].build)


def test_a_class_that_unpickles_a_download_is_refused_and_no_other_class_of_pairs_reads_weights():
    for name in ("LearnedPerceptualImagePatchSimilarity", "DeepImageStructureAndTextureSimilarity"):
        with pytest.raises(ConfigError, match="would download and unpickle a network"):
            metrics[f"torchmetrics:{name}"]
    for name in sorted(set(torchmetrics.image.__all__) - set(WITH_NETWORKS)):
        kind = getattr(torchmetrics.image, name)
        if tuple(inspect.signature(kind.update).parameters)[1:] in (("preds", "target"), ("img1", "img2")):
            scale = {"data_range": 1.0} if "data_range" in inspect.signature(kind).parameters else {}
            assert not list(kind(**scale).parameters()), name


LAZY = """
import sys
from genbench.cli.main import main
sys.argv = ["genbench", *sys.argv[1:]]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
# torch._dynamo is torch's compiler; the others bring one another
slow = {"cleanfid", "torchmetrics", "torchvision", "torch._dynamo", "pandas", "sklearn"}
assert not slow & set(sys.modules), slow & set(sys.modules)
"""
RUN = "run --model cfm --dataset moons --metric w2 --set plan.steps=2 --set evaluation.n=32"


def test_runs_in_the_plane_import_no_library_of_images(tmp_path):
    command = [sys.executable, "-c", LAZY, *RUN.split()]
    subprocess.run(command, check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)
