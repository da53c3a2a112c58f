"""Sweeps that are killed, stopped, doubled, or meet with a full disk or damaged files, end as if nothing had been."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.records import published

from genbench.runs.weights_file import WEIGHTS
from genbench.storage import tensors

SUITE = """
datasets = ["moons"]
models = ["cfm", "wcfm"]
metrics = ["sliced_w2"]
plan = {steps = 4, batch_size = 16, ema = 0.9}
evaluation = {n = 32, curve = [1]}
"""
# Two cells of one trained model, and one of another: the first two are one piece of work.
SHARED = SUITE.replace('"cfm",', '"cfm", {name = "cfm", sample = {method = "euler", steps = 2}},')
# Two models that are trained as one stack, with a state that moves as they draw.
BOTH = '{name = "wcfm", kappa = [0.5, 1.0], normalizer = "running"}'
STACKED = SUITE.replace('"cfm", "wcfm"', BOTH) + 'stack = ["seed", "kappa"]\n'
# Two models of latents, which share an encoder.
LATENT = """
datasets = ["digits"]
metrics = ["norm"]
seeds = [0, 1]
plan = {steps = 4, batch_size = 16}
evaluation = {n = 32, curve = []}

[[models]]
name = "cfm"
net = {name = "unet", channels = 4, blocks = 1, multipliers = [1], attention = []}
encoder = {name = "autoencoder", width = 4, steps = 4, noise = 0.3, tune = 3}
sample = {method = "euler", steps = 2}
"""
TABLES = ("md", "csv")
DURABLE = "fsync rename replace"


class Driver:
    """Runs sweeps of one suite over one results folder, in forks of the process faults.py."""

    def __init__(self, process, folder, text):
        self.folder, self.results, self.suite = folder, folder / "results", folder / "tiny.toml"
        self.suite.write_text(text)
        self.process, self.arguments = process, ["sweep", str(self.suite), "--results", str(self.results)]
        first = self.ask(first=self.arguments)
        assert first["code"] == 0, first["stderr"]
        assert ", 0 to run" in self.sweep(0)["said"][0]
        self.undisturbed = self.outcome()
        self.fresh()
        calls = [(kind, moment) for moment, kind in enumerate(self.sweep(0)["kinds"], 1)]
        self.check()
        self.moments = sorted(dict(reversed(calls)).values())  # the first of each kind
        self.late = sorted(dict(calls).values())[1::6]  # the last of some kinds

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def sweep(self, code=None, *, beside=0, jobs=1, fault=None, save_every=0, **request):
        arguments = [*self.arguments, "--jobs", str(jobs)]
        request |= {"sweeps": [arguments] * (1 + beside), "fault": fault, "save_every": save_every}
        answer = self.ask(**request)
        assert answer["left"] == 0, "a process outlived its parent"
        assert "Traceback" not in "".join(answer["said"])
        if code is not None:
            assert answer["codes"] == [code] * (1 + beside), answer["said"]
        return answer

    def fresh(self):
        shutil.rmtree(self.results, ignore_errors=True)

    def outcome(self):
        """What has to be the same: tables, records without provenance, logs of training, weights."""
        found = {ending: (self.results / f"tiny/table.{ending}").read_bytes() for ending in TABLES}
        found["records"] = published(self.results / "tiny/records.jsonl.gz")
        for path in sorted(self.results.glob("runs/*/*/record.json")):
            record = json.loads(path.read_text())
            found[str(path.relative_to(self.results))] = [record[part] for part in ("labels", "spec", "results")]
        for path in sorted(self.results.glob("runs/**/train.csv")):
            found[str(path.relative_to(self.results))] = path.read_bytes()
        for path in sorted(self.results.glob("runs/*/model.safetensors")):
            state = tensors.load(path, WEIGHTS)[0]
            found[str(path.relative_to(self.results))] = {name: x.numpy().tobytes() for name, x in state.items()}
        return found

    def check(self):
        """Nothing differs from the undisturbed sweep, and nothing is left over."""
        assert self.outcome() == self.undisturbed
        paths = [path.relative_to(self.results) for path in self.results.rglob("*")]
        names = [str(path) for path in paths if path != Path("leases")]
        assert not [name for name in names if any(word in name for word in (".tmp", "lease", "checkpoint", "failure"))]


@pytest.fixture(scope="module")
def process():
    """The process faults.py, which imports genbench once for all suites."""
    command = [sys.executable, "-m", "integration.faults"]
    started = subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield started
    started.kill()
    started.communicate()


def driving(suite):
    """Return a fixture: a driver of sweeps of a suite, which was swept once without disturbance."""

    @pytest.fixture(scope="module")
    def fixture(process, tmp_path_factory):
        return Driver(process, tmp_path_factory.mktemp("faults"), suite)

    return fixture


driver, shared, stacked, latent = map(driving, (SUITE, SHARED, STACKED, LATENT))


def kill(sweeps, where, moments, **options):
    """Kill a sweep at each of these moments; what goes on from there ends as if nothing had been."""
    for moment in moments:
        sweeps.fresh()
        assert sweeps.sweep(fault=["kill", where, moment], **options)["codes"] == [-9]
        sweeps.sweep(0)
        sweeps.check()


def kill_each(sweeps):
    """Kill each process one step later than it began, until one ends; return how many were killed."""
    sweeps.fresh()
    kills = 0
    while sweeps.sweep(fault=["kill", "step", 2])["codes"] == [-9]:
        kills += 1
        assert kills < 20
    sweeps.check()
    return kills


@pytest.mark.slow  # two sweeps for each of the places in the code that make a file last
def test_a_sweep_killed_at_any_kind_of_fsync_or_rename_ends_as_if_it_had_not_been(driver):
    assert len(driver.moments) >= 20
    kill(driver, DURABLE, sorted({*driver.moments, *driver.late}))


def test_a_sweep_killed_in_training_gets_on(driver):
    """Checkpoints carry a run on, also one of which each process is killed; without any, it begins again."""
    assert kill_each(driver) >= 5
    kill(driver, "step", (1, 4, 7), save_every=30)


@pytest.mark.parametrize(("kind", "kills"), [("stacked", 3), pytest.param("latent", 5, marks=pytest.mark.slow)])
def test_a_stack_and_a_prerequisite_killed_at_any_time_end_as_if_they_had_not_been(kind, kills, request):
    sweeps = request.getfixturevalue(kind)
    kill(sweeps, DURABLE, sorted({*sweeps.moments[1::6], *sweeps.late}))
    kill(sweeps, "step", (1, 4))
    assert kill_each(sweeps) >= kills


def test_processes_that_need_the_same_prerequisite_train_it_once(latent, tmp_path):
    commits = tmp_path / "commits"
    for jobs, beside, fault in ((1, 1, None), (2, 1, None), (2, 0, ["worker", "step", 2])):
        said = ""
        while not said or (jobs == 1 and "is being run by" not in said):  # until two sweeps have met
            latent.fresh()
            commits.unlink(missing_ok=True)
            said = "".join(latent.sweep(0, beside=beside, jobs=jobs, fault=fault, commits=str(commits))["said"])
            committed = commits.read_text().split()
            assert len(committed) == len(set(committed)) == 3
            latent.check()


@pytest.mark.parametrize("kind", ["shared", "stacked", pytest.param("latent", marks=pytest.mark.slow)])
def test_a_killed_worker_and_a_killed_parent_of_processes_side_by_side_change_nothing(kind, request):
    """What a killed worker had is done by another; a killed parent takes its workers along."""
    sweeps = request.getfixturevalue(kind)
    for where, moment in (("step", 3), ("rename replace", 5)):
        sweeps.fresh()
        assert "its process was killed" in sweeps.sweep(0, jobs=2, fault=["worker", where, moment])["said"][0]
        sweeps.check()
    sweeps.fresh()
    began = time.monotonic()
    sweeps.sweep(0, jobs=2)
    whole = time.monotonic() - began
    for share in (0.25, 0.75):
        sweeps.fresh()
        while sweeps.sweep(jobs=2, fault=["after", "", share * whole])["codes"] != [-9]:  # it was faster this time
            sweeps.fresh()
            whole *= 0.8
        sweeps.sweep(jobs=2, fault=["worker", f"{DURABLE} step", 9])
        sweeps.sweep(0, jobs=2)
        sweeps.check()


def test_a_full_disk_fails_cells_and_nothing_else(driver):
    for what, moment in (("once", 1), ("once", 10), ("once", 28), ("once", 46), ("full", 1), ("full", 33)):
        driver.fresh()
        answer = driver.sweep(fault=[what, "mkstemp fsync", moment])
        assert "No space left on device" in answer["said"][0]
        only_a_picture = what == "once" and "no picture of the samples" in answer["said"][0]
        assert answer["codes"] == [0 if only_a_picture else 1]
        driver.sweep(0)
        driver.check()


STOPS = [("step", 3), ("fsync", 4), ("replace", 3), ("replace", 9), ("rename", 1)]


@pytest.mark.parametrize(
    ("kind", "cells", "stops"),
    [("driver", 2, STOPS), ("shared", 3, []), ("stacked", 2, STOPS[:2]), ("latent", 3, STOPS[:1])],
)
def test_two_sweeps_at_a_time_commit_each_cell_once_also_if_one_is_paused_and_wakes_up(
    kind, cells, stops, tmp_path, request
):
    sweeps = request.getfixturevalue(kind)
    for number, stop in enumerate([None, *stops]):
        sweeps.fresh()
        commits = tmp_path / str(number)
        fault = {"fault": ["stop", *stop], "patience": 0.2} if stop else {"jobs": 2}
        sweeps.sweep(0, beside=1, commits=str(commits), **fault)
        written = commits.read_text().split()
        assert len(written) == len(set(written)) == cells
        sweeps.check()


def flip(path, generator):
    data = bytearray(path.read_bytes())
    data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    path.write_bytes(data)


def truncate(path, generator):
    os.truncate(path, generator.randrange(path.stat().st_size))


@pytest.mark.parametrize("damage", [flip, truncate])
def test_damaged_files_are_reported_and_made_again(driver, damage):
    """Also checkpoints: a run goes on from the one before, and from the beginning where that is damaged too."""
    generator = random.Random(0)
    driver.fresh()
    driver.sweep(0)
    for path in sorted(driver.results.glob("runs/*/*/record.json")):
        damage(path, generator)
        said = driver.sweep(0)["said"][0]
        assert "record.json is not a record" in said
        assert "2 cells, 1 to run" in said
        driver.check()
    for path in sorted(driver.results.glob("runs/*/model.safetensors")):
        damage(path, generator)
        next(path.parent.glob("*/record.json")).unlink()
        assert "model.safetensors is damaged" in driver.sweep(0)["said"][0]
        driver.check()
    for count, which in enumerate(("checkpoint", "*checkpoint"), 1):
        driver.fresh()
        driver.sweep(fault=["kill", "step", 4])
        for path in driver.results.glob(f"runs/*/{which}.safetensors"):
            damage(path, generator)
        assert driver.sweep(0)["said"][0].count("checkpoint.safetensors is damaged") == count
        driver.check()
