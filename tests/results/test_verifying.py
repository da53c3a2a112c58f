"""Verdicts on records of a results folder and of a submission: honest, damaged and forged ones."""

import hashlib
import json
import os
import shutil

import pandas as pd
import pytest
import torch
from helpers.records import edit_record, main_row

import genbench
from genbench.results import verifying
from genbench.results.archive import opened
from genbench.results.verifying import Guest, verify
from genbench.runs.weights_file import WEIGHTS
from genbench.storage import tensors


def verdicts(forger, tmp_path, **options):
    with opened(forger.submit(tmp_path / "x.genbench.zip")) as store:
        found = list(verify(store, **{"sample": 99, "guest": Guest()} | options))
    return {verdict.name.partition("/")[0].rsplit("-", 1)[0]: verdict for verdict in found}


@pytest.mark.parametrize("guest", [None, Guest()])
def test_honest_records_are_confirmed_in_every_value(forger, tmp_path, guest):
    found = verdicts(forger, tmp_path, retrain=1, guest=guest)
    assert {verdict.state for verdict in found.values()} == {"confirmed"}
    assert all(verdict.values == 3 and not verdict.labels and not verdict.worst for verdict in found.values())


def test_a_submission_is_verified_also_where_no_verdict_can_be_stored(forger, tmp_path, monkeypatch, cli):
    path = forger.submit(tmp_path / "x.genbench.zip")
    monkeypatch.setenv("GENBENCH_HOME", "/proc/nothing")
    code, _, err = cli("verify", path, "--sample", "2")
    assert (code, "2 confirmed" in err) == (0, True)
    assert err.count("cannot be stored for genbench leaderboard --add: /proc/nothing/verified: No such file") == 1


def test_every_record_has_a_verdict_when_measuring_one_of_them_raises(forger, tmp_path, monkeypatch, cli):
    """Whatever a model raises: the others are measured, and the verdict names the run (C12)."""
    forger.set_value(forger.record_of("wcfm", 1), "sliced_w2", lambda value: value / 2)
    measure = verifying.measure_again

    def broken(path, spec, train):
        if spec.model["name"] == "cfm":
            raise KeyError("beta") if spec.seed else MemoryError("too large")
        return measure(path, spec, train)

    monkeypatch.setattr(verifying, "measure_again", broken)
    states = {name: verdict.state for name, verdict in verdicts(forger, tmp_path, guest=None).items()}
    assert states == {
        "cfm-moons-0": "not measured",
        "cfm-moons-1": "not confirmed",
        "wcfm-moons-0": "confirmed",
        "wcfm-moons-1": "not confirmed",
    }
    code, out, _ = cli("verify", "--results", forger.store.root, "--sample", 9)
    assert code == 1
    assert "no values from its weights: KeyError: 'beta'" in " ".join(out.split())
    assert sum(line.startswith(("confirmed", "not ")) for line in out.splitlines()) == 4


EDITS = [("value", lambda value, factor=factor: value * factor, "value") for factor in (0.5, 0.99, 1.01)]
EDITS += [
    ("floor", lambda floor: floor / 2, "floor"),
    ("better", lambda better: "higher", "better"),
    ("protocol", lambda protocol: f"{protocol} of 50,000", "protocol"),
    ("n", lambda n: 50_000, "n"),
    ("nfe", lambda nfe: 1.0, "nfe"),
    ("details", lambda details: {**details, "n_reference": 1.0}, "n_reference"),
]


