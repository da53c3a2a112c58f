"""Published numbers: the rule of the verdicts; every number has a source and a tolerance."""

from pathlib import Path

import pytest
from scipy import stats

from benchmarks.published import Claim, Finding, findings, measured, page, read_claims
from genbench.sweeps.suite import load

ROOT = Path(__file__).parents[2]
CLAIM = {"paper": "A, 2024, Table 1", "url": "https://arxiv.org/abs/1", "grade": "C", "metric": "npe", "protocol": "p"}
CLAIM |= {"difference": "d", "label": "A on moons", "value": 1.0, "suite": "s", "model": "cfm", "data": "moons"}


def finding(values, **other):
    return Finding(Claim(**(CLAIM | {"absolute": 0.1} | other)), tuple(values))


@pytest.mark.parametrize(
    ("values", "claim", "verdict"),
    [
        ([1.0999, 1.0999], {}, "agrees"),
        ([1.1001, 1.1001], {}, "differs"),
        ([0.8999, 0.8999], {}, "differs"),
        ([2.2, 2.2], {"value": 2.0, "absolute": 0.0, "relative": 0.11}, "agrees"),
        ([2.2, 2.2], {"value": 2.0, "absolute": 0.0, "relative": 0.09}, "differs"),
        ([-2.2, -2.2], {"value": -2.0, "absolute": 0.0, "relative": 0.11}, "agrees"),
        ([1.11, 1.13, 1.15], {}, "agrees"),  # the interval of the mean widens what is allowed
        ([1.199, 1.2, 1.201], {}, "differs"),
        ([1.199, 1.2, 1.201], {"spread": 0.1}, "agrees"),
        ([0.9, 1.1, 1.3], {}, "inconclusive"),
        ([1.9, 2.1, 2.3], {}, "differs"),
        ([1.0], {}, "inconclusive"),
        ([2.0], {}, "differs"),
        ([], {}, "not measured"),
        ([1.0, 1.0], {"absolute": 0.0, "incomparable": "other data"}, "not comparable"),
    ],
)
def test_the_tolerance_and_the_interval_decide(values, claim, verdict):
    assert finding(values, **claim).verdict == verdict


def test_the_allowance_adds_the_interval_of_statistics():
    values = [1.11, 1.13, 1.15]
    half = stats.t.ppf(0.975, 2) * stats.sem(values)
    assert finding(values, spread=0.2).allowance == pytest.approx(0.1 + half + 0.2)
    assert finding([1.05]).allowance == 0.1  # one seed: no chance is granted


def test_values_are_those_of_the_claimed_model_metric_and_point():
    def record(seed, *rows, model="cfm", data="moons"):
        usual = {"metric": "npe", "value": 1.0, "point": "main", "nfe": None, "protocol": "dopri5"}
        spec, labels = {"seed": seed}, {"model": model, "data": data}
        return {"labels": labels, "spec": spec, "results": [usual | row for row in rows]}

    records = [
        record(0, {"value": 1.5}, {"metric": "npe.path", "value": 7.0}, {"point": "curve", "nfe": 100.0, "value": 8.0}),
        record(1, {"value": 1.7}, {"metric": "w2", "value": 7.0}),
        record(2, {"value": None, "protocol": None}),
        record(0, {"value": 9.0}, model="cfm sigma=0.1"),
        record(0, {"value": 9.0}, data="mixture"),
    ]
    claim = Claim(**CLAIM, absolute=0.1)
    assert measured(claim, records).values == (1.5, 1.7)
    assert measured(Claim(**CLAIM, absolute=0.1, nfe=100), records).values == (8.0,)
    for other in (record(1, {"value": 2.0}), record(3, {"protocol": "euler"})):
        with pytest.raises(ValueError, match="twice, or under two protocols"):
            measured(claim, [*records, other])


@pytest.mark.parametrize("change", [{"grade": "M"}, {"absolute": 0}, {"incomparable": "other data"}, {"suite": ""}])
def test_a_claim_without_grade_source_or_tolerance_is_refused(change):
    with pytest.raises(ValueError, match="A on moons: "):
        finding([], **change)


def test_our_claims_name_models_and_metrics_of_their_suites():
    known = read_claims()
    for name in {c.suite for c in known if c.suite}:
        (path,) = (
            p for place in ("benchmarks/studies", "genbench/suites") for p in (ROOT / place).glob(f"{name}.toml")
        )
        cells = {(s.model_label, s.data_label): s for s in load(path).specs}
        for one in (c for c in known if c.suite == name):
            spec = cells[one.model, one.data]
            assert one.metric in spec.metrics
            assert one.nfe is None or one.nfe in spec.evaluation["curve"]


def test_the_committed_page_is_that_of_the_committed_suites():
    assert page(findings(read_claims(), ROOT / "results")) == (ROOT / "results/published.md").read_text("utf-8")
