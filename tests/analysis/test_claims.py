"""Claims: verdicts against normal and noncentral t laws; the sources and the measured spreads of committed numbers."""

import numpy as np
import pytest
from helpers.published import RESULTS
from scipy import stats

from genbench.analysis.claims import Cost, Number, Published, Spread, Study, audits, options, read
from genbench.errors import ConfigError
from genbench.runs.record import read_published

SPREAD = Spread(
    training=(0.01, 0.02, 0.03), evaluation=(0.0, 0.01, 0.02), samples=1000, source="s", grade="C", note="n"
)


def published(one, other, spread=SPREAD, **study):
    values = [each if isinstance(each, dict) else {"value": each} for each in (one, other)]
    numbers = [Number(label=label, **value) for label, value in zip("ab", values, strict=True)]
    kind = {"paper": "p", "url": "u", "grade": "C", "metric": "fid", "protocol": "q", "spread": "fid"} | study
    return Published(spreads={"fid": spread}, studies=[Study(**kind, values=numbers, pairs=[("a", "b")])])


def judged(*values, **study):
    (audit,) = audits(published(*values, **study))
    return audit


@pytest.mark.parametrize("seeds", [1, 4])
def test_a_difference_is_resolved_beyond_the_normal_quantile_at_the_highest_spread(seeds):
    for difference in np.arange(1.0, 15.0, 0.5):
        error = np.hypot(0.03, 0.02) * np.hypot(100 + difference, 100) / seeds**0.5
        p = 2 * stats.norm.sf(difference / error)
        assert (judged(100 + difference, 100.0, seeds=seeds).verdict == "resolved") == (p < 0.05)


def test_errors_are_those_of_both_values_and_samples_reduce_those_of_evaluations():
    usual = judged(100.0, 103.0)
    assert usual.training == pytest.approx(0.02 * np.hypot(100, 103))
    assert usual.evaluation == pytest.approx(0.01 * np.hypot(100, 103))
    four, many = judged(100.0, 103.0, seeds=4), judged(100.0, 103.0, samples=4000)
    assert (four.training, four.evaluation) == pytest.approx((usual.training / 2, usual.evaluation / 2))
    assert (many.training, many.evaluation) == pytest.approx((usual.training, usual.evaluation / 2))
    assert judged(103.0, 100.0).difference == 3


def power(seeds, ratio):
    """Power of a two-sided t test of this many pairs, counting rejections of the right sign."""
    return stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, ratio * seeds**0.5)


@pytest.mark.parametrize("difference", [1.0, 4.0])
def test_the_seeds_are_the_fewest_with_80_percent_power(difference):
    found = judged(100.0 + difference, 100.0)
    for seeds, training, evaluation in zip(found.seeds, (0.02, 0.01, 0.03), (0.01, 0.0, 0.02), strict=True):
        ratio = difference / (np.hypot(training, evaluation) * np.hypot(100 + difference, 100))
        assert power(seeds, ratio) >= 0.8 > power(seeds - 1, ratio)
    assert judged(100.0, 100.0).seeds == (None, None, None)


