import copy
from pathlib import Path

import pytest

from genbench.registry import metrics, models
from genbench.results.frames import protocol, protocols
from genbench.results.reader import Run
from genbench.runs.make_spec import restore_spec
from genbench.runs.record import read_published
from genbench.runs.record_types import RECORD
from genbench.runs.spec import Spec
from genbench.runs.versions import current, outdated_metrics, unknown_components, why_outdated, without_outdated


@pytest.fixture
def record():
    """A published record of digits whose metric along the curve has a version that is not installed."""
    path = Path(__file__).parents[2] / "results" / "digits" / "records.jsonl.gz"
    record = copy.deepcopy(read_published(path)[0])
    record["spec"]["metrics"]["fd-digits_cnn"]["version"] = 0
    record["spec"]["metrics"]["class_balance"]["version"] = 0
    return record


def test_values_of_outdated_metrics_are_left_out_unless_they_are_published(record, caplog):
    assert outdated_metrics(record).keys() == {"fd-digits_cnn", "class_balance"}
    (local,) = without_outdated([record])
    assert {row["metric"] for row in local["results"]}.isdisjoint({"fd-digits_cnn", "class_balance"})
    RECORD.validate_python(local)
    assert "made with version 0 of metric 'fd-digits_cnn'" in caplog.text
    assert current(record, published=True) == (record, [])
    for row, stated in zip(record["results"], protocols(record), strict=True):
        name = row["metric"]
        version = f", version 0 of {name}" if name in ("fd-digits_cnn", "class_balance") else ""
        assert stated == protocol(row) + version


def test_a_reason_that_models_share_is_said_once_with_their_number(record, caplog):
    others = [copy.deepcopy(record) for _ in range(4)]
    others[0]["labels"]["model"] = others[1]["labels"]["model"] = "another"
    others[2]["labels"]["data"] = others[3]["labels"]["data"] = "elsewhere"
    without_outdated([record, *others])
    own = record["labels"]["model"]
    told = [line for line in caplog.messages if "class_balance" in line]
    assert [line.partition(" on ")[0] for line in told] == ["left out: 2 models", f"left out: {own}"]
    assert [line.rpartition(" (")[2] for line in told] == ["3 records)", "2 records)"]


@pytest.mark.parametrize("precision", ["fp8", ["fp32"], None])
def test_a_record_with_an_unknown_precision_is_left_out_in_words(record, caplog, precision):
    record["spec"]["plan"]["precision"] = precision
    assert without_outdated([record]) == []
    assert "trained with a precision that this genbench does not know (1 record)" in caplog.text


def test_of_runs_of_the_first_training_code_only_those_in_bf16_are_outdated(record):
    record["provenance"]["training"]["code"].pop("training", None)
    for precision, why in (("fp32", None), ("bf16", "trained by version 1 of the training code, now 2")):
        record["spec"]["plan"]["precision"] = precision
        assert why_outdated(record) == why


def test_a_record_with_an_outdated_metric_along_the_curve_is_restored(record):
    found = restore_spec(record["spec"])
    assert "fd-digits_cnn" not in found.metrics
    assert found.evaluation.items() >= record["spec"]["evaluation"].items()  # settings that came later have defaults
    assert found.evaluation_key == Spec(**record["spec"]).evaluation_key


def test_a_metric_with_an_outdated_extractor_is_left_out_of_what_is_restored(record):
    own = {"name": "dinov2", "version": 1, "code": "/a/checkout", "weights": None, "sha256": None}
    record["spec"]["metrics"]["kid"] = {"name": "kid", "version": 1, "features": own}
    assert outdated_metrics(record)["kid"] == "made with version 1 of feature extractor 'dinov2', which is now 2"
    assert "kid" not in restore_spec(record["spec"]).metrics


@pytest.mark.parametrize("name", ["of_a_plugin", "broken"])
def test_what_is_not_installed_here_is_kept(record, monkeypatch, name):
    for registry in (models, metrics):
        monkeypatch.setitem(registry._own, "broken", "genbench.no_such_module")
    record["spec"]["metrics"] = {each: part | {"version": 1} for each, part in record["spec"]["metrics"].items()}
    record["spec"]["metrics"][name] = {"name": name, "version": 3}
    record["results"].append(record["results"][0] | {"metric": name})
    record["spec"]["model"] = {"name": name, "version": 3}
    assert unknown_components(record) == [f"model '{name}'", f"metric '{name}'"]
    assert name not in outdated_metrics(record)
    assert why_outdated(record) is None
    kept, _ = current(record)
    assert kept is not None
    assert name in {row["metric"] for row in kept["results"]}
    assert Run(record, name, None).stated == ""


def test_a_record_with_an_impossible_value_is_left_out_whole(record, caplog):
    record["results"][-1]["value"] = -5.0
    assert without_outdated([record]) == []
    assert f"{record['results'][-1]['metric']} is -5, and cannot be below -0.1" in caplog.text
    assert current(record, published=True)[0] is None