@pytest.mark.parametrize("edits", [EDITS[:4], EDITS[4:8], EDITS[8:]], ids=["first", "second", "third"])
def test_an_edited_value_or_field_is_not_confirmed_and_the_difference_is_stated(forger, tmp_path, edits):
    """Each run of the submission has another edit."""
    runs = [(model, seed) for model in ("cfm", "wcfm") for seed in (0, 1)][: len(edits)]
    for (model, seed), (field, change, _) in zip(runs, edits, strict=True):
        forger.set_value(forger.record_of(model, seed), "sliced_w2", change, field)
    found = verdicts(forger, tmp_path)
    for (model, seed), (field, change, named) in zip(runs, edits, strict=True):
        verdict = found[f"{model}-moons-{seed}"]
        (difference,) = verdict.different
        assert (verdict.state, difference.row, difference.field) == ("not confirmed", "sliced_w2", named)
        if field == "value":
            assert difference.one == pytest.approx(change(difference.other))
            assert difference.relative == pytest.approx(abs(change(1) - 1) / max(change(1), 1))


def rewrite(path, change=lambda value: value, **header):
    """Write weights again, with another header."""
    state, known = tensors.load(path, WEIGHTS)
    known.pop("sha256", None)
    tensors.save(path, {name: change(value) for name, value in state.items()}, known | header)


def give_twice(forger):
    """Submit seed 0 as seed 2 too."""
    source = forger.record_of("cfm", 0)
    shutil.copytree(source.parents[1], source.parents[2] / "spare")
    forger.relabel(source, lambda spec: spec.update(seed=2))
    shutil.move(source.parents[2] / "spare", source.parents[1])


def other_weights(forger):
    forger.put_weights(forger.weights_of("cfm", 1), forger.weights_of("cfm", 0))
    shutil.rmtree(forger.weights_of("cfm", 1).parent)


def first_value(value):
    """Return a change of the text of a record, sealed again."""

    def change(forger):
        path = forger.record_of("cfm", 0)
        record = json.loads(path.read_text())
        record.pop("sha256")
        record["results"][0]["value"] = value
        body = ",\n ".join(f'"{name}": {json.dumps(part)}' for name, part in record.items())
        seal = hashlib.sha256(("{" + body).encode()).hexdigest()
        path.write_text("{" + body + f',\n "sha256": "{seal}"}}\n')

    return change


def edit(change):
    return lambda forger: edit_record(forger.record_of("cfm", 0), change)


def without_seal(forger):
    path = forger.record_of("cfm", 0)
    path.write_text(path.read_text().replace('"value": 0.', '"value": 0.0', 1))


