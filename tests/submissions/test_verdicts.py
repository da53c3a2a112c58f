"""Forged submissions: each is refused, not confirmed, or labeled."""

import hashlib
import json
import shutil

import pytest
import torch

from genbench.runs.weights_file import WEIGHTS
from genbench.storage import tensors
from genbench.submissions.entries import opened
from genbench.submissions.verdicts import judge


def verdicts(forger, tmp_path, **options):
    with opened(forger.submit(tmp_path / "x.genbench.zip")) as store:
        found = list(judge(store, **{"sample": 99} | options))
    return {verdict.name.partition("/")[0].rsplit("-", 1)[0]: verdict for verdict in found}


def test_an_honest_submission_is_confirmed_in_every_value(forger, tmp_path):
    found = verdicts(forger, tmp_path, retrain=1)
    assert {verdict.state for verdict in found.values()} == {"confirmed"}
    assert all(verdict.values == 3 and not verdict.labels for verdict in found.values())


@pytest.mark.parametrize("factor", [0.5, 0.99, 1.01])
def test_an_edited_value_is_not_confirmed_and_the_difference_is_stated(forger, tmp_path, factor):
    forger.set_value(forger.record_of("cfm", 0), "sliced_w2", lambda value: value * factor)
    verdict = verdicts(forger, tmp_path)["cfm-moons-0"]
    assert verdict.state == "not confirmed"
    (difference,) = verdict.different
    assert difference.metric == "sliced_w2"
    assert difference.submitted == pytest.approx(factor * difference.again)
    assert difference.share > 0


@pytest.mark.parametrize(
    ("field", "change", "named"),
    [
        ("floor", lambda floor: floor / 2, "floor"),
        ("better", lambda better: "higher", "better"),
        ("protocol", lambda protocol: f"{protocol} of 50,000", "protocol"),
        ("n", lambda n: 50_000, "n"),
        ("nfe", lambda nfe: 1.0, "NFE"),
        ("details", lambda details: {**details, "standard_error": details["standard_error"] / 10}, "standard_error"),
        ("details", lambda details: {**details, "half_interval": 1e-6}, "half_interval"),
        ("details", lambda details: {**details, "ratios": {"limit": 1.0}}, "ratios limit"),
    ],
)
def test_an_edited_field_of_a_row_is_not_confirmed(forger, tmp_path, field, change, named):
    forger.set_value(forger.record_of("wcfm", 1), "sliced_w2", change, field)
    verdict = verdicts(forger, tmp_path)["wcfm-moons-1"]
    assert verdict.state == "not confirmed"
    assert [difference.metric for difference in verdict.different] == [f"sliced_w2, {named}"]


def test_an_invented_row_is_not_confirmed(forger, tmp_path):
    def invent(record):
        record["results"].append({**record["results"][0], "metric": "sliced_w2.best", "value": 0.01})

    forger.edit(forger.record_of("cfm", 0), invent)
    assert verdicts(forger, tmp_path)["cfm-moons-0"].state == "not confirmed"


def test_a_row_of_a_metric_that_its_spec_does_not_have_is_refused(forger, tmp_path):
    forger.edit(forger.record_of("cfm", 0), lambda record: record["spec"].update(metrics={}))
    assert verdicts(forger, tmp_path)["cfm-moons-0"].state == "refused"


def test_a_row_left_out_is_not_confirmed(forger, tmp_path):
    forger.edit(forger.record_of("cfm", 0), lambda record: record["results"].pop(0))
    assert verdicts(forger, tmp_path)["cfm-moons-0"].state == "not confirmed"


def test_a_value_edited_without_its_seal_is_refused(forger, tmp_path):
    path = forger.record_of("cfm", 0)
    archive = forger.submit(tmp_path / "x.genbench.zip")
    with opened(archive) as store:
        copy = next(p for p in store.record_paths() if p.parts[-3:] == path.parts[-3:])
        copy.write_text(copy.read_text().replace('"value": 0.', '"value": 0.0', 1))
        found = {verdict.name: verdict for verdict in judge(store, sample=0)}
    assert found[f"{path.parts[-3]}/{path.parts[-2]}"].state == "refused"


