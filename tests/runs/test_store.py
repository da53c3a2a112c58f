"""What is kept in a folder is what was asked for: files of other runs, and no files, are noticed by every reader."""

import os
import shutil
import socket
from unittest.mock import Mock

import pytest
import torch
from helpers.records import edit_record

import genbench
from genbench.errors import ConfigError
from genbench.runs.record import Misfiled, read_kept
from genbench.runs.store import run_name


def copy(source, target):
    target.unlink()
    shutil.copyfile(source, target)


def values(record):
    return [row["value"] for row in record["results"]]


def test_a_record_in_the_folder_of_another_run_is_no_record_of_it(cli, swept, runs):
    suite, results = swept
    store, (first, second, *_) = runs
    before = values(store.record(second))
    copy(store.record_path(first), store.record_path(second))
    said = f"{store.record_path(second)} belongs to another run, {run_name(first)}"
    with pytest.raises(Misfiled):
        read_kept(store.record_path(second))
    assert store.record(second) is None
    assert len(store.records()) == 3
    for command in ("results status --results", "report --results", "verify --results"):
        code, out, err = cli(*command.split(), results)
        assert said in " ".join((out + err).split())
    assert (code, "1 refused" in err) == (1, True)
    code, _, err = cli("sweep", suite, "--results", results)
    assert "4 cells, 1 to run" in err
    assert values(store.record(second)) == before


def test_weights_of_another_run_are_set_aside_and_none_of_its_values_is_measured(cli, swept, runs):
    suite, results = swept
    store, (first, second, *_) = runs
    before, misfiled = values(store.record(second)), store.weights_path(first).read_bytes()
    copy(store.weights_path(first), store.weights_path(second))
    said = f"{store.weights_path(second)} belongs to another run, {run_name(first)}"
    code, out, _ = cli("verify", "--results", results, "--sample", 4)
    assert (code, out.count("no difference"), said in " ".join(out.split())) == (1, 3, True)
    with pytest.raises(ConfigError, match="belongs to another run"):
        genbench.load(store.folder(second))
    store.record_path(second).unlink()
    code, _, err = cli("sweep", suite, "--results", results)
    assert code == 0
    assert f"{said}; this run is trained again" in err
    assert values(store.record(second)) == before
    assert store.folder(second).joinpath("model.safetensors.aside").read_bytes() == misfiled
    assert cli("verify", "--results", results, "--sample", 4)[1].count("no difference") == 4


def test_a_record_whose_spec_was_changed_and_sealed_again_is_noticed_and_an_older_one_is_not(runs):
    store, (spec, *_) = runs
    path, places = store.record_path(spec), {"plan": {"steps": 11}, "model": {"sigma": 0.25}}
    for place, name in (("plan", "grid_every"), ("model", "sigma")):  # settings that came after the record
        edit_record(path, lambda record, place=place, name=name: record["spec"][place].pop(name))
    assert store.record(spec) is not None
    before = path.read_bytes()
    places |= {"data": {"scale": "tutorial"}, "evaluation": {"n": 65}, "sample": {"tol": 0.25}}
    for place, change in places.items():
        assert change.keys() <= spec.json()[place].keys()
        path.write_bytes(before)
        edit_record(path, lambda record, place=place, change=change: record["spec"][place].update(change))
        assert store.record(spec) is None


def test_a_run_that_was_copied_elsewhere_is_read_under_any_name(runs, tmp_path, cli):
    store, (spec, *_) = runs
    shutil.copytree(store.folder(spec), tmp_path / "mine")
    assert genbench.load(tmp_path / "mine").sample(torch.zeros(3, 2)).x.shape == (3, 2)
    (tmp_path / "link").symlink_to(store.folder(spec))
    assert genbench.load(tmp_path / "link")
    refused = cli("eval", tmp_path / "mine", "--metric", "nfe", "--results", store.root)
    assert (refused[0], "mine is not a run in" in refused[2]) == (2, True)


def put(what, path):
    """Put what is no file, or too large to be read, in place of a file."""
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "socket":
        here = os.getcwd()
        os.chdir(path.parent)
        socket.socket(socket.AF_UNIX).bind(path.name)
        os.chdir(here)
    elif what == "large":
        with path.open("wb") as file:
            file.truncate(2**40)
    else:
        path.symlink_to({"device": "/dev/zero", "link to nothing": "nowhere"}[what])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("both", [False, True], ids=["record", "record and weights"])
@pytest.mark.parametrize("kinds", [("pipe", "folder", "socket"), ("large", "device", "link to nothing")])
def test_what_is_no_file_in_place_of_a_record_or_of_weights_ends_at_once(cli, swept, runs, kinds, both):
    _, results = swept
    store, specs = runs
    paths = dict(zip(kinds, map(store.record_path, specs[:3]), strict=True))  # one record remains
    for path, spec in zip(paths.items(), specs[:3], strict=True):
        put(*path)
        if both:
            put(path[0], store.weights_path(spec))
    for command, expected in (("results status", 0), ("verify", 1), ("report", 0)):
        code, out, err = cli(*command.split(), "--results", results)
        assert code == expected
        named = {what for what, path in paths.items() if str(path) in out + err}
        assert named | {"link to nothing"} == {*kinds, "link to nothing"}  # before Python 3.13, glob() passes it over
    assert cli("results", "clean", "--dry-run", "--results", results) == (0, "", f"{results}: 0 would be removed\n")


def test_a_process_that_dies_while_it_writes_a_record_leaves_no_failure(runs, monkeypatch):
    store, (spec, *_) = runs
    record = store.record(spec)
    store.record_path(spec).unlink()
    store.write_failure(spec, "on fire")
    assert store.failure(spec) == "on fire"
    store.write_failure(spec, "")  # of `raise RunFailed("")` in a component
    assert next(iter(store.failures()))[1]["failure"] == "-"
    monkeypatch.setattr("genbench.storage.files.write", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.write_record(spec, record)
    assert (store.failure(spec), [*store.failures()]) == (None, [])


def test_measuring_again_in_vain_does_not_mark_a_complete_run_as_failed(runs):
    store, (spec, *_) = runs
    store.write_failure(spec, "on fire")
    assert (store.failure(spec), [*store.failures()]) == (None, [])


def test_what_is_no_record_of_a_run_is_set_aside_before_another_is_written(runs, caplog):
    store, (spec, other, *_) = runs
    path = store.record_path(spec)
    record = store.record(spec)
    edit_record(path, lambda record: record["spec"]["model"].update(sigma=0.25))  # the default of that day
    of_old_default = path.read_bytes()
    misfiled = store.record_path(other).read_bytes()
    for content in (of_old_default, misfiled, b"damaged"):
        path.write_bytes(content)
        assert store.record(spec) is None
        with store.hold(spec) as held:
            held.write_record(spec, record)
        assert store.record(spec) == record
    kept = [path.with_name(f"record.json.aside{number}") for number in ("", 2, 3)]
    assert [file.read_bytes() for file in kept] == [of_old_default, misfiled, b"damaged"]
    assert f"{path} was set aside as record.json.aside3" in caplog.text
    assert len(store.records()) == 4
