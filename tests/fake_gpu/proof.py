"""The same work on the CPU and on the fake device: equal numbers, no waits of the host, all products on the device."""

import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

import genbench
from fake_gpu import device
from genbench.core import Data
from genbench.metrics.extractors import feature_extractor
from genbench.runs import spec as specs
from genbench.runs.make_spec import make_spec
from genbench.runs.run import Launch, run
from genbench.runs.store import Store
from genbench.runs.weights_file import read_weights
from genbench.settings import merge

SMALL = {
    "plan": {"steps": 3, "batch_size": 16, "grid_every": 0, "ema": 0.9, "clip": 1.0, "threads": 1},
    "evaluation": {"n": 24, "batch": 16, "curve": [], "floor": False},
}
UNET = {"channels": 8, "multipliers": [1, 2], "attention": [4], "blocks": 1, "head_channels": 8}
TINY = UNET | {"multipliers": [1], "attention": []}
"""A U-Net of one resolution without attention, also for the 4x4 latents of digits."""
EXACT = 1e-4
"""Largest relative difference of float32 results after three steps of training and an adaptive solver."""
TWICE = 1e-3
"""The same for a model that goes on from another one, on its samples."""

BUILT: dict[str, dict[tuple[str, str], Data]] = {"cpu": {}, "cuda": {}}
"""Data sets by device, which all cases share."""
EXTRACTORS = {where: lru_cache(feature_extractor._build.__wrapped__) for where in BUILT}
"""The same for extractors."""

Numbers = dict[str, np.ndarray]
Compute = Callable[[str], Numbers]
"""From the name of a device, cpu or cuda, to the numbers to compare."""

Cases = Iterator[tuple[str, Callable[[], dict[str, Any]]]]
"""Names of cases, and functions that prove them."""


def compare(name: str, compute: Compute, tolerance: float = EXACT) -> dict[str, Any]:
    """Compute numbers on both devices, and return what a test asserts: failure, waits, products on the host."""
    found: dict[str, Any] = {"case": name, "failure": None, "step": 0, "draw": 0, "waits": [], "host": []}
    try:
        with on("cpu"):
            expected = compute("cpu")
        with on("cuda"), device.watch() as seen:
            actual = compute("cuda")
        found["difference"] = difference(expected, actual)
        found |= {"step": seen.most_waits("step"), "draw": seen.most_waits("draw")}
        found["waits"] = sorted({f"{p.phase}: {op} in {p.function}" for op, p in seen.waits if p.phase != "other"})
        found["host"] = sorted({f"{op.removeprefix('aten::')} in {place.function}" for op, place in seen.host_products})
        if not found["difference"] <= tolerance:
            found["failure"] = f"differs from the CPU by {found['difference']:.1e}"
    except Exception as error:
        found["failure"] = reason(error)
    return found


def check(name: str, prove: Callable[[], None]) -> dict[str, Any]:
    """Return the result of a function that raises where something is wrong."""
    found: dict[str, Any] = {"case": name, "failure": None, "step": 0, "draw": 0, "waits": [], "host": []}
    try:
        with on("cuda"):
            prove()
    except Exception as error:
        found["failure"] = reason(error)
    return found


@contextmanager
def on(where: str) -> Iterator[None]:
    """Show the fake device, or hide it, with data sets, extractors and files of its own."""

    def is_available() -> bool:
        return where == "cuda"

    with (
        mock.patch.object(specs, "_built", BUILT[where]),
        mock.patch.object(feature_extractor, "_build", EXTRACTORS[where]),
        mock.patch.object(torch.cuda, "is_available", is_available),
        mock.patch.dict(feature_extractor.BATCH, {"cpu": 2, "cuda": 2}),
        mock.patch.dict(os.environ, {"GENBENCH_HOME": f"{os.environ['GENBENCH_HOME']}-{where}"}),
    ):
        yield


@dataclass(frozen=True)
class Case:
    """A run of a few steps, whose weights, samples and values are compared.

    Args:
        settings: as in `make_spec`, on top of `SMALL`.
    """

    name: str
    model: str
    data: str
    settings: dict[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ("nfe",)
    tolerance: float = EXACT

    def prove(self) -> dict[str, Any]:
        """Run it on both devices."""
        return compare(self.name, self.compute, self.tolerance)

    def compute(self, where: str) -> Numbers:
        """Run it in a folder of its own."""
        with tempfile.TemporaryDirectory() as folder:
            return self.run_in(folder, where)

    def run_in(self, folder: str, where: str) -> Numbers:
        """Run it, and return its weights, samples and values.

        Raises:
            AssertionError: if a metric has no value.
        """
        settings = merge(SMALL, self.settings)
        spec = make_spec(self.model, self.data, seed=7, metrics=self.metrics, settings=settings)
        store = Store(Path(folder))
        record = run(spec, store, launch=Launch(where))
        numbers = {name: value.double().numpy() for name, value in read_weights(store.weights_path(spec)).state.items()}
        with np.load(store.record_path(spec).parent / "samples.npz") as samples:
            numbers["samples"] = samples["samples"].astype(float)
        for row in record["results"]:
            assert "reason" not in row, f"{row['metric']} has no value: {row['reason']}"
            numbers[f"{row['metric']} {row['point']}"] = np.array(row["value"])
        return numbers


def difference(expected: Numbers, actual: Numbers) -> float:
    """Return the largest difference of two arrays of a name, relative to the largest number of the array."""
    assert expected.keys() == actual.keys(), f"only one device has {sorted(expected.keys() ^ actual.keys())}"
    return max((_relative(expected[name], actual[name]) for name in expected), default=0.0)


def _relative(expected: np.ndarray, actual: np.ndarray) -> float:
    assert expected.shape == actual.shape, f"shapes differ: {expected.shape}, {actual.shape}"
    same = (expected == actual) | (np.isnan(expected) & np.isnan(actual))
    if same.all():
        return 0.0
    return float(np.abs(expected - actual)[~same].max()) / max(1.0, float(np.abs(expected[~same]).max()))


def reason(error: BaseException) -> str:
    """Return an error, and the line of genbench that raised its first cause, on one line."""
    if os.environ.get("FAKE_GPU_TRACEBACK"):
        traceback.print_exception(error)
    while error.__cause__:
        error = error.__cause__
    package = str(Path(genbench.__file__).parent) + "/"
    lines = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(package)]
    where = f" ({lines[-1].filename.removeprefix(package)} {lines[-1].name})" if lines else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}{where}"
