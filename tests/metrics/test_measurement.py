import gc
import math
import weakref
from threading import get_ident

import pytest
import torch

from genbench.core import Event, Normal
from genbench.errors import RunFailed, Unsupported
from genbench.metrics import measurement
from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.floor import real_vs_real
from genbench.metrics.measurement import evaluate, measure, validation_as_test
from genbench.metrics.sampling import Sampling
from genbench.registry import datasets, models


@pytest.fixture
def moons():
    return datasets["moons"].build()


def test_every_value_is_a_row_with_its_floor(moons, metric):
    metric("two", lambda evaluation: [Value(1.0, 9, "p"), Value(2.0, 9, "q", "part", floor=0.5, better="none")])
    rows = measure(Evaluation(moons, 0, x=moons.train.take(9, 0).x), "two", {}, True)
    assert [(row["metric"], row["value"], row["floor"], row["better"]) for row in rows] == [
        ("two", 1.0, 1.0, "lower"),  # the floor is the metric of real samples
        ("two.part", 2.0, 0.5, "none"),  # or what the metric itself states
    ]


def test_no_value_has_a_reason(moons, metric):
    def refuse(evaluation):
        raise Unsupported("why not")

    metric("refuses", refuse)
    (row,) = measure(Evaluation(moons, 0, x=moons.train.take(9, 0).x), "refuses", {}, True)
    assert (row["value"], row["reason"]) == (None, "why not")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Value(math.nan, 9, "p"), "broken is nan"),
        (Value(1.0, 9, "p", floor=math.inf), "the floor of broken is inf"),
        (Value(1.0, 9, "p", details={"n_floor": 3, "standard_error": math.inf}), "standard_error of broken is inf"),
    ],
)
def test_numbers_that_are_not_finite_fail(moons, metric, value, message):
    metric("broken", lambda evaluation: value)
    with pytest.raises(RunFailed, match=message):
        measure(Evaluation(moons, 0, x=moons.train.take(9, 0).x), "broken", {}, True)


def _sorting(x):
    x[:] = x.flip(0)  # of the same sum


@pytest.mark.parametrize(
    "write",
    [
        lambda evaluation: evaluation.samples(9).mul_(2),
        lambda evaluation: _sorting(evaluation.x),
        lambda evaluation: evaluation.samples(9).numpy().sort(axis=0),
        lambda evaluation: evaluation.label.zero_(),
        lambda evaluation: evaluation.reference(9).x.add_(1),
    ],
)
def test_a_metric_that_writes_into_what_others_measure_ends_the_run(moons, metric, write):
    def writing(evaluation):
        write(evaluation)
        return Value(1.0, 9, "p")

    metric("writing", writing)
    x, label = moons.train.take(9, 0)
    with pytest.raises(RunFailed, match=r"writing must not write into samples or test data; .* clone\(\)"):
        measure(Evaluation(moons, 0, x=x, label=1 + label), "writing", {}, False)


def test_a_metric_that_asks_for_halves_has_an_interval_unless_it_states_an_error(moons, metric):
    def mean(evaluation, **details):
        return Value(float(evaluation.x.mean()), len(evaluation.x), "p", details=details)

    metric("halved", mean, halves=True)
    metric("stating", lambda evaluation: mean(evaluation, standard_error=1.0), halves=True)
    metric("silent", mean)
    x = moons.train.take(64, 0).x
    for name, stated in (("halved", {"half_interval"}), ("stating", {"standard_error"}), ("silent", set())):
        (row,) = measure(Evaluation(moons, 0, x=x), name, {}, False)
        assert row.get("details", {}).keys() == stated
    (row,) = measure(Evaluation(moons, 0, x=x, errors=False), "halved", {}, False)
    assert "details" not in row


def test_the_validation_split_takes_the_place_of_the_test_split(fixed_density):
    digits = datasets["digits"].build()
    assert validation_as_test(digits).test is digits.valid
    model = fixed_density(Event((1, 8, 8)), Normal((1, 8, 8)), None)
    sampling = Sampling(n=20, batch=20, split="valid")
    rows, _ = evaluate(model, digits, {"norm": {"n": None}}, sample={}, sampling=sampling, seed=0)
    assert rows[0]["protocol"].endswith("the validation split taking the place of the test split")


def test_a_second_thread_changes_no_row(moons, metric, monkeypatch):
    threads = set()

    def mean(evaluation):
        threads.add(get_ident())
        return Value(float(evaluation.x.mean()), len(evaluation.x), "mean")

    metric("mean", mean)
    chosen = {"detour": {}, "mean": {}, "mmd": {"n": None}, "w2": {"n": None}}
    sampling = Sampling(n=256, batch=256, curve=(1, 4), interval=True)
    torch.manual_seed(0)
    model = models["cfm"].build(moons.event, moons.source).eval()

    def rows(idle):
        monkeypatch.setattr(measurement, "second_thread_allowed", lambda device: idle)
        real_vs_real.cache_clear()
        return evaluate(model, moons, chosen, sample={}, sampling=sampling, seed=0)[0]

    beside = rows(idle=True)
    assert threads
    assert get_ident() not in threads
    assert [(row["metric"], row["point"]) for row in beside[:4]] == [(name, "main") for name in chosen]
    assert rows(idle=False) == beside


def test_an_error_in_the_second_thread_is_raised(moons, metric):
    metric("nan", lambda evaluation: Value(float("nan"), 9, "p"))
    model = models["cfm"].build(moons.event, moons.source).eval()
    with pytest.raises(RunFailed, match="nan is nan"):
        evaluate(model, moons, {"nan": {}}, sample={}, sampling=Sampling(n=9, batch=9, curve=(1,)), seed=0)


def test_a_measured_model_is_not_kept_in_memory(moons):
    """Over a sweep, weights of earlier runs would add up on a GPU, and count as memory of later ones."""
    model = models["cfm"].build(moons.event, moons.source).eval()
    chosen = {"w2": {"n": None}, "path_energy": {"n": 8, "tol": 1e-3}, "nll": {"n": 8, "tol": 1e-3, "probes": 0}}
    sampling = Sampling(n=32, batch=16, curve=(1,))
    evaluate(model, moons, chosen, sample={"method": "euler", "steps": 2}, sampling=sampling, seed=0)
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None
