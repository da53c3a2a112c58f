import numpy as np
import pytest
from helpers import photographs
from helpers.pixel_features import PixelExtractor, evaluation, measured, normal_images, task

from genbench.errors import ConfigError
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import check_network, half_intervals, measure
from genbench.registry import datasets


def test_all_metrics_share_one_pass_of_the_network(data):
    samples = evaluation(data, normal_images(500, 3))
    for name in ("kid", "precision_recall", "density_coverage", "memorization"):
        rows = measure(samples, name, {"features": "pixels"} | ({"subsets": 3} if name == "kid" else {}), True)
        assert all("against 3000 train" in row["protocol"] for row in rows)  # the split that it is compared with
    assert sum(PixelExtractor.batches) == 500 + 3000 + 1000
    PixelExtractor.batches.clear()
    measure(Evaluation(data, 1, x=samples.x), "precision_recall", {"features": "pixels"}, True)
    assert sum(PixelExtractor.batches) == 500  # those of real images are cached


def test_halves_of_the_first_samples_need_no_pass(data):
    samples = evaluation(data, normal_images(500, 3))
    settings = {"features": "pixels", "n": 200}
    rows = measure(samples, "monge_distance", settings, True)
    PixelExtractor.batches.clear()
    assert half_intervals(samples, "monge_distance", settings, rows)["monge_distance"] > 0
    assert PixelExtractor.batches == []


@pytest.mark.parametrize(
    ("name", "n", "settings", "message"),
    [
        ("kid", 1, {}, "it needs at least 2 images; there are 1"),
        ("precision_recall", 3, {}, "it needs at least 4 images; there are 3"),
        ("precision_recall", 20, {"k": 15}, "it needs at least 16 train images; there are 12"),
        ("kid", 20, {"n": 50}, "needs 50 samples; there are 20"),
        ("memorization", 20, {}, "10 test images are too few to know the nearest 1.00% of them"),
    ],
)
def test_too_few_images_have_no_value_and_a_reason(name, n, settings, message):
    data = task(normal_images(12, 0), normal_images(10, 1))
    (row,) = measured(name, data, normal_images(n, 2), **settings).values()
    assert row["value"] is None
    assert message in row["reason"]


def test_vectors_have_no_features():
    moons = datasets["moons"].build()
    for name in ("kid", "fid-legacy", "fd-efficientnet_lite0", "memorization"):
        (row,) = measure(Evaluation(moons, 0, x=moons.test.take(64, 0).x), name, {}, True)
        assert row["reason"] == "features need images"


def test_wrong_files_are_reported_before_training(tmp_path):
    data = photographs.task(2, 2)
    (tmp_path / "weights.pt").write_bytes(bytes(1000))
    own = {"name": "inception-legacy", "weights": str(tmp_path / "weights.pt")}
    with pytest.raises(ConfigError, match=r"weights.pt has the sha256 541b3e9d\w+, not f58cb9b6"):
        check_network(data, "kid", {"features": own}, trains=True)
    other = str(tmp_path / "other_clean_stats.npz")
    np.savez(other, mu=np.zeros(3), sigma=np.eye(3))
    with pytest.raises(ConfigError, match="is from another protocol: clean-fid's clean, not efficientnet_lite0"):
        check_network(data, "fid-legacy", {"features": "efficientnet_lite0", "statistics": other}, trains=True)
    check_network(data, "kid", {}, trains=True)  # offline, missing weights are no error: the metric gives the reason
