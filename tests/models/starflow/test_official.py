"""Weights of the papers' own code give the numbers of that code."""

from pathlib import Path

import numpy as np
import pytest
import torch

from genbench.errors import ConfigError
from genbench.models.starflow.jacobi_decoding import sequential
from genbench.models.starflow.official import read_official

ROOT = Path(__file__).parents[3]
SMALL = Path(__file__).parent / "official_flows_small.npz"
GOLDEN = ROOT.parent / "shared/data/official_flows.npz"
CASES = ("starflow_layer", "starflow_rms", "starflow_class", "tarflow_class")
FILES = [(SMALL, "starflow_rms")] + [(GOLDEN, case) for case in CASES]


def golden(path, case):
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    with np.load(path) as file:
        return {name[len(case) + 1 :]: torch.tensor(file[name]) for name in file.files if name.startswith(case + "/")}


def read(numbers, text=None, captions=(), **changed):
    weights = {name.removeprefix("weight/"): value for name, value in numbers.items() if name.startswith("weight/")}
    weights |= changed
    shape, patch, head = tuple(numbers["shape"].tolist()), int(numbers["patch"]), int(numbers["head"])
    return read_official(weights, shape, patch, head, text=text, captions=captions)


def error(found, known):
    return float((found.detach() - known).abs().max())


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


def test_a_text_whose_states_indicate_a_class_gives_the_official_numbers_of_that_class():
    """The linear map of the condition has the same name for both; of padding and longer texts nothing is known."""
    numbers = golden(GOLDEN, "starflow_class")
    model = read(numbers, text={"tokens": 1}, captions=("a", "b", "c", "d"))
    model.classes.states.copy_(torch.eye(5).roll(1, 0)[:, None])  # row 0 is the empty caption, no class
    model.classes.length.fill_(1)
    label = numbers["label"]
    assert error(model.flow(numbers["x"], model.classes(label)).z, numbers["z"]) < 1e-12
    assert error(model.flow(numbers["x"], model.classes(torch.full_like(label, -1))).z, numbers["z_null"]) < 1e-12
    x = model.sample(numbers["noise"], label=label, guidance=2.0, rule="starflow").x
    assert error(x, numbers["guided_2.0"]) < 1e-12


def test_the_tokens_of_an_official_text_are_states_mapped_one_by_one_and_zeros():
    numbers = golden(GOLDEN, "starflow_class")
    deep = "blocks.2.proj_txt."
    weight, bias = torch.randn(32, 7).double(), numbers[f"weight/{deep}bias"]
    model = read(numbers, text={"tokens": 3}, captions=("a",), **{deep + "weight": weight})
    states = torch.randn(2, 3, 7)
    model.classes.states.copy_(states)
    model.classes.length.copy_(torch.tensor([1, 2]))
    states[0, 1:] = states[1, 2:] = 0
    expected = states.double() @ weight.T + bias
    torch.testing.assert_close(model.classes(torch.tensor([-1, 0])), expected, rtol=0, atol=1e-12)
    z = model.flow(numbers["x"], model.classes(torch.zeros(5, dtype=torch.long))).z
    back = model.sample(z, label=torch.zeros(5, dtype=torch.long)).x
    assert error(back, numbers["x"]) < 1e-8
    with pytest.raises(ConfigError, match="proj_txt"):
        read(golden(GOLDEN, "starflow_rms"), text={}, captions=("a",))


def test_official_weights_without_scales_preserve_volume():
    numbers = golden(SMALL, "starflow_rms")
    shifts = {name: value[12:] for name, value in numbers.items() if ".proj_out." in name}
    model = read(numbers | shifts)
    x = model.flow.inverse(numbers["x"], None, sequential)[0].detach()
    z, log_det, _ = model.flow(x)
    assert not log_det.any()
    assert error(z, numbers["x"]) < 1e-12
    assert error(x, numbers["x"]) > 0.1


def test_official_weights_that_do_not_fit_are_errors():
    numbers = golden(SMALL, "starflow_rms")
    with pytest.raises(ConfigError, match=r"not read: blocks\.0\.other"):
        read(numbers, **{"blocks.0.other": torch.zeros(1)})
    with pytest.raises(ConfigError, match="do not fit"):
        read(numbers, **{"blocks.0.proj_out.bias": torch.zeros(3)})
    missing = {name: value for name, value in numbers.items() if not name.endswith("blocks.1.proj_out.bias")}
    with pytest.raises(ConfigError, match=r"lack .blocks\.1\.proj_out\.bias."):
        read(missing)
