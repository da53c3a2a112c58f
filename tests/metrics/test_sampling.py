from dataclasses import replace

import pytest
import torch
from helpers.fixed_samples import task_of

from genbench.core import Event, Normal, Samples
from genbench.errors import RunFailed
from genbench.metrics.measurement import evaluate
from genbench.metrics.sampling import Sampling, draw, drawn_labels, noise
from genbench.registry import datasets


def test_samples_do_not_depend_on_the_batch(fixed_density):
    model = fixed_density(Event((2,)), Normal((2,)), None)
    whole, nfe = draw(model, 50, 50, 3, {})
    for batch in (1, 7, 64):
        torch.testing.assert_close(draw(model, 50, batch, 3, {})[0], whole, rtol=0, atol=0)
    assert nfe == 0
    assert not torch.equal(draw(model, 50, 50, 4, {})[0], whole)
    torch.testing.assert_close(draw(model, 20, 50, 3, {})[0], whole[:20], rtol=0, atol=0)  # more are added at the end


def conditional(fixed_density, classes):
    model = fixed_density(Event((2,), classes), Normal((2,)), None)
    model.conditional = True
    return model


def with_labels(label, classes, x=None):
    """Return a task of classes with these test labels."""
    x = torch.zeros(len(label), 2) if x is None else x
    data = task_of(x, label=torch.as_tensor(label))
    return replace(data, event=replace(data.event, classes=classes))


def test_equal_shares_give_all_classes_in_turn(fixed_density):
    for classes, n in ((3, 8), (10, 15), (7, 70)):
        model, data = conditional(fixed_density, classes), with_labels([*range(classes)] * 4, classes)
        for rule in ("shares", "equal"):
            assert drawn_labels(model, data, n, 0, rule).tolist() == [i % classes for i in range(n)]
    uneven = with_labels([0, 0, 0, 1], 2)
    assert drawn_labels(conditional(fixed_density, 2), uneven, 4, 0, "equal").tolist() == [0, 1, 0, 1]
    assert drawn_labels(fixed_density(Event((2,), 2), Normal((2,)), None), uneven, 4, 0, "shares") is None


@pytest.mark.parametrize("n", [7, 200])
def test_labels_have_the_shares_of_the_test_split_from_the_first_sample_on(fixed_density, n):
    label = torch.repeat_interleave(torch.arange(4), torch.tensor([190, 7, 3, 0]))
    drawn = drawn_labels(conditional(fixed_density, 4), with_labels(label, 4), n, 0, "shares")
    due = torch.bincount(label, minlength=4) / 200
    assert ((torch.bincount(drawn, minlength=4) - n * due).abs() < 1).all()
    shares = torch.bincount(drawn, minlength=4) / n
    for first in range(1, n):
        assert ((torch.bincount(drawn[:first], minlength=4) - first * shares).abs() <= 1).all()


def test_of_more_classes_than_samples_the_frequent_ones_come_first_and_equal_ones_by_chance(fixed_density):
    model, uneven = conditional(fixed_density, 100), with_labels([*range(100), *([99] * 100)], 100)
    drawn = drawn_labels(model, uneven, 50, 0, "shares")
    assert (drawn == 99).sum() == 25
    assert len(drawn.unique()) == 26
    equal = with_labels(range(100), 100)
    seen = torch.stack([drawn_labels(model, equal, 50, seed, "shares").sort().values for seed in range(20)])
    assert (seen.diff() > 0).all()  # no class twice
    assert len(seen.unique()) == 100


def test_a_model_that_is_exact_for_each_class_scores_the_floor_on_uneven_classes(fixed_density):
    """Equally many samples of the rare class would be far from the data."""
    stream = torch.Generator().manual_seed(0)
    label = (torch.arange(2000) % 20 == 0).long()
    law = 10.0 * label[:, None] + torch.randn(2000, 2, generator=stream)
    data = with_labels(label, 2, law)

    class Exact(type(conditional(fixed_density, 2))):
        def sample(self, x0, *, label=None):
            return Samples(x0 + 10.0 * label[:, None], 1)

    model = conditional(fixed_density, 2)
    model.__class__ = Exact
    found = {}
    for rule in ("shares", "equal"):
        sampling = Sampling(n=1000, labels=rule)
        rows, _ = evaluate(model, data, {"w2": {"n": None}}, sample={}, sampling=sampling, seed=0)
        found[rule] = rows[0]
    assert found["shares"]["value"] < 0.4 < 5 < found["equal"]["value"]
    assert found["equal"]["protocol"] == found["shares"]["protocol"] + ", equally many samples of each class"


def test_labels_of_a_drawn_mixture_have_its_weights(fixed_density):
    weights = (0.5, 0.3, 0.2)
    data = datasets["mixture"].build(modes=3, weights=weights)
    drawn = drawn_labels(conditional(fixed_density, 3), data, 100, 0, "shares")
    assert torch.bincount(drawn).tolist() == [50, 30, 20]
    moons = datasets["moons"].build()
    assert drawn_labels(conditional(fixed_density, 2), moons, 5, 0, "shares").tolist() == [0, 1, 0, 1, 0]


def test_what_is_done_to_noise_does_not_change_later_noise():
    x = noise(Normal((2,)), 20, seed=0)
    kept = x.clone()
    x.zero_()
    assert torch.equal(noise(Normal((2,)), 20, seed=0), kept)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (lambda x0: Samples(x0[:3], 1), r"float32 of shape \(3, 2\); it has to return real numbers of shape \(9, 2\)"),
        (lambda x0: Samples(x0 + 1j, 1), "complex64 of shape"),
        (lambda x0: Samples(x0, -3), "NFE -3"),
        (lambda x0: Samples(x0, "2"), "NFE '2'"),
    ],
)
def test_what_a_model_may_not_return_is_refused(fixed_density, monkeypatch, samples, message):
    model = fixed_density(Event((2,)), Normal((2,)), None)
    monkeypatch.setattr(type(model), "sample", lambda self, x0, *, label=None: samples(x0))
    with pytest.raises(RunFailed, match=message):
        draw(model, 9, 9, 0, {})
