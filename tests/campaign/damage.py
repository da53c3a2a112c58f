"""Damage at random places of every kind of file that genbench keeps: no number may depend on it."""

import inspect
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from campaign.files import damages
from campaign.harness import DONE, FAILED, Case, Outcome, finished
from helpers.image_trees import pack, write_images

NET = """net = {name = "unet", channels = 4, blocks = 1, multipliers = [1], attention = []},
 sample = {method = "euler", steps = 1}""".replace("\n", "")

SUITES = {
    "pictures": f"""
models = [{{name = "cfm", {NET}, encoder = {{name = "autoencoder", width = 4, steps = 2}}}}]
datasets = [{{name = "folder", path = "t.tar", size = 8, valid = 0.0, metrics = ["norm"]}}]
""",
    "features": f"""
models = [{{name = "cfm", {NET}}}]
datasets = [{{name = "folder", path = "t.tar", size = 8, valid = 0.0, metrics = ["fd-efficientnet_lite0"]}}]
evaluation = {{n = 8, floor = false}}
""",
    "transport": """
models = ["sdcfm"]
datasets = [{name = "points", path = "p.npy", metrics = ["sliced_w2"]}]
""",
    "together": """
models = ["cfm"]
datasets = [{name = "moons", metrics = ["sliced_w2"]}]
seeds = [0, 1]
stack = ["seed"]
""",
    "resumed": """
models = ["otcfm"]
datasets = [{name = "moons", metrics = ["sliced_w2"]}]
plan = {steps = 40, batch_size = 16, eval_every = 10}
""",
}
COMMON = {"seeds": "[0]", "plan": "{steps = 2, batch_size = 8}", "evaluation": "{n = 8}"}

KEPT = {
    "decoded images": ("pictures", "home/images/*.npy"),
    "list of images": ("pictures", "home/images/*.json"),
    "latents": ("pictures", "home/latents/*.npy"),
    "reference statistics": ("features", "home/references/*-train-*.safetensors"),
    "potentials": ("transport", "home/potentials/*.safetensors"),
}
"""{kind of file of the cache: a suite that needs it, where it is}. The suite runs again, without its results."""

RESULTS = {
    "record": ("together", "r/runs/cfm-moons-0-*/*/record.json"),
    "published records": ("together", "r/together/records.jsonl.gz"),
    "table": ("together", "r/together/table.csv"),
    "weights": ("transport", "r/runs/sdcfm-*/model.safetensors"),
    "weights of an encoder": ("pictures", "r/runs/autoencoder-*/model.safetensors"),
    "weights of an ensemble": ("together", "r/runs/cfm-moons-1-*/model.safetensors"),
    "checkpoint": ("resumed", "r/runs/otcfm-*/checkpoint.safetensors"),
    "earlier checkpoint": ("resumed", "r/runs/otcfm-*/previous-checkpoint.safetensors"),
    "log of a training": ("resumed", "r/runs/otcfm-*/train.csv"),
    "evaluation in training": ("resumed", "r/runs/otcfm-*/*/steps/*.json"),
}
"""{kind of file of a results folder: its suite, where it is}. It runs again; for weights and logs, without records."""


def prepare(folder: Path) -> Path:
    """Run every suite, so that all kinds of files are there; return the folder."""
    folder.mkdir(parents=True)
    write_images(folder / "t", {"train/a": 6, "train/b": 6, "test/a": 4, "test/b": 4})
    pack(folder / "t", folder / "t.tar")
    np.save(folder / "p.npy", np.random.default_rng(0).normal(size=(200, 2)))
    for name, text in SUITES.items():
        common = "".join(f"{key} = {value}\n" for key, value in COMMON.items() if f"\n{key} =" not in text)
        (folder / f"{name}.toml").write_text(common + text)
        finished(folder, ("sweep", f"{name}.toml", "--results", "r"))
    _interrupt(folder)
    return folder


def cases(prepared: Path) -> Iterator[Case]:
    """Yield cases of damage; each meets a copy of what `prepare` made."""
    for kind, (suite, pattern) in (KEPT | RESULTS).items():
        # What was measured at a step of a training cannot be measured again after it: its cell fails, in one line.
        expect = DONE | FAILED if kind == "evaluation in training" else DONE
        for name, damage in damages(kind):

            def files(folder: Path, kind: str = kind, pattern: str = pattern, damage: Callable = damage) -> None:
                if kind in KEPT:
                    shutil.rmtree(folder / "r")
                elif "/runs/" in pattern and kind != "record":
                    for record in folder.glob(f"{pattern.split('*')[0]}*/*/record.json"):
                        record.unlink()
                damage(sorted(folder.glob(pattern))[0])

            command, table = ("sweep", f"{suite}.toml", "--results", "r"), prepared / f"r/{suite}/table.csv"
            home = {"GENBENCH_HOME": "{}/home"}
            yield Case(f"damage/{kind}, {name}", command, expect, files, prepared, home, same_table(table))


def same_table(table: Path) -> Callable[[Path, Outcome], str | None]:
    """Return a check that the table is that of sound files, and that damage is said in few lines."""
    sound, place = table.read_bytes(), Path(*table.parts[-3:])

    def check(folder: Path, outcome: Outcome) -> str | None:
        said = [line for line in outcome.stderr.splitlines() if line.startswith("genbench: ")]
        if len(said) > 8:  # also what was read; published records are set aside with their three tables
            return f"said {len(said)} lines: {said}"
        same = outcome.ending == "failed" or (folder / place).read_bytes() == sound
        return None if same else "the table is not that of sound files"

    return check


def _interrupt(folder: Path) -> None:
    """Stop the training of the suite "resumed" after its second checkpoint, which stays with the one before it."""
    (run_folder,) = folder.glob("r/runs/otcfm-*")
    shutil.rmtree(run_folder)
    child = os.fork()
    if not child:
        from genbench.training import checkpoint, loop

        save = checkpoint.save

        def stop(path: Path, state: checkpoint.Checkpoint, run: str) -> None:
            save(path, state, run)
            if state.step >= 20:
                os._exit(0)

        os.environ["GENBENCH_HOME"] = str(folder / "home")
        os.chdir(folder)
        ticks = count(0, 1000)
        loop.time = SimpleNamespace(monotonic=lambda: float(next(ticks)))  # a row is always due, and a checkpoint
        inspect.unwrap(loop.fit).__kwdefaults__["save_every"] = 0.0
        checkpoint.save = stop
        from genbench.runs.run import run as run_cell
        from genbench.runs.store import Store
        from genbench.sweeps.suite import load

        run_cell(load(Path("resumed.toml")).specs[0], Store(Path("r")))
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    shutil.rmtree(folder / "r/leases", ignore_errors=True)
