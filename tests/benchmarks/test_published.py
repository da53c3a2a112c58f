"""Published numbers that are repeated: the rule of the verdicts, and the committed page."""

from pathlib import Path

import pytest
from scipy import stats

from benchmarks.published import Finding, measured, page
from genbench.analysis.claims import Number, Tolerance, audits, read
from genbench.sweeps.suite import load

ROOT = Path(__file__).parents[2]


def finding(values, value=1.0, error=0.0, **tolerance):
    return Finding(
        Number(label="A", value=value, error=error), Tolerance(**tolerance or {"absolute": 0.1}), tuple(values)
    )


@pytest.mark.parametrize(
    ("values", "settings", "verdict"),
    [
        ([1.0999, 1.0999], {}, "agrees"),
        ([1.1001, 1.1001], {}, "differs"),
        ([0.8999, 0.8999], {}, "differs"),
        ([2.2, 2.2], {"value": 2.0, "relative": 0.11}, "agrees"),
        ([2.2, 2.2], {"value": 2.0, "relative": 0.09}, "differs"),
        ([-2.2, -2.2], {"value": -2.0, "relative": 0.11}, "agrees"),
        ([1.049, 1.05, 1.051], {}, "agrees"),
        ([1.04, 1.06, 1.08], {}, "inconclusive"),  # noise never makes an agreement
        ([1.11, 1.13, 1.15], {}, "inconclusive"),
        ([1.199, 1.2, 1.201], {}, "differs"),
        ([1.199, 1.2, 1.201], {"error": 0.1}, "inconclusive"),
        ([1.049, 1.05, 1.051], {"error": 0.1}, "inconclusive"),
        ([0.9, 1.1, 1.3], {}, "inconclusive"),
        ([1.9, 2.1, 2.3], {}, "differs"),
        ([1.0], {}, "inconclusive"),
        ([2.0], {}, "differs"),
        ([], {}, "not measured"),
    ],
)
def test_the_tolerance_and_the_interval_decide(values, settings, verdict):
    assert finding(values, **settings).verdict == verdict


def test_the_uncertainty_is_the_interval_of_statistics_and_the_published_error():
    values = [1.11, 1.13, 1.15]
    half = stats.t.ppf(0.975, 2) * stats.sem(values)
    assert finding(values, error=0.2).uncertainty == pytest.approx(half + 0.2)
    assert finding([1.05]).uncertainty == 0  # not known of one seed, which is why it never agrees


def test_values_are_those_of_the_claimed_model_metric_and_point():
    def record(seed, *rows, model="cfm", data="moons"):
        usual = {"metric": "npe", "value": 1.0, "point": "main", "nfe": None, "protocol": "dopri5"}
        spec, labels = {"seed": seed}, {"model": model, "data": data}
        return {"labels": labels, "spec": spec, "results": [usual | row for row in rows]}

    def values(number, records):
        return [row["value"] for row in measured(number, "npe", records)]

    records = [
        record(0, {"value": 1.5}, {"metric": "npe.path", "value": 7.0}, {"point": "curve", "nfe": 100.0, "value": 8.0}),
        record(1, {"value": 1.7}, {"metric": "w2", "value": 7.0}),
        record(2, {"value": None, "protocol": None}),
        record(0, {"value": 9.0}, model="cfm sigma=0.1"),
        record(0, {"value": 9.0}, data="mixture"),
    ]
    number = Number(label="A", value=1.0, model="cfm", data="moons")
    assert values(number, records) == [1.5, 1.7]
    assert values(number.model_copy(update={"nfe": 100.0}), records) == [8.0]
    for other in (record(1, {"value": 2.0}), record(3, {"protocol": "euler"})):
        with pytest.raises(ValueError, match="twice, or under two protocols"):
            measured(number, "npe", [*records, other])


def test_repeated_numbers_name_models_and_metrics_of_their_suites():
    repeated = [study for study in read().studies if study.suite]
    for suite in {study.suite for study in repeated}:
        (path,) = (
            p for place in ("benchmarks/studies", "genbench/suites") for p in (ROOT / place).glob(f"{suite}.toml")
        )
        cells = {(s.model_label, s.data_label): s for s in load(path).specs}
        for study in (study for study in repeated if study.suite == suite):
            for number in (number for number in study.values if number.model):
                spec = cells[number.model, number.data]
                assert study.metric in spec.metrics
                assert number.nfe is None or number.nfe in spec.evaluation["curve"]


def test_the_committed_page_is_that_of_the_committed_numbers_and_suites():
    assert page(read(), ROOT / "results") == (ROOT / "results/claims.md").read_text("utf-8")


def test_the_cards_of_wcfm_state_the_published_numbers_and_how_many_of_their_differences_are_resolved():
    known, papers = read(), (ROOT / "results/papers.md").read_text("utf-8")
    (study,) = (study for study in known.studies if study.paper == "W-CFM, 2025")
    value = {number.label.removeprefix("W-CFM, CIFAR-10"): f"{number.value:.2f}" for number in study.values}
    own = [value[f", eps {epsilon}"] for epsilon in (1, 2, 3)] + [value[""], value[", eps 7.5"]]
    said = f"{', '.join(own[:-1])} and {own[-1]} at epsilon 1, 2, 3, 5 and 7.5 and of {value['I-CFM, CIFAR-10']} for"
    assert f"an FID of {said} CFM" in papers
    judged = [audit for audit in audits(known) if audit.study is study and "W-CFM" not in audit.other.label]
    resolved = [audit for audit in judged if audit.verdict == "resolved"]
    assert (len(judged), len(resolved)) == (8, 1)
    against = [audit.other.label for audit in judged if audit.one.value > audit.other.value]
    assert against == ["OT-CFM, CelebA-64"]
    said = "seven favor W-CFM (not the one from OT-CFM on CelebA-64), and [one is resolved](claims.md)"
    assert f"of eight published differences from these two, {said}" in papers
