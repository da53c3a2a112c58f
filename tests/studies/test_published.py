"""Published numbers: the rule of the verdicts; every number has a source and a tolerance."""

import json
from pathlib import Path

import pytest
from helpers.records import provenance
from scipy import stats

from genbench.errors import ConfigError
from genbench.report.formats import markdown
from genbench.runs.make_spec import make_spec
from genbench.runs.record import format_published
from genbench.studies import published
from genbench.studies.published import Claim, Finding, findings, measured, read_claims
from genbench.sweeps.suite import load

ROOT = Path(__file__).parents[2]
CLAIM = {"paper": "A, 2024, Table 1", "url": "https://arxiv.org/abs/1", "grade": "C", "metric": "npe", "protocol": "p"}
CLAIM |= {"difference": "d", "label": "A on moons", "value": 1.0, "suite": "s", "model": "cfm", "data": "moons"}


def claim(**other):
    return Claim(**(CLAIM | {"absolute": 0.1} | other))


def finding(values, **other):
    return Finding(claim(**other), tuple(enumerate(values)))


def parsed(label):
    """Return the name and the settings in a label."""
    name, *words = label.split()
    values = dict(word.split("=") for word in words)
    return name, {
        key: value if value.isalpha() and value != "true" else json.loads(value) for key, value in values.items()
    }


def record(seed, *rows, model="cfm", data="moons"):
    usual = {"metric": "npe", "value": 1.0, "point": "main", "nfe": None, "protocol": "dopri5", "better": "none"}
    labels = {"run": f"{model}-{seed}", "evaluation": "0", "model": model, "data": data}
    (method, of_model), (task, of_data) = parsed(model), parsed(data)
    settings = {"model": of_model, "data": of_data}
    spec = make_spec(method, task, seed=seed, metrics=["npe"], settings=settings).json()
    results = [usual | {"solver": "dopri5"} | row for row in rows]
    return {"labels": labels, "spec": spec, "results": results, "provenance": provenance(spec["metrics"])}


def test_the_tolerance_decides_if_seeds_agree():
    assert finding([1.0999, 1.0999]).verdict == "agrees"
    assert finding([1.1001, 1.1001]).verdict == "differs"
    assert finding([0.8999, 0.8999]).verdict == "differs"
    assert finding([2.2, 2.2], value=2.0, absolute=0.0, relative=0.11).verdict == "agrees"
    assert finding([2.2, 2.2], value=2.0, absolute=0.0, relative=0.09).verdict == "differs"
    assert finding([-2.2, -2.2], value=-2.0, absolute=0.0, relative=0.11).verdict == "agrees"


def test_the_interval_of_the_mean_and_the_published_error_widen_the_allowance():
    values = [1.11, 1.13, 1.15]
    half = stats.t.ppf(0.975, 2) * stats.sem(values)
    assert finding(values).allowance == pytest.approx(0.1 + half)
    assert finding(values).verdict == "agrees"
    assert finding([1.199, 1.2, 1.201]).verdict == "differs"
    assert finding([1.199, 1.2, 1.201], spread=0.1).verdict == "agrees"
    assert finding([1.05]).allowance == 0.1  # one seed: no chance is granted


def test_an_interval_wider_than_the_tolerance_is_inconclusive():
    assert finding([0.9, 1.1, 1.3]).verdict == "inconclusive"
    assert finding([1.9, 2.1, 2.3]).verdict == "differs"
    assert finding([1.0]).verdict == "inconclusive"
    assert finding([2.0]).verdict == "differs"


def test_no_verdict_without_values_or_for_incomparable_numbers():
    assert finding([]).verdict == "not measured"
    assert finding([1.0, 1.0], absolute=0.0, incomparable="other data").verdict == "not comparable"


def test_values_are_those_of_the_claimed_model_metric_and_point():
    records = [
        record(0, {"value": 1.5}, {"metric": "npe.path", "value": 7.0}, {"point": "curve", "nfe": 100.0, "value": 8.0}),
        record(1, {"value": 1.7}, {"metric": "w2", "value": 7.0}),
        record(2, {"value": None, "protocol": None}),
        record(0, {"value": 9.0}, model="cfm sigma=0.1"),
        record(0, {"value": 9.0}, data="circles"),
    ]
    assert measured(claim(), records).values == ((0, 1.5), (1, 1.7))
    assert measured(claim(nfe=100), records).values == ((0, 8.0),)
    with pytest.raises(ConfigError, match="twice for one seed"):
        measured(claim(), [*records, record(1, {"value": 2.0})])
    with pytest.raises(ConfigError, match=r"under two protocols: \['dopri5', 'euler'\]"):
        measured(claim(), [*records, record(3, {"protocol": "euler"})])


def test_a_table_has_value_source_grade_tolerance_and_verdict(tmp_path):
    records = [
        record(seed, {"value": 0.22 + seed / 1000}, model=model, data=data)
        for seed in range(3)
        for model, data in {(c.model, c.data) for c in read_claims(published.CLAIMS) if c.suite == "tong"}
    ]
    (tmp_path / "tong").mkdir()
    (tmp_path / "tong/records.jsonl.gz").write_bytes(format_published(records))
    compared = findings(read_claims(published.CLAIMS), tmp_path)
    table, other, *_ = published.tables(compared)
    text = markdown.table(table, width=400)
    cells = ["I-CFM, N to 8gaussians", "0.222", "C", "0.2210 ± 0.0025", "0.059", "0.061", "agrees"]
    assert cells in [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    verdicts = {row.label: row.cells[-1].text for row in table.rows}
    assert verdicts["OT-CFM, N to 8gaussians"] == "differs"
    assert verdicts["I-CFM, moons to 8gaussians"] == "differs"
    assert "https://arxiv.org/abs/2302.00482" in text
    assert "5,000 steps replace early stopping" in text
    assert published.summary(compared).startswith("Of ")
    text = markdown.table(other)
    assert "Not comparable: W2 between samples" in text
    assert "tolerance, fixed before" not in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grade": "M"}, "'A', 'B' or 'C'"),
        ({"tolerance": {}}, "either a tolerance or the reason"),
        ({"incomparable": "other data"}, "either a tolerance or the reason"),
        ({"suite": ""}, "name the suite"),
        ({"url": None}, "string"),
    ],
)
def test_a_claim_without_grade_source_or_tolerance_is_refused(tmp_path, change, message):
    group = {"paper": "A", "url": "u", "grade": "C", "metric": "npe", "protocol": "p", "difference": "d", "suite": "s"}
    group |= {"tolerance": {"absolute": 0.1}} | change
    lines = [f"{key} = {json.dumps(value).replace(': ', ' = ')}" for key, value in group.items() if value is not None]
    if change == {"url": None}:
        lines.append("url = 7")
    text = "[[claims]]\n" + "\n".join(lines) + '\nvalues = [{ label = "A", model = "m", data = "d", value = 1.0 }]'
    path = tmp_path / "published.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_claims(path)


def test_our_claims_name_models_and_metrics_of_their_suites():
    known = read_claims(published.CLAIMS)
    assert len(findings(known, ROOT / "nowhere")) == len(known) > 30
    for name in {c.suite for c in known if c.suite}:
        (path,) = (
            p for place in ("benchmarks/studies", "genbench/suites") for p in (ROOT / place).glob(f"{name}.toml")
        )
        cells = {(s.model_label, s.data_label): s for s in load(path).specs}
        for one in (c for c in known if c.suite == name):
            spec = cells[one.model, one.data]
            assert one.metric in spec.metrics
            assert one.nfe is None or one.nfe in spec.evaluation["curve"]
