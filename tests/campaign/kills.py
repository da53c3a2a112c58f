"""Kills at random moments: a sweep that is killed again and again ends with the bytes of one that nobody disturbed.

PYTHONPATH=tests python -m campaign.kills [--kills N] [--seed N]

The sweep trains single models, an ensemble, a teacher and its students, and an encoder of latents. Its whole process
group is killed at a random moment and the same command starts again, until it is done; then it begins in an empty
folder, until there were enough kills.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

JOBS = 2
"""Processes of a sweep."""

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


def start(folder: Path) -> int:
    """Start the sweep in a forked process, which leads a group of its own; return its number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.setsid()
        os.chdir(folder)
        for descriptor, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
        sys.argv = ["genbench", "sweep", "killed.toml", "--results", "r", "--jobs", str(JOBS)]
        from genbench.cli.main import main
        from genbench.sweeps import process_pool

        # A forked worker starts at once, so that kills fall into work; a spawned one imports torch first.
        process_pool.multiprocessing.get_context = lambda kind: multiprocessing.context.ForkContext()  # type: ignore
        main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finish(child: int, seconds: float | None) -> int | None:
    """Return the exit code of a sweep; None if it was still running after these seconds and its group was killed."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if deadline is not None and time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)


def outcome(folder: Path) -> dict[str, Any]:
    """Return what must be equal: tables, records without their cost and machine, weights, and what is left over."""
    results = folder / "r"
    found: dict[str, Any] = {path.name: path.read_bytes() for path in sorted(results.glob("killed/table.*"))}
    lines = gzip.decompress((results / "killed/records.jsonl.gz").read_bytes()).splitlines()
    found["published records"] = [
        {name: part for name, part in json.loads(line).items() if name != "provenance"} for line in lines
    ]
    for path in sorted(results.glob("runs/*/*/record.json")):
        record = json.loads(path.read_text())
        del record["provenance"], record["sha256"]
        found[str(path.relative_to(results))] = record
    for path in sorted(results.glob("runs/*/model.safetensors")):
        found[str(path.relative_to(results))] = weights(path)
    kept = {path.name for path in results.rglob("*") if path.is_file()}
    found["kinds of files"] = sorted(kept)
    found["leases"] = [str(path) for path in results.glob("leases/**/*")]
    return found


def weights(path: Path) -> dict[str, bytes]:
    """Return the bytes of the tensors of a file."""
    from genbench.runs.weights_file import WEIGHTS
    from genbench.storage import tensors

    return {name: value.numpy().tobytes() for name, value in tensors.load(path, WEIGHTS)[0].items()}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names of what differs."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


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
        code = finish(start(folder), None)
        seconds = time.monotonic() - began
        assert code == 0, (folder / "stderr").read_text()
    return outcome(folder), seconds


def kill_often(folder: Path, kills: int, seed: int, say: Callable[[str], object]) -> list[str]:
    """Kill sweeps that many times; return what differs from an undisturbed one."""
    draw, wrong = random.Random(seed), []
    expected, seconds = undisturbed(folder / "undisturbed")
    say(f"undisturbed: {seconds:.1f} s, {len(expected)} things to compare")
    done, sweeps = 0, Counter()
    while done < kills:
        place = fresh(folder / "disturbed")
        killed = 0
        while True:
            began = time.monotonic()
            # Early and late moments alike; the last attempt of all is not disturbed.
            code = finish(start(place), draw.uniform(0.02, 0.6) * seconds if done < kills else None)
            if code is not None:
                if not killed:  # the machine has become faster
                    seconds = time.monotonic() - began
                break
            killed, done = killed + 1, done + 1
            if killed % 10 == 0:
                say(f"{done} of {kills} kills")
        said = (place / "stderr").read_text()
        if code != 0 or "Traceback" in said:
            return [*wrong, f"ended with exit code {code} after {killed} kills: {said.splitlines()[-1:]}"]
        wrong += [f"different after {killed} kills: {name}" for name in differences(expected, outcome(place))]
        sweeps[killed] += 1
        say(f"{killed} kills, exit code {code}; {done} of {kills}, {len(wrong)} wrong")
    say(f"{done} kills in {sum(sweeps.values())} sweeps, {len(wrong)} wrong")
    return wrong


def main() -> int:
    """Kill sweeps and print what differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    import torch

    import genbench.cli.main
    import genbench.report.publish
    import genbench.sweeps.executors  # noqa: F401

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="kills-") as temporary:
        os.environ.setdefault("GENBENCH_HOME", str(Path(temporary) / "home"))
        os.environ["GENBENCH_OFFLINE"] = "1"
        wrong = kill_often(Path(temporary), arguments.kills, arguments.seed, lambda line: print(line, flush=True))
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
