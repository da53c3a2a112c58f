import json

import numpy as np
import pytest

import genbench
from genbench.results.frames import COLUMNS, cost_of, frame, names_of, protocol
from genbench.runs.store import Store


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    settings = {"plan": {"steps": 3, "batch_size": 8}, "evaluation": {"n": 32, "curve": [1, 2]}}
    for model in ("cfm", "wcfm"):
        for seed in (0, 1):
            genbench.run(model, "moons", seed=seed, metrics=["sliced_w2", "nfe"], settings=settings, results=folder)
    return folder


@pytest.fixture
def records(results):
    return json.loads(json.dumps(Store(results).records()))


def test_a_frame_has_a_row_for_each_value_also_for_missing_ones_and_keeps_all_fields(records):
    first = records[0]["results"][0]
    kept = {name: first[name] for name in ("metric", "better", "point", "solver", "nfe")}
    records[0]["results"][0] = kept | {"value": None, "reason": "no log-density"}
    records[1]["results"][0]["details"] = {"bias": 0.25}
    table = frame(records)
    assert list(table.columns) == [*COLUMNS, "details"]
    rows = [row for record in records for row in record["results"]]
    assert table["value"].tolist()[1:] == [row["value"] for row in rows[1:]]
    assert table["metric"].tolist() == [row["metric"] for row in rows]
    assert table["run"].tolist() == [r["labels"]["run"] for r in records for _ in r["results"]]
    assert table["seed"].tolist() == [r["spec"]["seed"] for r in records for _ in r["results"]]
    assert set(table["model"]) == {"cfm", "wcfm"}
    assert table["original"].all()
    assert np.isnan(table["value"][0])
    assert table["reason"][0] == "no log-density"
    assert table["reason"].isna().sum() == len(table) - 1
    second = len(records[0]["results"])
    assert table["details"][second] == {"bias": 0.25}
    assert table["protocol"][second].endswith("its bias would be 0.25 if features were Gaussian")
    assert len(frame([])) == 0


def test_models_of_one_label_are_told_apart_by_their_budget(records):
    for record in records[:2]:
        record["labels"]["model"] = "cfm"
    records[1]["spec"]["plan"]["steps"] = 30
    assert frame(records)["model"].unique().tolist()[:2] == ["cfm steps=3", "cfm steps=30"]
    for record in records[:2]:
        record["labels"]["model"] = "meanflow steps=2"
    assert names_of(records[:2]) == ["meanflow steps=2 plan.steps=3", "meanflow steps=2 plan.steps=30"]


def test_runs_with_tuned_settings_say_so_in_their_names_and_leave_the_names_of_default_runs(records):
    for record, tables in zip(records[:2], (["default", "tuned"], ["tuned"]), strict=True):
        record["labels"]["model"] = "cfm"
        record["track"] = [{"row": "cfm", "headline": "w2", "tables": tables}]
    records[1]["spec"]["plan"] |= {"lr": 0.5, "compile": True}
    assert names_of(records[:2]) == ["cfm", "cfm lr=0.5 tuned"]
    records[0]["labels"]["data"] = "elsewhere"
    assert names_of(records[:2]) == ["cfm", "cfm lr=0.5 tuned"]
    assert names_of(records[1:2]) == ["cfm tuned"]  # no run tells what the default is
    del records[0]["spec"]["plan"]["betas"]  # it is older than this setting
    assert names_of(records[:2]) == ["cfm", "cfm lr=0.5 tuned"]


def test_a_cost_counts_all_training_and_the_measurements_on_its_device(records):
    provenance = records[0]["provenance"]
    provenance["training"]["cost"] |= {"train_seconds": 3.0, "total_train_seconds": 10.0, "train_peak_mib": 5.0}
    (first,) = provenance["measurements"]
    first["cost"] = {"sample_seconds": 1.0, "evaluate_seconds": 2.0, "evaluate_peak_mib": 7.0}
    later = {"sample_seconds": 9.0, "evaluate_seconds": 4.0, "evaluate_peak_mib": 6.0}
    elsewhere = {**first, "cost": dict.fromkeys(later, 99.0), "machine": {**first["machine"], "device": "H100"}}
    provenance["measurements"] += [{**first, "cost": later}, elsewhere]
    found = cost_of(records[0])
    assert (found["train_seconds"], found["sample_seconds"], found["evaluate_seconds"]) == (10.0, 1.0, 6.0)
    assert (found["peak_mib"], found["device"]) == (7.0, "cpu")
    provenance["training"] = {"code": {}, "machine": {}, "cost": {}}
    assert cost_of(records[0]) == {}


@pytest.mark.parametrize(
    ("row", "marked"),
    [
        ({"value": 1.5, "floor": 2.0}, True),
        ({"value": 1.7, "floor": 2.0}, False),  # within the sampling error
        ({"value": 2.3, "floor": 2.0}, False),
        ({"value": 1.5, "floor": None}, False),  # the entropy is not known
        ({"value": 1.5, "floor": 2.0, "metric": "w2"}, False),
        ({"value": 1.5, "floor": 2.0, "details": {"standard_error": 0.1, "tolerance_difference": 0.2}}, False),
        ({"value": 1.9, "floor": 2.0, "details": {}}, True),
    ],
)
def test_a_likelihood_better_than_the_entropy_of_the_data_is_marked_in_words(row, marked):
    row = {"metric": "nll", "protocol": "nats", "details": {"standard_error": 0.1}} | row
    assert ("lower than the entropy of the data" in protocol(row)) == marked
