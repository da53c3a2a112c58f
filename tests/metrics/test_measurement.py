import gc
import math
import weakref

import numpy as np
import pytest
import torch

from genbench import activity
from genbench.analysis.values import half_interval
from genbench.errors import RunFailed
from genbench.metrics.evaluation import Evaluation, Value
from genbench.metrics.measurement import evaluate, half_intervals, measure, require_measurable
from genbench.metrics.sampling import Sampling
from genbench.registry import datasets, models
from genbench.results.external_samples import task_without_model
from genbench.runs.make_spec import bind_metrics
from genbench.runs.spec import build_data
from genbench.settings import settings_in


@pytest.mark.parametrize("name", ["moons", "8gaussians", "branches", "digits"])
def test_data_never_rules_out_its_own_metrics(name):
    data = datasets[name].build()
    chosen = bind_metrics(data.metrics, {}, data.event)
    require_measurable(data, chosen, chosen, trains=True)


def test_every_value_is_a_row_with_its_floor(moons, metric):
    metric("two", lambda evaluation: [Value(1.0, 9, "p"), Value(2.0, 9, "q", "part", floor=0.5, better="none")])
    rows = measure(Evaluation(moons, 0, x=moons.train.take(9, 0).x), "two", {}, True)
    assert [(row["metric"], row["value"], row["floor"], row["better"]) for row in rows] == [
        ("two", 1.0, 1.0, "lower"),  # the floor is the metric of real samples
        ("two.part", 2.0, 0.5, "none"),  # or what the metric itself states
    ]


@pytest.mark.parametrize(
    ("dataset", "size", "where"), [("moons", 300, "there are 300"), ("digits", 601, "this split of the data has 500")]
)
def test_a_metric_of_too_many_samples_names_the_setting_to_type(dataset, size, where, metric):
    """The hint was "--set metric.NAME.n=300", also for metrics without such a setting."""
    data = datasets[dataset].build()
    drawn = Evaluation(data, 0, x=torch.randn(size, *data.event.shape))

    def difference(evaluation, *, n: int = 601):
        return Value((evaluation.samples(n) - evaluation.reference(n).x).mean().item(), n, "p")

    metric("some", difference)
    metric("fixed", lambda evaluation: difference(evaluation))
    (row,) = measure(drawn, "some", {"n": 601}, False)
    assert row["reason"].startswith(f"it needs 601 samples; {where} (--set metric.some.n=")
    typed = int(row["reason"].rstrip(")").rpartition("=")[2])
    (row,) = measure(drawn, "some", {"n": typed}, False)
    assert row["n"] == typed
    (row,) = measure(drawn, "fixed", {}, False)
    assert row["reason"] == f"it needs 601 samples; {where}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Value(math.nan, 9, "p"), "broken is nan"),
        (Value(1.0, 9, "p", floor=math.inf), "the floor of broken is inf"),
        (Value(1.0, 9, "p", details={"n_floor": 3, "standard_error": math.inf}), "standard_error of broken is inf"),
        (Value(torch.tensor(1.0), 9, "p"), r"broken is of type Tensor: convert it with float\(...\)"),
        (Value(1.0, 9.0, "p"), r"n of broken is of type float: convert it with int\(...\)"),
        (Value(1.0, 9, "p", floor=np.float32(1)), "the floor of broken is of type float32"),
        (Value(1.0, 9, "p", details={"n": None, "bias": "0"}), "bias of broken is of type str"),  # None is not known
        (Value(-1.0, 9, "p"), "broken is -1, and cannot be below 0: "),
        (Value(1.0, 9, "p", "part"), "broken.part is 1, and cannot be above 0.5: "),
        (Value(0.0, 9, "p", floor=-1.0), "the floor of broken is -1, and cannot be below 0: "),
    ],
)
def test_numbers_that_no_record_may_have_fail(moons, metric, value, message):
    metric("broken", lambda evaluation: value, bounds={"": (0, None), "part": (0, 0.5)})
    with pytest.raises(RunFailed, match=f"^{message}"):
        measure(Evaluation(moons, 0, x=moons.train.take(9, 0).x), "broken", {}, True)


