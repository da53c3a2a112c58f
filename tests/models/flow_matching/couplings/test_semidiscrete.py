import math

import pytest
import torch
from helpers.fixed_samples import Fixed
from helpers.toy_flows import stream
from torch.testing import assert_close

from genbench.core import Event, Normal
from genbench.data.splits import Arrays, Finite
from genbench.errors import ConfigError, Unsupported
from genbench.models.flow_matching.couplings import semidiscrete as module
from genbench.models.flow_matching.couplings.semidiscrete import Semidiscrete, SemidiscreteSettings
from genbench.models.latent.latent_model import Encoding
from genbench.registry import datasets
from genbench.space import Pixels
from genbench.storage import cache

CPU = torch.device("cpu")


def semidiscrete(classes=0, **settings):
    return Semidiscrete(Event((2,)), classes, settings=SemidiscreteSettings(**settings))


def attached(split, classes=0, **settings):
    coupling = semidiscrete(classes, **settings)
    coupling.attach(split, Normal(split.x.shape[1:]), CPU)
    return coupling


def test_pairs_use_every_point_equally_at_the_cost_of_optimal_transport():
    y = torch.tensor([-2.0, -0.5, 0.3, 0.4, 3.0])[:, None]
    coupling = attached(Fixed(y), tolerance=2e-3)
    x0 = torch.randn(100_000, 1, generator=stream(4))
    pairs = coupling(x0, torch.zeros_like(x0), None, stream())
    assert torch.equal(pairs.x0, x0)
    assert (pairs.x0 - pairs.x1).square().mean().item() == pytest.approx(0.70890, abs=0.015)
    for point in y[:, 0]:
        assert (pairs.x1 == point).float().mean().item() == pytest.approx(0.2, abs=0.02)


def test_points_of_a_mixture_hold_its_modes_in_their_proportions():
    """With 250 points drawn at random, a mode has 31 plus or minus 5 points, and the flow learns these proportions."""
    train = datasets["8gaussians"].build().train
    coupling = semidiscrete(points=250)
    coupling.attach(train, Normal((2,)), CPU)
    points, _ = coupling.targets[0]
    mode = (torch.atan2(points[:, 1], points[:, 0]) / (math.pi / 4)).round() % 8
    assert set(mode.long().bincount(minlength=8).tolist()) == {31, 32}


def test_classes_have_potentials_of_their_own():
    y, label = torch.randn(60, 2), torch.arange(60) % 2
    coupling = attached(Fixed(y + 10 * label[:, None], label), classes=2)
    pairs = coupling(torch.randn(500, 2), torch.zeros(500, 2), torch.arange(500) % 2, stream())
    assert torch.equal((pairs.x1[:, 0] > 5).long(), torch.arange(500) % 2)


def test_potentials_are_found_once_for_the_same_content(monkeypatch):
    y = torch.randn(40, 3, generator=stream(11))
    first = attached(Fixed(y)).targets[0][1]
    monkeypatch.setattr(module, "potentials", None)  # finding them again would fail
    assert torch.equal(attached(Fixed(y.clone())).targets[0][1], first)
    with pytest.raises(TypeError):
        attached(Fixed(y + 1e-3))
    assert list((cache.home() / "potentials").glob("*.safetensors"))


@pytest.mark.parametrize("flip", [False, True])
def test_augmentation_that_has_no_effect_is_reported(flip, caplog):
    """Also that of latents, which are also kept mirrored."""
    images = torch.randint(256, (20, 1, 2, 2), generator=stream(), dtype=torch.uint8)
    arrays = Arrays(images, torch.zeros(20).long(), torch.arange(20))
    split = Finite(lambda: arrays, 20, Pixels(256), flip=flip)
    for each in (split, split.encoded(lambda x: x, (1, 2, 2), "identity"), Encoding(split, lambda x: x)):
        caplog.clear()
        coupling = semidiscrete(tolerance=1.0)
        coupling.attach(each, Normal((1, 2, 2)), CPU)
        assert torch.equal(coupling.targets[0][0], split.take(20, 0).x)
        assert ("data.flip" in caplog.text) == flip


def test_mirror_images_are_points_of_their_own(caplog):
    """Each image and its mirror image receives equal mass, and so do their latents."""
    images = torch.randint(256, (6, 1, 2, 2), generator=stream(), dtype=torch.uint8)
    arrays = Arrays(images, torch.arange(6), torch.arange(6))
    split = Finite(lambda: arrays, 6, Pixels(256), flip=True)
    stored = split.encoded(lambda x: x, (1, 2, 2), "mirrored")
    expected = Pixels(256).encode(torch.cat([images, images.flip(3)]))
    for each in (split, stored, Encoding(split, lambda x: x)):
        coupling = semidiscrete(mirrored=True, tolerance=0.1)
        coupling.attach(each, Normal((1, 2, 2)), CPU)
        assert torch.equal(coupling.targets[0][0], expected)
        assert torch.equal(each.views(0).label, torch.arange(6).repeat(2))
    assert not caplog.text
    pairs = coupling(torch.randn(20_000, 1, 2, 2, generator=stream(1)), torch.zeros(20_000, 1, 2, 2), None, stream())
    chosen = torch.cdist(pairs.x1.flatten(1), expected.flatten(1)).argmin(1).bincount(minlength=12) / 20_000
    assert_close(chosen, torch.full((12,), 1 / 12), atol=0.05, rtol=0)
    batches = {tuple(x.flatten().tolist()) for step in range(40) for x in split.batch(step, 6, 0).x}
    assert batches == {tuple(x.flatten().tolist()) for x in expected}
    with pytest.raises(ConfigError, match=r"data\.flip=true"):
        semidiscrete(mirrored=True).attach(Fixed(torch.zeros(4, 1)), Normal((1,)), CPU)
    cropped = Fixed(torch.zeros(4, 1))  # the split of a plug-in whose augmented samples cannot be listed
    cropped.augmented = True
    with pytest.raises(Unsupported, match="too many to list"):
        semidiscrete(mirrored=True).attach(cropped, Normal((1,)), CPU)


def test_without_data_or_on_a_line_it_refuses():
    with pytest.raises(Unsupported, match="two or more dimensions"):
        Semidiscrete(Event((1,)), 0)
    x = torch.randn(4, 2)
    with pytest.raises(Unsupported, match="only in training"):
        semidiscrete()(x, x, None, stream())


def test_training_pairs_are_dequantized_points_and_straighter_than_those_of_batches(built):
    model, data = built("sdcfm", "8gaussians", points=128, tolerance=0.3)
    other, _ = built("otcfm", "8gaussians")
    lengths = []
    for each in (model, other):
        source = each.batch_source(data)
        pairs = [each.pair(source.batch(step, 64, 0), stream(step))[0] for step in range(40)]
        lengths.append(torch.cat([(p.x1 - p.x0).square().sum(1) for p in pairs]).mean().item())
    assert lengths[0] < lengths[1]
    digits, images = built("sdcfm", "digits", points=64, tolerance=5.0)
    pairs, _ = digits.pair(digits.batch_source(images).batch(0, 32, 0), stream())
    points = digits.coupling.targets[0][0]
    nearest = torch.cdist(pairs.x1.flatten(1), points.flatten(1)).min(1).values
    assert (nearest < math.sqrt(64) * images.event.bin / 2).all()
    assert (nearest > 0).all()
    assert_close(
        images.space.encode(images.space.decode(pairs.x1)),
        points[torch.cdist(pairs.x1.flatten(1), points.flatten(1)).argmin(1)],
    )
