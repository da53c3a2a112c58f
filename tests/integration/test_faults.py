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
# Two models that are trained as one stack.
STACKED = SUITE.replace('"cfm", "wcfm"', '{name = "wcfm", kappa = [0.5, 1.0]}') + 'stack = ["seed", "kappa"]\n'
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

    def __init__(self, folder, text):
        self.folder, self.results, self.suite = folder, folder / "results", folder / "tiny.toml"
        self.suite.write_text(text)
        self.arguments = ["sweep", str(self.suite), "--results", str(self.results)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "integration.faults", json.dumps(self.arguments)],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert ", 0 to run" in self.sweep(0)["said"][0]
        self.undisturbed = self.outcome()
        self.fresh()
        calls = [(kind, moment) for moment, kind in enumerate(self.sweep(0)["kinds"], 1)]
        self.check()
        self.first, self.last = sorted(dict(reversed(calls)).values()), sorted(dict(calls).values())

    def sweep(self, code=None, *, beside=0, jobs=1, fault=None, save_every=0, **request):
        arguments = [*self.arguments, "--jobs", str(jobs)]
        request |= {"sweeps": [arguments] * (1 + beside), "fault": fault, "save_every": save_every}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
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
        names = [str(path.relative_to(self.results)) for path in self.results.rglob("*")]
        assert not [name for name in names if any(word in name for word in (".tmp", "lease", "checkpoint", "failure"))]


def driving(suite):
    """Return a fixture: a driver of sweeps of a suite, which was swept once without disturbance."""

    @pytest.fixture(scope="module")
    def fixture(tmp_path_factory):
        made = Driver(tmp_path_factory.mktemp("faults"), suite)
        yield made
        made.process.kill()
        made.process.communicate()

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
    assert len(driver.first) >= 20
    kill(driver, DURABLE, sorted({*driver.first, *driver.last}))


def test_a_sweep_killed_in_training_gets_on(driver):
    """Checkpoints carry a run on, also one of which each process is killed; without any, it begins again."""
    assert kill_each(driver) >= 5
    kill(driver, "step", (1, 3, 4, 7), save_every=30)


def test_a_stack_killed_at_any_time_ends_as_if_it_had_not_been(stacked):
    kill(stacked, DURABLE, stacked.last[::2])
    kill(stacked, "step", (1, 4))
    assert kill_each(stacked) >= 3


@pytest.mark.slow  # each sweep trains an encoder too
def test_a_sweep_with_a_prerequisite_killed_at_any_time_ends_as_if_it_had_not_been(latent):
    kill(latent, DURABLE, latent.first[::4])
    kill(latent, "step", (2, 6, 9))
    assert kill_each(latent) >= 5


def test_processes_that_need_the_same_prerequisite_train_it_once(latent, tmp_path):
    for jobs, beside, fault in ((2, 0, None), (1, 1, None), (2, 1, None), (2, 0, ["worker", "step", 2])):
        latent.fresh()
        commits = tmp_path / f"{jobs}-{beside}-{fault is None}"
        said = latent.sweep(0, beside=beside, jobs=jobs, fault=fault, commits=str(commits))["said"]
        committed = commits.read_text().split()
        assert len(committed) == len(set(committed)) == 3
        assert jobs == 2 or "is being run by" in "".join(said)
        latent.check()
    for where, moment in (("step", 3), ("fsync", 6)):
        latent.fresh()
        latent.sweep(0, beside=1, fault=["stop", where, moment], patience=0.2)
        latent.check()


def test_two_sweeps_at_a_time_commit_each_member_of_a_stack_once(stacked, tmp_path):
    stacked.fresh()
    stacked.sweep(0, beside=1, commits=str(tmp_path / "one"))
    for where, moment in (("step", 3), ("fsync", 6)):
        stacked.fresh()
        stacked.sweep(0, beside=1, fault=["stop", where, moment], patience=0.2, commits=str(tmp_path / where))
    for path in tmp_path.iterdir():
        commits = path.read_text().split()
        assert len(commits) == len(set(commits)) == 2
    stacked.check()


@pytest.mark.parametrize("what", ["kill", "worker"])
def test_killed_parents_and_workers_of_processes_side_by_side(shared, what):
    """What a killed worker had is done by another; a killed parent takes its workers along."""
    for where, moment in (("step", 3), ("fsync", 2), ("rename replace", 5)):
        shared.fresh()
        if what == "worker":
            assert "killed by signal 9" in shared.sweep(0, jobs=2, fault=["worker", where, moment])["said"][0]
        else:
            shared.sweep(jobs=2, fault=["after", where, 0.05 * moment])
            shared.sweep(0, jobs=2)
        shared.check()


