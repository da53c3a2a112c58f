import pytest
import torch
from torch.testing import assert_close

from genbench.core import Event, Normal, Samples
from genbench.errors import RunFailed
from genbench.metrics.sampling import batches, draw, noise, starting_points


def test_samples_do_not_depend_on_the_batch(fixed_density):
    model = fixed_density(Event((2,)), Normal((2,)), None)
    whole, label, nfe = draw(model, 50, 50, 3, {})
    for batch in (1, 7, 64):
        torch.testing.assert_close(draw(model, 50, batch, 3, {})[0], whole, rtol=0, atol=0)
    assert (label, nfe) == (None, 0)
    assert not torch.equal(draw(model, 50, 50, 4, {})[0], whole)
    torch.testing.assert_close(draw(model, 20, 50, 3, {})[0], whole[:20], rtol=0, atol=0)  # more are added at the end


def test_labels_of_a_conditional_model_come_in_turn(fixed_density):
    model = fixed_density(Event((2,), 3), Normal((2,)), None)
    model.conditional = True
    labels = torch.cat([starting_points(model, rows, 0)[1] for rows in batches(8, 5)])
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_noise_is_standard_normal():
    x = noise(Normal((2,)), 20_000, seed=0)
    assert_close(x.mean(0), torch.zeros(2), rtol=0, atol=0.03)
    assert_close(x.T.cov(), torch.eye(2), rtol=0, atol=0.04)


def test_modifying_noise_does_not_change_later_noise():
    source = Normal((3,))
    first = noise(source, 4, 0)
    kept = first.clone()
    first.zero_()
    assert torch.equal(noise(source, 4, 0), kept)


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
