from statistics import mean

import pytest
import torch

from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.floor import _training_samples, real_vs_real
from genbench.metrics.measurement import measure
from genbench.registry import datasets, metrics
from genbench.seeds import derive


def test_a_metric_with_settings_of_any_type_has_a_floor(moons, metric):
    def quantiles(evaluation, *, at: tuple[float, ...] = (0.1, 0.9), kind: dict[str, int] | None = None):
        return Value(float(evaluation.x.quantile(at[-1])), len(evaluation.x), "p")

    metric("quantiles", quantiles)
    evaluation = Evaluation(moons, 0, x=moons.train.take(9, 0).x)
    (row,) = measure(evaluation, "quantiles", {"at": [0.5], "kind": {"a": 1}}, True)
    assert row["floor"] == real_vs_real(moons, "quantiles", '{"at": [0.5], "kind": {"a": 1}}', 0, 9)[""].value


def test_one_set_of_training_samples_stays_in_memory(moons):
    for n in (10, 20, 30):
        real_vs_real(moons, "norm", f'{{"n": {n}}}', 0, n)
    assert _training_samples.cache_info().currsize == 1
    assert real_vs_real(moons, "kid", "{}", 5, 64) == {}  # a metric without a value has no floor


def test_real_images_in_exact_class_shares_are_better_than_the_floor():
    """A perfect model with labels draws such images."""
    digits, found = datasets["digits"].build(), {}
    shares, real = digits.test.frequencies(10), digits.train.take(1197, 0)
    exact = torch.arange(10).repeat_interleave((500 * shares / shares.sum()).round().long())
    for draw in range(8):
        stream = torch.Generator().manual_seed(draw)
        chance = torch.multinomial(shares, 500, replacement=True, generator=stream)
        for kind, label in (("exact", exact), ("chance", chance)):
            rows = torch.empty(len(label), dtype=torch.long)
            for value in range(10):
                asked, known = (label == value).nonzero()[:, 0], (real.label == value).nonzero()[:, 0]
                rows[asked] = known[torch.randperm(len(known), generator=stream)[: len(asked)]]
            evaluation = Evaluation(digits, 0, x=real.x[rows], label=label)
            found.setdefault(kind, []).append(metrics["fd-digits_cnn"].build(evaluation).value)
            if kind == "exact":
                assert metrics["class_balance"].build(evaluation)[0].value == pytest.approx(1, abs=0.002)
    assert mean(found["exact"]) == pytest.approx(5.3, abs=0.4)
    assert mean(found["chance"]) == pytest.approx(7.2, abs=0.9)


@pytest.mark.parametrize(("samples", "n", "with_floor"), [(1197, None, True), (1198, None, False), (1198, 300, True)])
def test_the_floor_is_of_as_many_training_samples_or_there_is_none(samples, n, with_floor):
    digits = datasets["digits"].build()
    evaluation = Evaluation(digits, 0, x=torch.rand(samples, 1, 8, 8))
    (row,) = measure(evaluation, "fd-digits_cnn", {"n": n}, True)
    assert (row["floor"] is not None) == with_floor
    if with_floor:
        real = digits.train.take(row["n"], derive(0, "floor")).x
        assert row["floor"] == metrics["fd-digits_cnn"].build(Evaluation(digits, 0, x=real)).value
