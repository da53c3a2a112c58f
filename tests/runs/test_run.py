"""Prerequisites: an encoder, or a teacher, is trained once by a run of its own, whatever happens meanwhile."""

import shutil
import urllib.error
import urllib.request
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from helpers.image_trees import write_images
from helpers.processes import together
from helpers.toy_nets import UNET

from genbench.errors import ConfigError, RunFailed
from genbench.metrics.evaluation import Value
from genbench.models.latent.autoencoder import Autoencoder
from genbench.registry import metrics
from genbench.results.frames import cost_of, frame
from genbench.results.status import of_folder
from genbench.results.verifying import verify
from genbench.runs import provenance, versions
from genbench.runs.make_spec import make_spec, restore_spec
from genbench.runs.record import read_record
from genbench.runs.run import Launch, run
from genbench.runs.store import Store, spec_at
from genbench.runs.weights_file import read_weights
from genbench.storage.lease import Busy
from genbench.sweeps.execution import execute

TINY = {"plan": {"steps": 3, "batch_size": 8}, "evaluation": {"n": 16, "curve": []}}


def latent(seed=0, dataset="digits", model="cfm", steps=4, nfe=2, **settings):
    encoder = {"name": "autoencoder", "width": 8, "steps": 10, "tune": 8, "noise": 0.3}
    plan = {"steps": steps, "batch_size": 16}
    sections = {"model": {"net": UNET, "encoder": encoder} | settings, "plan": plan}
    sections |= {"sample": {"method": "euler", "steps": nfe}, "evaluation": {"n": 16, "curve": []}}
    return make_spec(model, dataset, seed=seed, metrics=["norm"], settings=sections)