@pytest.mark.parametrize(
    "write",
    [
        lambda evaluation: evaluation.samples(9).mul_(2),
        lambda evaluation: evaluation.samples(9).numpy().sort(axis=0),  # of the same sum
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


def test_a_message_says_at_which_nfe_samples_of_the_curve_are_drawn(moons):
    said, model = [], models["cfm"].build(moons.event, moons.source).eval()
    with activity.shown_by(lambda what, *counts: said.append(what)):
        sampling = Sampling(n=32, batch=16, curve=(1,))
        evaluate(model, moons, {}, sample={"method": "euler", "steps": 2}, sampling=sampling, seed=0)
    assert said == ["drawing 32 samples", "drawing 32 samples at NFE 1"]


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


def chosen(dataset, **settings):
    spec, found = task_without_model(dataset, settings, {"metric": settings})
    return build_data(spec), {name: settings_in(part) for name, part in found.items()}


def test_a_half_without_a_value_ends_the_interval_and_not_the_run(moons, metric):
    x = moons.train.take(100, 0).x
    x[0] = 9.0

    def rare(evaluation):
        return Value(evaluation.x[evaluation.x[:, 0] > 8].mean().item(), len(evaluation.x), "p")  # NaN without x[0]

    def log_share(evaluation):
        return Value((evaluation.x[:, 0] > 8).float().mean().log().item(), len(evaluation.x), "p")  # infinite without

    for name, function in (("rare", rare), ("log-share", log_share)):
        metric(name, function, halves=True, floor=False)
        (row,) = measure(Evaluation(moons, 0, x=x, errors=True), name, {}, False)
        assert (math.isfinite(row["value"]), row.get("details")) == (True, None)


def found_halves(evaluation, own, **settings):
    found = {}
    for name, metric in own.items():
        if rows := [row for row in measure(evaluation, name, metric, False) if row["value"] is not None]:
            found |= half_intervals(evaluation, name, metric, rows, **settings)
    return found


def test_the_interval_of_a_mean_is_that_of_statistics():
    data, own = chosen("gaussian", norm={})
    x = torch.randn(1024, 2, generator=torch.Generator().manual_seed(1))
    half = found_halves(Evaluation(data, 0, x=x), own, halves=200)["norm"]
    assert half == pytest.approx(1.97 * x.norm(dim=1).std().item() / 1024**0.5, rel=0.15)


@pytest.mark.parametrize(("n", "metric"), [(None, "w2"), (256, "norm"), (256, "sliced_w2")])
def test_the_halves_are_of_the_samples_that_the_metric_used(n, metric):
    """Halves of all samples could have as many as the metric used, and share them: they would vary too little."""
    data, own = chosen("gaussian", **{metric: {"n": n} if n else {}})
    _, of_all = chosen("gaussian", **{metric: {}})
    x = data.train.take(2 * (n or 2048), 0).x
    first = found_halves(Evaluation(data, 0, x=x[: len(x) // 2]), of_all, halves=3)
    assert found_halves(Evaluation(data, 0, x=x), own, halves=3) == first


def test_the_halves_of_a_metric_that_drops_samples_are_of_all_that_it_took(metric):
    def mean_of_some(evaluation, *, n: int | None = None):
        kept = evaluation.samples(n or len(evaluation.x))
        kept = kept[kept[:, 1] > 1, 0]
        return Value(float(kept.mean()), len(kept), "p")

    metric("some", mean_of_some, drops=True)
    data, own = chosen("gaussian", some={"n": 1024})
    x = torch.randn(2048, 2, generator=torch.Generator().manual_seed(1))
    kept = x[:1024][x[:1024, 1] > 1, 0]
    half = found_halves(Evaluation(data, 0, x=x), own, halves=200)["some"]
    assert half == pytest.approx(1.97 * kept.std().item() / len(kept) ** 0.5, rel=0.15)


def test_a_value_without_spread_and_one_of_too_few_samples_have_no_interval():
    data, own = chosen("8gaussians", mode_coverage={})
    evaluation = Evaluation(data, 0, x=data.train.take(256, 0).x)
    assert found_halves(evaluation, own).keys() == {"mode_coverage.on_mode", "mode_coverage.balance"}
    data, own = chosen("branches", conditional_w2={"bins": 100}, sliced_w2={})
    evaluation = Evaluation(data, 0, x=data.train.take(256, 0).x)
    assert found_halves(evaluation, own).keys() == {"sliced_w2"}


def test_a_record_states_it_where_it_is_asked_for_and_no_error_is_known(metric):
    metric("silent", lambda evaluation: Value(float(evaluation.x.mean()), len(evaluation.x), "p"))
    data, own = chosen("gaussian", sliced_w2={}, silent={}, path_energy={})
    model = models["cfm"].build(data.event, data.source).eval()
    for asked in (False, True):
        rows, _ = evaluate(model, data, own, sample={}, sampling=Sampling(n=64, interval=asked), seed=0)
        stated = {row["metric"]: "half_interval" in row.get("details", {}) for row in rows}
        assert stated == {"sliced_w2": False, "silent": asked, "path_energy": False}
    assert "standard_error" in rows[0]["details"]


def test_a_count_has_no_interval_from_halves(metric):
    """Half as many samples count among half of them: the interval would be of half the count."""
    metric("count", lambda evaluation: Value(float((evaluation.x > 0).sum()), len(evaluation.x), "p"), halves=False)
    data, own = chosen("gaussian", failed={}, count={})
    x = torch.randn(256, 2, generator=torch.Generator().manual_seed(1))
    (row,) = measure(Evaluation(data, 0, x=x), "count", own["count"], False, interval=True)
    assert "details" not in row
    x[::8] = torch.nan
    (row,) = measure(Evaluation(data, 0, x=x), "failed", own["failed"], False, interval=True)
    assert row["details"] == {"standard_error": pytest.approx((32 * 7 / 8) ** 0.5)}


def coverage(data, own, x, label, odds, draws, n):
    """Return {metric: share of draws whose interval, from either source, contains the mean over all draws}.

    Samples are drawn with replacement from `x`, with these odds.
    """
    stream = torch.Generator().manual_seed(0)
    values, halves = [], []
    for _ in range(draws):
        rows = torch.multinomial(odds, n, replacement=True, generator=stream)
        evaluation = Evaluation(data, 0, x=x[rows], label=label[rows])
        rows = [row for name, m in own.items() for row in measure(evaluation, name, m, False)]
        values.append({row["metric"]: row["value"] for row in rows})
        halves.append({row["metric"]: half_interval(row) for row in rows})
    mean = {name: np.mean([each[name] for each in values]) for name in values[0]}
    known = [
        (name, abs(v[name] - mean[name]) <= half)
        for v, h in zip(values, halves, strict=True)
        for name, half in h.items()
        if half
    ]
    return {name: np.mean([i for other, i in known if other == name]) for name in dict(known)}


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "dropped"), [(1.0, 1), (1.1, 0)])
def test_the_intervals_of_points_cover_the_mean_of_the_metric(scale, dropped):
    data, own = chosen("8gaussians", norm={}, w2={}, sliced_w2={}, energy_distance={}, mode_coverage={})
    x, label, *_ = data.train.take(2**16, 0)
    found = coverage(data, own, scale * x, label, (label >= dropped).double(), 60, 256)
    parts = {"mode_coverage.on_mode", "mode_coverage.balance"}  # every mode is clearly covered, or clearly not
    assert found.keys() == {"norm", "w2", "sliced_w2", "energy_distance"} | parts
    assert np.mean(list(found.values())) == pytest.approx(0.95, abs=0.035)
    for share in found.values():  # 60 draws tell it up to 0.06
        assert 0.87 < share <= 1


@pytest.mark.slow
def test_the_intervals_of_features_cover_the_mean_of_the_metric():
    names = {"fd-digits_cnn": {}, "monge_distance": {"directions": 100}, "kid": {"subsets": 5}, "memorization": {}}
    data, own = chosen("digits", **names, precision_recall={}, density_coverage={}, class_balance={})
    x, label, *_ = data.train.take(700, 0)
    noisy = data.space.decode(x) / 16 + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    pixels = data.space.encode((16 * noisy.clamp(0, 1)).round().to(torch.uint8))
    found = coverage(data, own, pixels, label, torch.ones(len(x)), 50, 200)
    assert {"fd-digits_cnn", "monge_distance", "kid", "memorization", "memorization.ratio"} < found.keys()
    assert {"precision_recall.precision", "precision_recall.recall", "class_balance"} < found.keys()
    assert {"density_coverage.density", "density_coverage.coverage"} < found.keys()
    assert found.pop("density_coverage.coverage") > 0.75  # more samples cover more: halves vary differently
    assert np.mean(list(found.values())) == pytest.approx(0.95, abs=0.04)
    for share in found.values():  # 50 draws tell it up to 0.06
        assert 0.86 < share <= 1