def test_weights_of_another_run_are_refused(forger, tmp_path):
    shutil.copyfile(forger.weights_of("cfm", 1), forger.weights_of("cfm", 0))
    verdict = verdicts(forger, tmp_path)["cfm-moons-0"]
    assert (verdict.state, "weights" in verdict.reason) == ("refused", True)


def test_weights_of_another_run_under_the_right_header_are_refused_as_used_twice(forger, tmp_path):
    forger.put_weights(forger.weights_of("cfm", 1), forger.weights_of("cfm", 0))
    found = verdicts(forger, tmp_path)
    assert found["cfm-moons-0"].state == found["cfm-moons-1"].state == "refused"


def test_other_weights_under_the_right_header_are_not_confirmed(forger, tmp_path):
    forger.put_weights(forger.weights_of("cfm", 1), forger.weights_of("cfm", 0))
    shutil.rmtree(forger.weights_of("cfm", 1).parent)
    assert verdicts(forger, tmp_path)["cfm-moons-0"].state == "not confirmed"


def test_weights_that_are_not_finite_are_not_confirmed(forger, tmp_path):
    path = forger.weights_of("cfm", 0)
    state, header = tensors.load(path, WEIGHTS)
    header.pop("sha256", None)
    tensors.save(path, {name: torch.full_like(value, torch.nan) for name, value in state.items()}, header)
    assert verdicts(forger, tmp_path)["cfm-moons-0"].state == "not confirmed"


def test_a_record_in_the_folder_of_another_run_is_refused(forger, tmp_path):
    shutil.copyfile(forger.record_of("cfm", 1), forger.record_of("cfm", 0))
    assert verdicts(forger, tmp_path)["cfm-moons-0"].state == "refused"


@pytest.mark.parametrize("stored", ["cfm best", "cfm coupling={name=independent}"])
def test_a_label_that_is_not_that_of_the_spec_is_refused(forger, tmp_path, stored):
    path = forger.record_of("cfm", 0)
    forger.edit(path, lambda record: record["labels"].update(model=stored))
    assert verdicts(forger, tmp_path)["cfm-moons-0"].state == "refused"


def test_settings_of_the_evaluation_that_were_edited_are_refused(forger, tmp_path):
    forger.edit(forger.record_of("cfm", 0), lambda record: record["spec"]["evaluation"].update(n=50_000))
    assert verdicts(forger, tmp_path)["cfm-moons-0"].state == "refused"


def test_a_run_that_is_called_by_another_seed_is_not_confirmed(forger, tmp_path):
    forger.relabel(forger.record_of("cfm", 0), lambda spec: spec.update(seed=1))
    shutil.rmtree(forger.weights_of("wcfm", 0).parent)
    assert verdicts(forger, tmp_path)["cfm-moons-1"].state == "not confirmed"


def test_a_seed_that_is_given_twice_is_refused(forger, tmp_path):
    source = forger.record_of("cfm", 0)
    shutil.copytree(source.parents[1], source.parents[2] / "spare")
    forger.relabel(source, lambda spec: spec.update(seed=2))
    shutil.move(source.parents[2] / "spare", source.parents[1])
    found = verdicts(forger, tmp_path)
    assert found["cfm-moons-0"].state == found["cfm-moons-2"].state == "refused"


def test_a_smaller_budget_than_the_real_one_is_found_by_training_again(forger, tmp_path):
    forger.relabel(forger.record_of("cfm", 0), lambda spec: spec["plan"].update(steps=3))
    assert verdicts(forger, tmp_path)["cfm-moons-0"].state == "confirmed"
    assert verdicts(forger, tmp_path, retrain=4)["cfm-moons-0"].state == "not confirmed"


