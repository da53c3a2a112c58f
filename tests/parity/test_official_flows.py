"""Weights of the papers' own code give the numbers of that code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.official_flows import read_official

from genbench.models.starflow.decoding import sequential

ROOT = Path(__file__).parents[2]
SMALL = Path(__file__).parent / "official_flows_small.npz"
GOLDEN = ROOT.parent / "shared/data/official_flows.npz"
CASES = ("starflow_layer", "starflow_rms", "starflow_class", "tarflow_class")
FILES = [(SMALL, "starflow_rms")] + [(GOLDEN, case) for case in CASES]


def golden(path, case):
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    with np.load(path) as file:
        return {name[len(case) + 1 :]: torch.tensor(file[name]) for name in file.files if name.startswith(case + "/")}


def read(numbers):
    weights = {name.removeprefix("weight/"): value for name, value in numbers.items() if name.startswith("weight/")}
    shape, patch, head = tuple(numbers["shape"].tolist()), int(numbers["patch"]), int(numbers["head"])
    return read_official(weights, shape, patch, head)


def error(found, known):
    return float((found - known).detach().abs().max())


@pytest.mark.parametrize(("path", "case"), FILES)
def test_official_weights_give_the_official_numbers(path, case):
    numbers = golden(path, case)
    model, label = read(numbers), numbers.get("label")
    prefix = None if label is None else model.classes(label)
    z, log_det, between = model.flow(numbers["x"], prefix)
    errors = {"z": error(z, numbers["z"]), "log_det": error(log_det, numbers["log_det"])}
    errors["sample"] = error(model.sample(numbers["noise"], label=label).x, numbers["sample"])
    if "between" in numbers:
        errors["between"] = error(between * len(numbers["between"]), numbers["between"].sum())
    if "z_null" in numbers:
        null = model.classes(torch.full_like(label, -1))
        errors["z_null"] = error(model.flow(numbers["x"], null).z, numbers["z_null"])
    for name in (name for name in numbers if name.startswith("guided_")):
        _, weight, *annealed = name.split("_")
        x = model.sample(
            numbers["noise"],
            label=label,
            guidance=float(weight),
            rule=case.split("_")[0],
            anneal="linear" if annealed else "constant",
        ).x
        errors[name] = error(x, numbers[name])
    assert max(errors.values()) < 1e-12


def test_a_condition_takes_all_rotated_pairs_of_official_heads_of_16(monkeypatch):
    """There the papers' code leaves none for row and column, so no token is rotated by its place."""
    numbers = golden(GOLDEN, "starflow_class") | {"head": torch.tensor(16)}
    model, label = read(numbers), numbers["label"]
    z = model.flow(numbers["x"], model.classes(label)).z
    for block in model.flow.blocks:
        monkeypatch.setattr(block.net, "_rotation", lambda *_: None)
    assert error(model.flow(numbers["x"], model.classes(label)).z, z) < 1e-12
    unconditional = golden(GOLDEN, "starflow_rms") | {"head": torch.tensor(16)}
    assert read(unconditional).flow.blocks[0].net.architecture.pairs == (4, 4)


def test_official_weights_without_scales_preserve_volume():
    numbers = golden(SMALL, "starflow_rms")
    shifts = {name: value[12:] for name, value in numbers.items() if ".proj_out." in name}
    model = read(numbers | shifts)
    x = model.flow.inverse(numbers["x"], None, sequential)[0].detach()
    z, log_det, _ = model.flow(x)
    assert not log_det.any()
    assert error(z, numbers["x"]) < 1e-12
    assert error(x, numbers["x"]) > 0.1