def weights(store, spec):
    state, *_ = read_weights(store.weights_path(spec))
    return state


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store in which a latent model was run without disturbance."""
    store = Store(tmp_path_factory.mktemp("whole"))
    run(latent(), store)
    return store


@pytest.fixture
def own(whole, tmp_path):
    """A copy of that store, which the test may change."""
    return Store(shutil.copytree(whole.root, tmp_path / "own"))


def test_an_encoder_is_a_run_that_all_seeds_share(own):
    spec = latent()
    encoder = spec.prerequisites["encoder"]
    assert own.folder(encoder).name.startswith("autoencoder-digits-0-")
    record = read_record(own.record_path(encoder))
    assert record["results"] == []
    assert record["labels"]["model"] == "autoencoder width=8 steps=10 noise=0.3 tune=8"
    assert restore_spec(record["spec"]) == encoder
    assert spec_at(own.folder(encoder)) == encoder
    inner = {n.removeprefix("encoder."): v for n, v in weights(own, spec).items() if n.startswith("encoder.")}
    outer = weights(own, encoder)
    assert all(torch.equal(inner[name], outer[name]) for name in outer if name not in ("shift", "scale"))
    assert not list(own.root.rglob("*checkpoint*"))
    assert {path.parent.name for path in own.folder(encoder).rglob("train.csv")} == {"reconstruction", "decoder"}
    before = own.weights_path(encoder).stat().st_mtime_ns
    run(latent(seed=1), own)
    assert own.weights_path(encoder).stat().st_mtime_ns == before
    cost = read_record(own.record_path(spec))["provenance"]["training"]["cost"]
    assert cost["total_train_seconds"] == pytest.approx(cost["train_seconds"] + cost["encoder_seconds"], abs=1e-3)


def test_adding_a_metric_keeps_code_machine_and_cost_of_the_older_values(tmp_path, monkeypatch):
    first, both = (make_spec("cfm", "moons", metrics=m, settings=TINY) for m in (["nfe"], ["nfe", "norm"]))
    store = Store(tmp_path)
    before = run(first, store)["provenance"]
    here = provenance.machine(torch.device("cpu"))
    monkeypatch.setattr(provenance, "machine", lambda device: {**here, "processor": "Another", "device": "H100"})
    monkeypatch.setattr(provenance, "code", lambda: {"genbench": "0.2", "training": 1})
    record = run(both, store)
    after = record["provenance"]
    assert after["training"] == before["training"]
    assert after["measurements"][0] == before["measurements"][0]
    assert after["measurements"][1]["metrics"] == ["norm"]
    assert after["measurements"][1]["machine"]["processor"] == "Another"
    assert after["measurements"][1]["code"]["genbench"] == "0.2"
    spent = cost_of(record)
    assert spent["evaluate_seconds"] == before["measurements"][0]["cost"]["evaluate_seconds"]  # H100 seconds are others
    newer = replace(first, metrics={"nfe": {**first.metrics["nfe"], "version": 2}})
    remeasured = run(newer, store)["provenance"]["measurements"]
    assert [each["metrics"] for each in remeasured] == [["norm"], ["nfe"]]
    store.record_path(first).unlink()  # measured from scratch elsewhere: the training is still the one of here
    assert run(both, store)["provenance"]["training"] == before["training"]


def test_values_keep_the_training_that_made_them_when_weights_are_gone_and_trained_anew(tmp_path):
    first, both = (make_spec("cfm", "moons", metrics=m, settings=TINY) for m in (["norm"], ["nfe", "norm"]))
    store = Store(tmp_path)
    before = run(first, store)
    store.weights_path(first).unlink()
    assert run(replace(first, metrics={}), store) == before  # as the teacher of another run
    anew = read_weights(store.weights_path(both)).training
    assert anew != before["provenance"]["training"]
    after = run(both, store)["provenance"]
    assert after["training"] == before["provenance"]["training"]
    assert [(each["metrics"], each.get("training")) for each in after["measurements"]] == [
        (["norm"], None),
        (["nfe"], anew),
    ]
    store.record_path(first).unlink()
    assert run(both, store)["provenance"]["training"] == anew


def test_a_value_that_could_not_be_read_again_is_not_saved_and_costs_no_older_value(tmp_path):
    spec, store = make_spec("cfm", "moons", metrics=["nfe"], settings=TINY), Store(tmp_path)
    before = run(spec, store)

    @metrics.register("odd", version=1, better="none", of="samples")
    def odd(evaluation):
        return Value(1.0, 16, "p", details={"standard_error": -1.0})

    try:
        with pytest.raises(RunFailed, match=r"what no record can hold: results.*standard_error: -1.0 is wrong"):
            run(make_spec("cfm", "moons", metrics=["nfe", "odd"], settings=TINY), store)
    finally:
        del metrics._entries["odd"]
    assert store.record(spec) == before


def test_weights_of_networks_are_downloaded_before_the_first_step(tmp_path, own_home, monkeypatch):
    """The headline value of a training of days was missing, for a reason that was known before its first step."""

    def fail(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    monkeypatch.delenv("GENBENCH_OFFLINE")
    write_images(tmp_path / "images", {"train": 9, "test": 4})
    settings = {"data": {"path": str(tmp_path / "images"), "size": 8, "valid": 0.0}, "model": {"net": UNET}}
    settings |= {"plan": {"steps": 2, "batch_size": 8}, "sample": {"method": "euler", "steps": 1}}
    settings |= {"evaluation": {"n": 8, "curve": []}}
    spec, store = make_spec("cfm", "folder", metrics=["kid", "norm"], settings=settings), Store(tmp_path)
    missing = r"inception-2015-12-05.pt cannot be downloaded \(no network\): put https.*"
    with pytest.raises(ConfigError, match=rf"^kid: {missing}; GENBENCH_OFFLINE=1 trains without its values$"):
        run(spec, store)
    assert not store.weights_path(spec).exists()


def test_records_name_the_code_that_training_began_with(tmp_path):
    """A checkout that moved meanwhile was named for a training that it had no part in."""
    known = []
    provenance.code.cache_clear()
    spec = make_spec(
        "cfm", "moons", metrics=["norm"], settings={"plan": {"steps": 2}, "evaluation": {"n": 64, "curve": []}}
    )
    run(spec, Store(tmp_path), progress=lambda *_: known.append(provenance.code.cache_info().currsize))
    assert known[0] == 1


def test_runs_without_metrics_are_no_rows_of_tables(own):
    run(latent(seed=1), own)
    encoder = latent().prerequisites["encoder"]
    records = list(own.records())
    assert {record["labels"]["model"] for record in records} >= {"autoencoder width=8 steps=10 noise=0.3 tune=8"}
    assert set(frame(records)["seed"]) == {0, 1}
    folder = of_folder(own)
    assert (folder.records, folder.prerequisites) == (2, 1)
    assert not folder.stale
    assert sorted(verdict.state for verdict in verify(own, sample=9)) == ["confirmed", "confirmed", "not measured"]
    record = read_record(own.record_path(encoder))
    assert versions.why_outdated(record) is None
    older = {**record, "spec": {**record["spec"], "model": {**record["spec"]["model"], "version": 0}}}
    assert "version 0 of encoder 'autoencoder'" in versions.why_outdated(older)


def test_damaged_weights_of_an_encoder_are_reported_and_trained_again(whole, tmp_path, caplog):
    store, encoder = Store(tmp_path), latent().prerequisites["encoder"]
    run(encoder, store)
    path = store.weights_path(encoder)
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    run(latent(), store)
    assert f"{path} is damaged: its checksum differs; it is trained again" in caplog.text
    assert equal(weights(store, encoder), weights(whole, encoder))
    assert equal(weights(store, latent()), weights(whole, latent()))
    path.unlink()  # the record alone is not enough
    run(latent(seed=1), store)
    assert equal(weights(store, encoder), weights(whole, encoder))


def test_a_run_whose_encoder_is_being_trained_is_busy(whole, tmp_path):
    store, spec = Store(tmp_path), latent()
    with store.hold(spec.prerequisites["encoder"]), pytest.raises(Busy, match="autoencoder-digits-0-"):
        run(spec, store, launch=Launch(wait=0.0))
    assert not list(tmp_path.rglob("failure.json"))
    encoder = spec.prerequisites["encoder"]
    run(encoder, store)
    store.record_path(encoder).unlink()
    with store.hold(encoder):  # weights are enough: the record is written by the process that holds the encoder
        run(spec, store)
    assert equal(weights(store, spec), weights(whole, spec))


def test_a_failed_encoder_is_the_failure_of_its_models(tmp_path, monkeypatch):
    def calibrate(self, data):
        raise RunFailed("channel 1 of the latents is the same for all images")

    monkeypatch.setattr(Autoencoder, "calibrate", calibrate)
    store, spec = Store(tmp_path), latent()
    with pytest.raises(RunFailed, match=r"^the encoder, autoencoder width=8 .*: channel 1 of the latents"):
        run(spec, store)
    assert "the encoder" in store.failure(spec)
    assert store.failure(spec.prerequisites["encoder"]).startswith("channel 1")
    monkeypatch.undo()
    run(spec, store)
    assert [path for path, _ in store.failures()] == []


def test_a_model_that_is_incompatible_with_the_data_trains_no_encoder(tmp_path, monkeypatch):
    spec, store = latent(), Store(tmp_path)
    monkeypatch.setattr("genbench.core.tasks.Normal", type("Other", (), {}))
    record = run(spec, store)
    assert [row["value"] for row in record["results"]] == [None]
    assert [path.name for path in store.runs.iterdir()] == [store.folder(spec).name]


def test_a_teacher_of_latents_needs_the_encoder_too(own):
    spec = latent(model="reflow", pairs=16)
    assert spec.prerequisites["teacher"] == replace(latent(), metrics={})
    assert spec.prerequisites["teacher"].prerequisites["encoder"] == spec.prerequisites["encoder"]
    before = own.weights_path(latent()).stat().st_mtime_ns
    cost = run(spec, own)["provenance"]["training"]["cost"]
    assert own.weights_path(latent()).stat().st_mtime_ns == before
    assert cost["teacher_steps"] == 4
    assert {"encoder_seconds", "teacher_seconds", "pair_seconds"} <= cost.keys()
    runs = [spec, *spec.prerequisites.values()]
    each = [read_record(own.record_path(one))["provenance"]["training"]["cost"] for one in runs]
    seconds = sum(cost["train_seconds"] + cost.get("pair_seconds", 0.0) for cost in each)
    assert cost["total_train_seconds"] == pytest.approx(seconds, abs=1e-3)  # the encoder counts once


@pytest.mark.parametrize("processes", [1, 2])
def test_a_failed_encoder_can_be_retried(tmp_path, processes, forked_workers):
    """The plan of an encoder is empty in its spec: its stages have plans."""
    spec = latent(encoder={"name": "autoencoder", "width": 8, "steps": 30, "lr": 1e30})
    store = Store(tmp_path)
    with pytest.raises(RunFailed):
        run(spec, store)
    failed = [restore_spec(failure["spec"]) for _, failure in store.failures()]
    assert "encoder" in {one.kind for one in failed}
    reasons = execute(failed, store, processes, lambda event: None)
    assert all("not finite" in reason for reason in reasons)


def run_beside_its_prerequisite(folder):
    """Run what needs an encoder while another run holds that, untrained and then trained; return how each ended."""
    spec, store, ends = latent(), Store(folder), []
    encoder, group = spec.prerequisites["encoder"], Launch("cpu").group()
    for _ in range(2):
        with store.hold(encoder) if group.is_first else nullcontext():
            group.broadcast(None)  # wait until the first holds the lease
            try:
                run(spec, store, launch=Launch("cpu", wait=0.5))
                ends.append("done")
            except Busy:
                ends.append("busy")
        run(encoder, store, launch=Launch("cpu"))
        if group.is_first:
            store.record_path(encoder).unlink()  # so that it runs again
    return ends


def test_all_processes_learn_that_a_prerequisite_is_busy(tmp_path):
    assert together(2, run_beside_its_prerequisite, tmp_path) == [["busy", "done"]] * 2


def evaluate_together(folder, specs):
    for spec in specs:
        run(spec, Store(folder), launch=Launch("cpu"), may_train=False)


def test_processes_share_an_evaluation_and_write_the_same_record(tmp_path):
    small = {"plan": {"steps": 2, "batch_size": 12}, "evaluation": {"n": 50, "batch": 16, "curve": [2]}}
    sizes = {"metric": {"nll": {"n": 20}, "straightness": {"n": 20}}}
    images = {"metric": {"bits_per_dim": {"n": 4}}, "model": {"net": UNET}, "sample": {"method": "euler", "steps": 2}}
    specs = [
        make_spec("cfm", "moons", metrics=["w2", "nll", "straightness", "nfe"], settings=small | sizes),
        make_spec("cfm", "digits", metrics=["fd-digits_cnn", "bits_per_dim"], settings=small | images),
    ]
    for spec in specs:
        run(replace(spec, metrics={}), Store(tmp_path / "one"))  # the weights, by one process
    shutil.copytree(tmp_path / "one", tmp_path / "shared")
    for spec in specs:
        run(spec, Store(tmp_path / "one"))
    together(3, evaluate_together, tmp_path / "shared", specs)
    for spec in specs:
        paths = [Store(tmp_path / name).record_path(spec) for name in ("one", "shared")]
        alone, shared = map(read_record, paths)
        assert len(alone["results"]) >= 3
        assert all(row["value"] is not None for row in alone["results"])
        assert shared["results"] == alone["results"]
        assert (paths[1].parent / "samples.npz").read_bytes() == (paths[0].parent / "samples.npz").read_bytes()