def test_chosen_seeds_are_labeled(forger, tmp_path):
    shutil.rmtree(forger.weights_of("cfm", 0).parent)
    assert verdicts(forger, tmp_path)["cfm-moons-1"].labels == ("chosen seeds: 1 instead of 0 to 0",)


@pytest.mark.parametrize(
    ("change", "label"),
    [
        (lambda p: p["training"].update(code={}), "its code is not stated"),
        (lambda p: p["data"].update(original=False), "not the original data"),
        (lambda p: p["data"].update(source="my moons"), "made with other data than that of the same name here"),
    ],
)
def test_other_code_and_other_data_are_labeled(forger, tmp_path, change, label):
    forger.edit(forger.record_of("cfm", 0), lambda record: change(record["provenance"]))
    assert label in verdicts(forger, tmp_path)["cfm-moons-0"].labels


def test_values_without_weights_are_not_replayed(forger, tmp_path):
    forger.weights_of("cfm", 0).unlink()
    verdict = verdicts(forger, tmp_path)["cfm-moons-0"]
    assert (verdict.state, verdict.reason) == ("not replayed", "its weights were not submitted")


def test_verify_prints_every_verdict_and_fails_where_one_is_bad(forger, tmp_path, cli):
    good = forger.submit(tmp_path / "good.genbench.zip")
    assert cli("verify", good, "--sample", "1")[0] == 0
    forger.set_value(forger.record_of("cfm", 0), "sliced_w2", lambda value: value / 2)
    code, out, err = cli("verify", forger.submit(tmp_path / "bad.genbench.zip"), "--sample", "9", "--json")
    states = [verdict["state"] for verdict in json.loads(out)]
    assert (code, states.count("not confirmed"), states.count("confirmed")) == (1, 1, 3)
    assert "1 are not confirmed" in err


def test_a_value_that_is_there_twice_is_refused(forger, tmp_path):
    forger.edit(forger.record_of("cfm", 0), lambda r: r["results"].insert(0, {**r["results"][0], "value": 1e-4}))
    assert verdicts(forger, tmp_path)["cfm-moons-0"].state == "refused"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
def test_values_that_are_no_numbers_are_refused(forger, tmp_path, value):
    path = forger.record_of("cfm", 0)
    archive = tmp_path / "x.genbench.zip"
    forger.submit(archive)
    with opened(archive) as store:
        copy = next(p for p in store.record_paths() if p.parts[-3:] == path.parts[-3:])
        record = json.loads(copy.read_text())
        record.pop("sha256")
        record["results"][0]["value"] = value
        body = ",\n ".join(f'"{name}": {json.dumps(part)}' for name, part in record.items())
        seal = hashlib.sha256(("{" + body).encode()).hexdigest()
        copy.write_text("{" + body + f',\n "sha256": "{seal}"}}\n')
        found = {verdict.name: verdict for verdict in judge(store, sample=0)}
    assert found[f"{path.parts[-3]}/{path.parts[-2]}"].state == "refused"


@pytest.mark.parametrize("spec", ["{", "[" * 200_000, "[1]", "null"])
def test_a_header_of_weights_that_is_no_spec_is_refused_and_the_others_are_judged(forger, tmp_path, spec):
    path = forger.weights_of("cfm", 0)
    state, header = tensors.load(path, WEIGHTS)
    header.pop("sha256", None)
    tensors.save(path, state, {**header, "spec": spec})
    found = verdicts(forger, tmp_path, sample=0)
    assert found.pop("cfm-moons-0").state == "refused"
    assert {verdict.state for verdict in found.values()} == {"not replayed"}


def test_weights_of_another_type_are_judged(forger, tmp_path):
    path = forger.weights_of("cfm", 0)
    state, header = tensors.load(path, WEIGHTS)
    header.pop("sha256", None)
    tensors.save(path, {name: value.bfloat16() for name, value in state.items()}, header)
    assert verdicts(forger, tmp_path)["cfm-moons-0"].values > 0  # rounded, they may confirm the values or not
