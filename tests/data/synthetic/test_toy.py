"""2D distributions: densities against grids and samples, scales against scikit-learn, independence."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons

from genbench.registry import datasets

N = 20_000
TUTORIAL = {"scale": "tutorial"}


def build(name, **settings):
    return datasets[name].build(**settings)


@pytest.mark.parametrize(
    "name", ["moons", "8gaussians", "checkerboard", "pinwheel", "rings", "spirals", "mixture", "8gaussians-moons"]
)
def test_consecutive_samples_are_independent(name):
    x, label = build(name).train.batch(0, N, 0)
    series = torch.cat([x, x.square(), torch.atan2(x[:, 1:], x[:, :1]), label[:, None].float()], 1)
    series = (series - series.mean(0)) / series.std(0).clamp(min=1e-9)
    for lag in (1, 2, 8):
        correlation = series[:-lag].T @ series[lag:] / N
        assert correlation.abs().max() < 5 / math.sqrt(N)


def test_the_law_is_that_of_the_published_scale(assert_same_law):
    own, tutorial = (build("moons", **scale).train.batch(0, N, 0).x.double().numpy() for scale in ({}, TUTORIAL))
    assert_same_law(own, make_moons(N, noise=0.05, random_state=0)[0] * 2 - [1, 0])
    shifts = 0.2 * np.random.default_rng(0).random((N, 1))
    assert_same_law(tutorial, (make_moons(N, random_state=0)[0] + shifts) * 3 - 1)
    with pytest.raises(AssertionError):  # the same test tells scales apart
        assert_same_law(own, make_moons(N, noise=0.1, random_state=0)[0] * 2 - [1, 0])


def test_arcs_carry_their_labels():
    x, label = build("moons").train.batch(0, N, 0)
    for arc, center in ((0, [-1.0, 0.0]), (1, [1.0, 1.0])):
        radius = (x[label == arc] - torch.tensor(center)).norm(dim=1)
        assert radius.mean() == pytest.approx(2, abs=0.01)


def test_eight_gaussians_are_on_the_tutorials_scale():
    x, label = build("8gaussians").train.batch(0, N, 0)
    modes = build("8gaussians").truth.modes
    torch.testing.assert_close(modes.norm(dim=1), torch.full((8,), 5.0))
    torch.testing.assert_close(modes[0], torch.tensor([5.0, 0.0]))
    torch.testing.assert_close((x - modes[label]).std(), torch.tensor(0.1**0.25), rtol=0.02, atol=0)


@pytest.mark.parametrize("name", ["mixture", "moons-8gaussians"])
def test_evaluation_is_stratified_by_mode_and_training_is_not(name):
    data = build(name)
    for split in (data.valid, data.test):
        for seed in range(5):
            x, label = split.take(1003, seed)
            counts = torch.bincount(label)
            assert counts.max() - counts.min() == 1
            nearest = torch.cdist(x, data.truth.modes).argmin(1)
            assert (nearest == label).float().mean() > 0.8
            assert label[:100].unique().numel() == 8  # no sample order by mode
    counts = torch.bincount(data.train.take(1003, 0).label)
    assert counts.max() - counts.min() > 5


def test_the_board_has_two_dark_squares_in_each_row_and_column_and_its_density_integrates_to_one():
    data = build("checkerboard")
    x, label = data.train.batch(0, N, 0)
    cells = torch.floor(x / 2).long() + 2
    assert int(cells.min()) == 0
    assert int(cells.max()) == 3
    counts = torch.zeros(4, 4).index_put_((cells[:, 0], cells[:, 1]), torch.ones(N), accumulate=True)
    assert ((counts > 0).sum(0) == 2).all()
    assert ((counts > 0).sum(1) == 2).all()
    assert ((counts == 0) | ((counts - N / 8).abs() < 5 * math.sqrt(N / 8))).all()
    assert len({(int(a), int(b), int(c)) for (a, b), c in zip(cells, label, strict=True)}) == 8
    assert torch.isfinite(data.truth.log_prob(x)).all()
    rounded = torch.tensor([[4.0, -1.684], [-2.0, -3.654], [-4.0, 0.363], [-3.0, -2.0]])  # as float32 draws them
    assert torch.isfinite(data.truth.log_prob(rounded)).all()
    middle = 0.01 * torch.arange(-499.5, 500, dtype=torch.float64)
    density = data.truth.log_prob(torch.cartesian_prod(middle, middle)).exp()
    assert float(density.sum() * 0.01**2) == pytest.approx(1, rel=1e-6)


def test_arms_of_the_pinwheel_are_turned_copies_of_one(assert_same_law):
    x, label = build("pinwheel").train.batch(0, N, 0)
    angle = 2 * math.pi / 5 * label
    cos, sin = angle.cos(), angle.sin()
    back = torch.stack([x[:, 0] * cos - x[:, 1] * sin, x[:, 0] * sin + x[:, 1] * cos], 1)
    arm = np.random.default_rng(0).normal(size=(N, 2)) * [0.3, 0.1] + [1, 0]  # as FFJORD's code draws it
    angle = 0.25 * np.exp(arm[:, 0])
    turns = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1).reshape(-1, 2, 2)
    assert_same_law(back.double().numpy(), 2 * np.einsum("ti,tij->tj", arm, turns))


def test_rings_have_their_radii_and_their_density_integrates_to_one_and_has_the_entropy_of_samples():
    data = build("rings")
    x, label = data.train.batch(0, N, 0)
    for ring, radius in enumerate((0.75, 1.5, 2.25, 3.0)):  # E |x|^2 = R^2 + 2 s^2
        square = x[label == ring].double().square().sum(1)
        assert abs(float(square.mean()) - radius**2 - 2 * 0.08**2) < 5 * float(square.std()) / math.sqrt(len(square))
    assert float(x.mean(0).abs().max()) < 5 * 1.5 / math.sqrt(N)
    middle = 0.01 * torch.arange(-399.5, 400, dtype=torch.float64)
    log_prob = data.truth.log_prob(torch.cartesian_prod(middle, middle))
    density = log_prob.exp() * 0.01**2
    assert float(density.sum()) == pytest.approx(1, rel=1e-6)
    drawn = data.truth.log_prob(x.double())
    assert abs(float(drawn.mean()) - float((density * log_prob).sum())) < 5 * float(drawn.std()) / math.sqrt(N)


def test_arms_of_the_spirals_are_mirrored_copies_of_one(assert_same_law):
    x, label = build("spirals").train.batch(0, 10 * N, 0)
    arm = torch.where(label[:, None] == 0, x, -x).double().numpy()
    stream = np.random.default_rng(0)
    angle = np.sqrt(stream.random(10 * N)) * 540 * (2 * np.pi) / 360  # as FFJORD's code draws it
    curve = np.stack([-np.cos(angle) * angle, np.sin(angle) * angle], 1) + 0.5 * stream.random((10 * N, 2))
    assert_same_law(arm, curve / 3 + 0.1 * stream.normal(size=(10 * N, 2)))


@pytest.mark.parametrize(("name", "classes"), [("checkerboard", 8), ("pinwheel", 5), ("rings", 4), ("spirals", 2)])
def test_evaluation_has_equal_counts_of_labels(name, classes):
    counts = torch.bincount(build(name).test.take(1003, 0).label)
    assert len(counts) == classes
    assert counts.max() - counts.min() == 1