def test_the_spread_of_a_number_itself_counts_first():
    own = judged({"value": 100.0, "sd": 3.0}, {"value": 110.0, "sd": 4.0})
    assert (own.training, own.evaluation) == (5.0, 0.0)
    stated = judged({"value": 100.0, "error": 1.5}, {"value": 110.0, "error": 2.0}, seeds=4)
    assert stated.training == pytest.approx(2.5)  # the standard error of the difference of both means
    assert stated.seeds == own.seeds
    assert judged({"value": 100.0, "sd": 3.0}, 110.0, spread=SPREAD).training == judged(100.0, 110.0).training
    (unknown,) = audits(published(100.0, 110.0).model_copy(update={"spreads": {}}))
    assert (unknown.verdict, unknown.seeds, unknown.training) == ("unknown spread", None, None)
    limit = float(stats.t.ppf(0.975, 4)) * 2**0.5 / 5**0.5  # few trainings of a measured spread need a t quantile
    for factor, verdict in ((1.02, "resolved"), (0.98, "inconclusive")):
        assert judged({"value": 10 + factor * limit, "sd": 1.0}, {"value": 10.0, "sd": 1.0}, seeds=5).verdict == verdict
    cost = Cost(training_hours=(3, 4), sampling_hours=0.5, samples=500, device="gpu", source="s")
    few, many = options(0.02, SPREAD, [500, 1000], {"cifar10": cost})  # for both methods together
    assert few.hours["cifar10"] == pytest.approx((2 * few.seeds[0] * 3.5, 2 * few.seeds[0] * 4.5))
    assert many.hours["cifar10"] == pytest.approx((2 * many.seeds[0] * 4, 2 * many.seeds[0] * 5))
    assert few.seeds[0] > many.seeds[0]
    assert options(1e-5, SPREAD, [10], {"cifar10": cost})[0].hours == {}


def test_every_committed_number_has_a_source_and_its_pairs_a_reason():
    known = read()
    assert len(list(audits(known))) > 50
    for study in known.studies:
        assert study.url.startswith("https://")
        assert study.grade in ("A", "B", "C")
        assert study.pairs
        assert study.spread or study.note or study.seeds == 1


def test_measured_spreads_are_those_of_the_committed_records():
    rows = {}
    for record in read_published(RESULTS / "tong/records.jsonl.gz"):
        for row in record["results"]:
            if row["point"] == "main" or (row["metric"] == "w2" and row["nfe"] == 20):
                key = row["metric"], row["point"], record["labels"]["model"], record["labels"]["data"]
                rows.setdefault(key, []).append(row["value"])
    deviations = {key: np.std(values, ddof=1) for key, values in rows.items()}
    checked = [(study, number) for study in read().studies for number in study.values if number.sd]
    assert len(checked) == 9
    for study, number in checked:
        model = next(m for m in MODELS if number.label.startswith(m))
        data = "moons-8gaussians scale=runner" if "moons to" in number.label else "8gaussians std=1.0"
        point = "curve" if study.metric == "w2" else "main"
        assert number.sd == pytest.approx(deviations[study.metric, point, MODELS[model], data], rel=0.05)


MODELS = {
    "OT-CFM": "otcfm sigma=0.1 resample=true",
    "I-CFM": "cfm sigma=0.1",
    "RF": "cfm sigma=0.1",
    "2-RF": "reflow sigma=0.1 start=anew",
}


OWN = """
[[studies]]
paper = "mine"
url = "here"
grade = "measured"
metric = "fid"
protocol = "p"
spread = "fid"
values = [{ label = "a", value = 2.0 }, { label = "b", value = 3.0 }]
pairs = [["a", "b"]]
"""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (OWN.replace('spread = "fid"', 'spread = "fed"'), "mine has no spread 'fed'; did you mean 'fid'"),
        (OWN.replace('["a", "b"]', '["a", "c"]'), "mine has no value 'c'"),
        (OWN.replace('label = "b"', 'label = "a"'), "a is listed twice"),
        (OWN.replace('"measured"', '"M"'), "studies.0.grade"),
        (OWN.replace("2.0", "two"), "own.toml: Invalid value"),
        (OWN.replace("metric", "metrics"), "studies.0.metric"),
        (OWN.replace('label = "a"', 'label = "a", model = "cfm"'), "needs a suite"),
        (OWN + 'suite = "tong"\n', "a tolerance, or neither"),
    ],
)
def test_a_file_of_ones_own_takes_the_known_spreads_and_a_wrong_one_is_refused_in_one_line(wrong, message, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(OWN, encoding="utf-8")
    (audit,) = audits(read(path, read()))
    assert (audit.verdict, audit.study.paper) == ("resolved", "mine")
    path.write_text(wrong, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as error:
        read(path, read())
    assert "\n" not in str(error.value)
