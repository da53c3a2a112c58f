"""Modules for training loops: values of genbench's metrics, equal to torchmetrics, exact over processes."""

import subprocess
import sys

import pytest
import torch
from torchmetrics.image import (
    FrechetInceptionDistance,
    InceptionScore,
    KernelInceptionDistance,
    MemorizationInformedFrechetInceptionDistance,
)

from genbench.data.digits import digits
from genbench.metrics import (
    DensityCoverage,
    FrechetDistance,
    KernelDistance,
    MongeDistance,
    PrecisionRecall,
    VendiScore,
)
from genbench.metrics.classifiers.classifier import raw_images
from genbench.metrics.classifiers.digit_classifiers import digits_cnn
from genbench.metrics.extractors.feature_extractor import FeatureExtractor
from genbench.metrics.image.frechet import Moments, frechet
from genbench.metrics.image.inception_score import split_scores
from genbench.metrics.image.monge import sliced_distance
from genbench.metrics.image.vendi_score import vendi_score

EXACT = {"rtol": 1e-10, "atol": 1e-10}


class Projection(FeatureExtractor):
    """Twenty random projections of pixels, in float64: their covariance is well conditioned."""

    def __init__(self):
        super().__init__("projection", "0" * 64, "none", 20)
        stream = torch.Generator().manual_seed(1)
        self.matrix = torch.randn(64, 20, dtype=torch.float64, generator=stream) / 8

    def forward(self, images):
        return images.flatten(1).double() @ self.matrix


@pytest.fixture(scope="module")
def net():
    return Projection()


@pytest.fixture(scope="module")
def images():
    """Real digits, and as samples those with some noise."""
    real = raw_images(digits(), "train").x[:400]
    noise = torch.randint(-1, 2, (300, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    return real, (real[:300].long() + noise).clamp(0, 16).byte()


def filled(metric, images, size=64):
    for real, some in zip((True, False), images, strict=True):
        for batch in some.split(size):
            metric.update(batch, real=real)
    return metric


def test_torchmetrics_accepts_the_extractor_and_gives_the_same_values(net, images):
    cnn = digits_cnn(digits())  # some of whose features hardly vary: the root of a tiny eigenvalue is a large error
    ours, theirs = (filled(each, images).compute() for each in (FrechetDistance(cnn), FrechetInceptionDistance(cnn)))
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
    ours, theirs = (filled(each, images).compute() for each in (FrechetDistance(net), FrechetInceptionDistance(net)))
    torch.testing.assert_close(ours, theirs, **EXACT)
    real, generated = (net(x) for x in images)
    torch.testing.assert_close(float(ours), frechet(Moments([generated]), Moments([real])), **EXACT)

    settings = {"subsets": 1, "subset_size": 300}
    same = images[0][:300], images[1]  # the one subset is everything
    theirs = filled(KernelInceptionDistance(feature=net, **settings), same).compute()[0]
    torch.testing.assert_close(filled(KernelDistance(net, subsets=1), same).compute(), theirs, **EXACT)

    cosines = 1 - (torch.nn.functional.normalize(generated) @ torch.nn.functional.normalize(real).T).abs()
    apart = cosines.min(0).values.mean()
    theirs = filled(MemorizationInformedFrechetInceptionDistance(feature=net, cosine_distance_eps=0.1), images)
    torch.testing.assert_close(theirs.compute(), ours / (apart if apart < 0.1 else 1), rtol=1e-6, atol=0)

    score = InceptionScore(feature=net, splits=1)
    score.update(images[1])
    torch.testing.assert_close(score.compute()[0], split_scores(generated, 1, None)[0], **EXACT)


def test_values_are_those_of_the_functions_on_all_features(net, images):
    generated = net(images[1])
    expected = sliced_distance(generated, net(images[0]), 50, 3)
    torch.testing.assert_close(float(filled(MongeDistance(net, directions=50, seed=3), images).compute()), expected)
    torch.testing.assert_close(float(filled(VendiScore(net), images).compute()), vendi_score(generated))
    found = filled(PrecisionRecall(net), images).compute() | filled(DensityCoverage(net), images).compute()
    assert found.keys() == {"precision", "recall", "density", "coverage"}
    assert 0.2 < found["recall"] < 1
    copies = filled(PrecisionRecall(net, k=1), (images[0], images[0])).compute()
    assert copies == {"precision": 1.0, "recall": 1.0}


def test_batches_conversions_and_resets_change_nothing(net, images):
    whole = filled(FrechetDistance(net), images, 400).compute()
    metric = filled(FrechetDistance(net, reset_real_features=False).to(torch.float32).half().train(), images, 7)
    assert metric.generated_products.dtype == torch.float64
    metric.reset()
    with pytest.raises(RuntimeError, match="at least 2 generated images, there are 0"):
        metric.compute()
    for batch in images[1].split(50):
        metric.update(batch, real=False)
    torch.testing.assert_close(metric.compute(), whole, **EXACT)
    metric.reset_real_features = True
    metric.reset()
    assert metric.real_count == 0


RANKS = """
import os, sys, torch
import torch.distributed as dist
from genbench.metrics import FrechetDistance, KernelDistance
port, world, rank = int(sys.argv[1]), 3, 0
for other in (1, 2):  # forks, since each import takes seconds
    if not rank and not os.fork():
        rank = other
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)

class Flat(torch.nn.Module):
    num_features = 12
    def forward(self, images):
        return images.flatten(1).double()

stream = torch.Generator().manual_seed(0)
real, generated = (torch.randn(n, 3, 2, 2, generator=stream) + 1 for n in (90, 61))
share = {0: slice(0, 40), 1: slice(40, None), 2: slice(0, 0)}[rank]  # unequal, and one has nothing
for build, settings in ((FrechetDistance, {}), (KernelDistance, {"subsets": 3, "size": 20})):
    shared, single = build(Flat(), **settings), build(Flat(), sync_on_compute=False, **settings)
    for x, is_real in ((real, True), (generated, False)):
        if len(x[share]):
            shared.update(x[share], real=is_real)
        single.update(x, real=is_real)
    torch.testing.assert_close(shared.compute(), single.compute(), rtol=1e-12, atol=1e-12)
dist.destroy_process_group()
if not rank:
    assert [os.wait()[1] for other in (1, 2)] == [0, 0]
"""


@pytest.mark.slow
def test_processes_with_unequal_shares_give_the_value_of_one(unused_port):
    subprocess.run([sys.executable, "-W", "ignore", "-c", RANKS, str(unused_port)], check=True, timeout=300)


LAZY = """
import sys
from genbench.cli.main import main
sys.argv = ["genbench", *sys.argv[1:]]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
# torch._dynamo is torch's compiler; the others bring one another, and scikit-learn
slow = {"genbench.metrics.feature_metrics", "cleanfid", "torchmetrics", "torchvision", "torch._dynamo", "sklearn"}
assert not slow & set(sys.modules), slow & set(sys.modules)
"""
RUN = "run --model cfm --dataset moons --metric w2 --set plan.steps=2 --set evaluation.n=32"


@pytest.mark.parametrize("arguments", ["list", RUN])
def test_listing_and_runs_in_the_plane_import_no_library_of_images(arguments, tmp_path):
    command = [sys.executable, "-c", LAZY, *arguments.split()]
    subprocess.run(command, check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)