REFUSED = {
    "a value edited without its seal": without_seal,
    "a label of its own": edit(lambda record: record["labels"].update(model="cfm best")),
    "a label of a default": edit(lambda record: record["labels"].update(model="cfm coupling={name=independent}")),
    "a distance below 0": lambda f: f.set_value(f.record_of("cfm", 0), "sliced_w2", lambda value: -5.0),
    "a value that is not a number": first_value(float("nan")),
    "a value that is infinite": first_value(float("inf")),
    "a value of 400 digits": first_value(10**400),
    "a value that is there twice": edit(lambda r: r["results"].insert(0, {**r["results"][0], "value": 1e-4})),
    "a metric that its spec does not have": edit(lambda record: record["spec"].update(metrics={})),
    "other steps": edit(lambda record: record["spec"]["plan"].update(steps=11)),
    "more samples": edit(lambda record: record["spec"]["evaluation"].update(n=50_000)),
    "the record of another run": lambda f: shutil.copyfile(f.record_of("cfm", 1), f.record_of("cfm", 0)),
    "the weights of another run": lambda f: shutil.copyfile(f.weights_of("cfm", 1), f.weights_of("cfm", 0)),
    "weights used twice": lambda f: f.put_weights(f.weights_of("cfm", 1), f.weights_of("cfm", 0)),
    "a seed given twice": give_twice,
    "weights that are cut": lambda f: f.weights_of("cfm", 0).write_bytes(f.weights_of("cfm", 0).read_bytes()[:-1]),
    **{
        f"weights of the spec {text[:4]}": lambda f, text=text: rewrite(f.weights_of("cfm", 0), spec=text)
        for text in ("{", "[" * 200_000, "[1]", "null")
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_contradicts_itself_is_refused_and_not_submitted(forger, tmp_path, cli, name):
    REFUSED[name](forger)
    found = verdicts(forger, tmp_path, sample=0)
    assert found.pop("cfm-moons-0").state == "refused"
    twice = {"weights used twice": "cfm-moons-1", "a seed given twice": "cfm-moons-2"}.get(name)
    assert {other for other, verdict in found.items() if verdict.state == "refused"} == ({twice} if twice else set())
    path = tmp_path / "y.genbench.zip"
    runs = [run.name for run in forger.store.runs.iterdir()]
    code, _, err = cli("results", "submit", *runs, "--to", path, "--results", forger.store.root)
    assert (code, err.count("\n"), path.exists()) == (2, 1, False)


def call_seed_1(forger):
    forger.relabel(forger.record_of("cfm", 0), lambda spec: spec.update(seed=1))


NOT_CONFIRMED = {
    "an invented row": edit(
        lambda r: r["results"].append({**r["results"][0], "metric": "sliced_w2.best", "value": 0.01})
    ),
    "another value": edit(lambda record: main_row(record).update(value=0.01)),
    "a row left out": edit(lambda record: record["results"].pop(0)),
    "other weights under the right header": other_weights,
    "weights that are not finite": lambda f: rewrite(f.weights_of("cfm", 0), lambda x: torch.full_like(x, torch.nan)),
    "another seed": call_seed_1,
}


@pytest.mark.parametrize("name", NOT_CONFIRMED)
def test_values_that_the_weights_do_not_give_are_not_confirmed(forger, tmp_path, cli, name):
    NOT_CONFIRMED[name](forger)
    path = forger.submit(tmp_path / "bad.genbench.zip")
    code, out, err = cli("verify", path, "--sample", "9", "--json")
    (wrong,) = [verdict for verdict in json.loads(out) if verdict["state"] != "confirmed"]
    assert wrong["name"].startswith("cfm-moons-1" if name == "another seed" else "cfm-moons-0")
    assert name != "another value" or [told.partition(":")[0] for told in wrong["different"]] == ["sliced_w2"]
    assert (code, "1 not confirmed" in err) == (1, True)


def test_equal_weights_under_two_keys_of_one_seed_are_no_forgery(forger, tmp_path, cli):
    """A run that is also evaluated during training has the same weights under another key (C11)."""
    source = forger.record_of("cfm", 0)
    shutil.copytree(source.parents[1], source.parents[2] / "spare")
    run = forger.relabel(source, lambda spec: spec["plan"].update(eval_every=5))
    shutil.move(source.parents[2] / "spare", source.parents[1])
    with opened(forger.submit(tmp_path / "x.genbench.zip")) as store:
        found = list(verify(store, sample=99, guest=Guest()))
    assert {verdict.state for verdict in found} == {"confirmed"}
    assert sum(run.name in " ".join(verdict.labels) for verdict in found) == 2
    arguments = ("results", "submit", run.name, source.parts[-3], "--to", tmp_path / "y.genbench.zip")
    assert cli(*arguments, "--results", forger.store.root)[0] == 0


def test_a_smaller_budget_than_the_real_one_is_found_by_training_again(forger, tmp_path):
    forger.relabel(forger.record_of("cfm", 0), lambda spec: spec["plan"].update(steps=3))
    assert verdicts(forger, tmp_path)["cfm-moons-0"].state == "confirmed"
    assert verdicts(forger, tmp_path, retrain=4)["cfm-moons-0"].state == "not confirmed"


def test_chosen_seeds_and_other_data_are_labeled_and_values_without_weights_not_measured(forger, tmp_path):
    shutil.rmtree(forger.weights_of("cfm", 0).parent)
    edit_record(forger.record_of("wcfm", 0), lambda r: r["provenance"]["data"].update(source="my moons"))
    edit_record(forger.record_of("cfm", 1), lambda record: [row.pop("details", 0) for row in record["results"]])
    rewrite(forger.weights_of("wcfm", 0), lambda value: value.bfloat16())
    forger.weights_of("wcfm", 1).unlink()
    found = verdicts(forger, tmp_path)
    assert found["cfm-moons-1"].labels == ("chosen seeds: 1 instead of 0 to 0",)
    assert found["cfm-moons-1"].state == "confirmed"  # though the record states no details yet
    assert "made with other data than the data set of this name here" in found["wcfm-moons-0"].labels
    assert found["wcfm-moons-0"].values > 0  # rounded, they may confirm the values or not
    lost = found["wcfm-moons-1"]
    assert (lost.state, lost.reason) == ("not measured", "its weights are not here")


def test_labels_of_another_model_or_of_other_data_have_no_effect(forger, cli):
    root = forger.store.root
    before = genbench.table(root)
    edit_record(forger.record_of("cfm", 0), lambda record: record["labels"].update(model="starflow", data="8gaussians"))
    pd.testing.assert_frame_equal(genbench.table(root), before)  # the published record stands in
    code, out, _ = cli("verify", "--results", root, "--sample", 0)
    assert code == 1
    assert "labels.model: it is not the label of 'cfm'" in " ".join(out.split())


def test_names_of_folders_cannot_write_to_the_terminal(forger, cli):
    run = next((forger.store.root / "runs").iterdir())
    run.rename(run.with_name(run.name + "\x1b]0;title\x07\x1b[2J\nforged: no difference"))
    out = cli("verify", "--results", forger.store.root, "--sample", 0)[1]
    assert "\x1b" not in out
    assert not any(line.startswith("forged") for line in out.splitlines())


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("nowhere", path)])
def test_weights_that_are_not_a_file_are_refused(forger, cli, make):
    path = forger.weights_of("cfm", 0)
    path.unlink()
    make(path)
    assert "1 refused" in cli("verify", "--results", forger.store.root, "--sample", 0)[2]