def test_a_worker_that_is_killed_loses_its_whole_stack(stacked):
    for where, moment in (("step", 3), ("rename replace", 5)):
        stacked.fresh()
        assert "killed by signal 9" in stacked.sweep(0, jobs=2, fault=["worker", where, moment])["said"][0]
        stacked.check()


def test_a_full_disk_fails_cells_and_nothing_else(driver):
    for what, step in (("once", 9), ("full", 16)):
        for moment in range(1, 50, step):
            driver.fresh()
            answer = driver.sweep(fault=[what, "mkstemp fsync", moment])
            assert "No space left on device" in answer["said"][0]
            only_a_picture = what == "once" and "no picture of the samples" in answer["said"][0]
            assert answer["codes"] == [0 if only_a_picture else 1]
            driver.sweep(0)
            driver.check()


def test_two_sweeps_at_a_time_commit_each_cell_once(shared, tmp_path):
    for jobs in (1, 2):
        shared.fresh()
        shared.sweep(0, beside=1, jobs=jobs, commits=str(tmp_path / f"{jobs}"))
        commits = (tmp_path / f"{jobs}").read_text().split()
        assert len(commits) == len(set(commits)) == 3
        shared.check()


def test_a_paused_sweep_that_wakes_up_commits_nothing_that_was_taken_over(driver, tmp_path):
    for number, (where, moment) in enumerate(
        [("step", 3), ("fsync", 4), ("replace", 3), ("replace", 9), ("rename", 1)]
    ):
        driver.fresh()
        commits = tmp_path / str(number)
        driver.sweep(0, beside=1, fault=["stop", where, moment], patience=0.2, commits=str(commits))
        assert sorted(commits.read_text().split()) == sorted(set(commits.read_text().split()))
        assert len(commits.read_text().split()) == 2
        driver.check()


def flip(path, generator):
    data = bytearray(path.read_bytes())
    data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    path.write_bytes(data)


def truncate(path, generator):
    os.truncate(path, generator.randrange(path.stat().st_size))


@pytest.mark.parametrize("damage", [flip, truncate])
def test_damaged_records_are_reported_and_made_again(driver, damage):
    generator = random.Random(0)
    driver.fresh()
    driver.sweep(0)
    for path in sorted(driver.results.glob("runs/*/*/record.json")) * 3:
        damage(path, generator)
        said = driver.sweep(0)["said"][0]
        assert "record.json is not a record" in said
        assert "2 cells, 1 to run" in said
        driver.check()


@pytest.mark.parametrize("damage", [flip, truncate])
def test_damaged_weights_are_reported_and_trained_again(driver, damage):
    generator = random.Random(1)
    driver.fresh()
    driver.sweep(0)
    for path in sorted(driver.results.glob("runs/*/model.safetensors")) * 2:
        damage(path, generator)
        next(path.parent.glob("*/record.json")).unlink()
        said = driver.sweep(0)["said"][0]
        assert "model.safetensors is damaged" in said
        driver.check()


@pytest.mark.parametrize("damage", [flip, truncate])
@pytest.mark.parametrize("which", ["checkpoint", "*checkpoint"])
def test_damaged_checkpoints_are_reported_and_the_one_before_or_the_beginning_is_gone_on_from(driver, damage, which):
    generator = random.Random(2)
    for _ in range(3):
        driver.fresh()
        driver.sweep(fault=["kill", "step", 4])
        damaged = list(driver.results.glob(f"runs/*/{which}.safetensors"))
        assert len(damaged) == (1 if which == "checkpoint" else 2)
        for path in damaged:
            damage(path, generator)
        said = driver.sweep(0)["said"][0]
        assert said.count("checkpoint.safetensors is damaged") == len(damaged)
        driver.check()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shared", "stacked", "latent"])
def test_a_sweep_of_processes_killed_at_any_time_ends_as_if_it_had_not_been(kind, request):
    """Kills spread evenly over the run time, of the parent; and of workers, wherever they are."""
    sweeps, generator = request.getfixturevalue(kind), random.Random(2)
    sweeps.fresh()
    began = time.monotonic()
    sweeps.sweep(0, jobs=2)
    whole = time.monotonic() - began
    for moment in range(5):
        sweeps.fresh()
        sweeps.sweep(jobs=2, fault=["after", "", whole * (moment + 0.5) / 5])
        sweeps.sweep(jobs=2, fault=["worker", "fsync rename replace step", generator.randrange(1, 40)])
        sweeps.sweep(0, jobs=2)
        sweeps.check()
