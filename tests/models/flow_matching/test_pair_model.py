"""Models of pairs: labels are dropped, pairs stay within classes, and quantized data is spread over its bins."""

import pytest
import torch

from genbench.core import Batch


def test_labels_are_dropped_at_their_rate(built):
    model, _ = built("cfm", "moons", conditional=True, label_dropout=0.25)
    batch = Batch(torch.randn(4000, 2), torch.arange(4000) % 2)
    shown = model.draw(batch, torch.Generator().manual_seed(0)).label
    assert (shown == 2).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(shown[shown < 2], batch.label[shown < 2])


def test_pairs_stay_within_classes(built):
    """The classes lie left and right of the noise: transport to both would give each its half of the noise."""
    label = torch.arange(600) % 2
    batch = Batch(torch.randn(600, 2) + torch.stack([20.0 * label - 10, torch.zeros(600)], 1), label)
    sides = {}
    for conditional in (True, False):
        model, _ = built("otcfm", "moons", conditional=conditional)
        example = model.draw(batch, torch.Generator().manual_seed(0))
        t = example.t[:, None]
        x0, x1 = example.x - t * example.velocity, example.x + (1 - t) * example.velocity
        sides[conditional] = x0[x1[:, 0] > 0, 0].mean().item()
    assert abs(sides[True]) < 0.2
    assert sides[False] == pytest.approx((2 / torch.pi) ** 0.5, abs=0.1)  # the mean of a half of the normal


@pytest.mark.parametrize(
    ("name", "dataset", "settings", "density"),
    [
        ("cfm", "moons", {}, "data"),
        ("otcfm", "moons", {"sigma": 0.05}, "data + N(0, 0.05^2)"),
        ("reflow", "moons", {"sigma": 0.05}, "data + N(0, 2 * 0.05^2)"),
        ("tarflow", "moons", {"noise": 0.05}, "data + N(0, 0.05^2)"),
        ("cfm", "digits", {"sigma": 0.1}, "dequantized data + N(0, 0.1^2)"),
        ("fm", "moons", {}, "data"),
        ("fm", "moons", {"sigma": 0.1}, "data + N(0, 0.1^2)"),
        ("sbcfm", "moons", {"sigma": 1.0}, "data"),  # a bridge has no noise at its ends
    ],
)
def test_the_density_names_the_noise_that_samples_keep(name, dataset, settings, density, built):
    assert built(name, dataset, **settings)[0].density == density


def test_quantized_data_is_spread_over_its_bins(built):
    model, data = built("cfm", "digits")
    assert model.density == "dequantized data"
    batch = data.train.batch(0, 64, 0)
    example = model.draw(batch, torch.Generator().manual_seed(0))
    x1 = example.x + (1 - example.t.view(-1, 1, 1, 1)) * example.velocity
    assert torch.equal(data.space.decode(x1), data.space.decode(batch.x))
    assert (x1 - batch.x).abs().max() > data.event.bin / 4