EQUAL_BY_CHANCE = [
    ("gaussian", "digits", {}),
    ("cfm", "moons", {"plan": {"steps": 3}, "sample": {"method": "euler", "steps": 4}}),
]


@pytest.mark.parametrize(("model", "data", "settings"), EQUAL_BY_CHANCE)
def test_seeds_that_are_equal_without_a_forgery_are_labeled(tmp_path, cli, model, data, settings):
    """A baseline that is not trained has the same weights for all seeds; two trained models have the same counts."""
    results, settings = tmp_path / "r", {**settings, "evaluation": {"n": 16, "curve": []}}
    for seed in (0, 1):
        genbench.run(model, data, seed=seed, metrics=["nfe", "failed"], settings=settings, results=results)
    code, out, err = cli("verify", "--results", results, "--sample", 2)
    assert (code, "2 confirmed" in err) == (0, True), out + err
    assert ("the same weights: gaussian-digits-0" in " ".join(out.split())) == (model == "gaussian")
    runs = [run.name for run in (results / "runs").iterdir()]
    assert cli("results", "submit", *runs, "--to", tmp_path / "x.genbench.zip", "--results", results)[0] == 0


def test_what_a_running_sweep_removes_is_no_damage(forger, monkeypatch, cli):
    """A record is set aside after the folder was listed."""
    record, read = forger.record_of("cfm", 0), verifying.read_kept

    def read_later(path):
        path.unlink() if path == record else None
        return read(path)

    monkeypatch.setattr(verifying, "read_kept", read_later)
    code, out, err = cli("verify", "--results", forger.store.root, "--sample", 0)
    assert (code, "3 not measured" in err) == (0, True), out + err


def test_a_request_of_another_author_that_exceeds_memory_is_not_measured(forger, tmp_path):
    forger.relabel(forger.record_of("cfm", 0), lambda spec: spec["plan"].update(batch_size=10**15))
    verdict = verdicts(forger, tmp_path)["cfm-moons-0"]
    assert verdict.state == "not measured"
    assert "plan.batch_size" in verdict.reason
    assert "of memory" in verdict.reason
