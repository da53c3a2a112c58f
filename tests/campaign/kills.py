"""Kills at random moments: a sweep that is killed again and again ends with the bytes of one that nobody disturbed.

PYTHONPATH=tests python -m campaign.kills [--kills N] [--seed N]

The sweep trains single models, an ensemble, a teacher and its students, and an encoder of latents. Its whole process
group is killed at a random moment and the same command starts again, until it is done; then it begins in an empty
folder, until there were enough kills.
"""

import argparse
import gzip
import json
import math
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from campaign.harness import Case, prepare, start, wait

SUITE = """
stack = ["kappa"]
seeds = [0, 1]
plan = {steps = 40, batch_size = 32}
evaluation = {n = 64, curve = [1]}
models = ["cfm", {name = "wcfm", kappa = [0.5, 1.0]}]

[[datasets]]
name = "moons"
metrics = ["sliced_w2", "nfe"]

[[include]]
dataset = "moons"
model = {name = "reflow", pairs = 64}

[[include]]
seeds = [0]
dataset = {name = "digits", metrics = ["norm"]}
[include.model]
name = "cfm"
net = {name = "unet", channels = 4, blocks = 1, multipliers = [1], attention = []}
encoder = {name = "autoencoder", width = 4, steps = 20}
sample = {method = "euler", steps = 2}
"""
SWEEP = Case("kills", ("sweep", "killed.toml", "--results", "r", "--jobs", "2"))


def outcome(folder: Path) -> dict[str, Any]:
    """Return what must be equal: tables, records without their cost and machine, weights, and what is left over."""
    from genbench.runs.weights_file import WEIGHTS
    from genbench.storage import tensors

    results = folder / "r"
    found: dict[str, Any] = {path.name: path.read_bytes() for path in sorted(results.glob("killed/table.*"))}
    published = gzip.decompress((results / "killed/records.jsonl.gz").read_bytes()).splitlines()
    found["published records"] = [json.loads(line) | {"provenance": None} for line in published]
    for path in sorted(results.glob("runs/*/*/record.json")):
        record = json.loads(path.read_text()) | {"provenance": None, "sha256": None}
        found[str(path.relative_to(results))] = record
    for path in sorted(results.glob("runs/*/model.safetensors")):
        loaded = tensors.load(path, WEIGHTS)[0]
        found[str(path.relative_to(results))] = {name: value.numpy().tobytes() for name, value in loaded.items()}
    found["kinds of files"] = {path.name for path in results.rglob("*") if path.is_file()}
    found["leases"] = [str(path) for path in results.glob("leases/**/*")]
    return found


def attempt(folder: Path, seconds: float = math.inf) -> int | None:
    """Sweep for these seconds; return the exit code, or None if the sweep was still running and was killed."""
    return wait(start(SWEEP, folder), seconds)


def fresh(folder: Path) -> Path:
    """Return the folder, emptied but for the suite."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "killed.toml").write_text(SUITE)
    return folder


def undisturbed(folder: Path) -> tuple[dict[str, Any], float]:
    """Return the outcome of a sweep that nobody disturbs, and its seconds. A sweep before it fills the caches."""
    seconds = 0.0
    for _ in range(2):
        fresh(folder)
        began = time.monotonic()
        code = attempt(folder)
        seconds = time.monotonic() - began
        assert code == 0, (folder / ".stderr").read_text()
    return outcome(folder), seconds


def kill_often(folder: Path, kills: int, seed: int) -> list[str]:
    """Kill sweeps that many times; return what differs from an undisturbed one."""
    draw, wrong = random.Random(seed), []
    expected, seconds = undisturbed(folder / "undisturbed")
    print(f"undisturbed: {seconds:.1f} s, {len(expected)} things to compare", flush=True)
    done = sweeps = 0
    while done < kills:
        place, killed, code, said = fresh(folder / "disturbed"), 0, None, ""
        while code is None:
            began = time.monotonic()
            # Early and late moments alike; the last attempt of all is not disturbed.
            code = attempt(place, draw.uniform(0.02, 0.6) * seconds if done < kills else math.inf)
            said += (place / ".stderr").read_text()
            killed, done = (killed + 1, done + 1) if code is None else (killed, done)
        if not killed:  # the machine has become faster
            seconds = time.monotonic() - began
        if code != 0 or "Traceback" in said:
            return [*wrong, f"ended with exit code {code} after {killed} kills: {said.splitlines()[-1:]}"]
        found = outcome(place)
        different = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        wrong += [f"different after {killed} kills: {name}" for name in different]
        sweeps += 1
        print(f"{killed} kills, {done} of {kills}, {len(wrong)} wrong", flush=True)
    print(f"{done} kills in {sweeps} sweeps, {len(wrong)} wrong")
    return wrong


def main() -> int:
    """Kill sweeps and print what differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as temporary:
        prepare(Path(temporary) / "home")
        from genbench.sweeps import process_pool

        # A forked worker starts at once, so that kills fall into work; a spawned one imports torch first.
        process_pool.multiprocessing.get_context = lambda kind: multiprocessing.context.ForkContext()  # type: ignore
        wrong = kill_often(Path(temporary), arguments.kills, arguments.seed)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
