"""Every model: its step, samples and likelihood, on vectors and on images, with labels, in every precision."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from fake_gpu.proof import UNET, Case, Cases, difference, on
from genbench.settings import merge

SETTINGS: dict[str, dict[str, Any]] = {
    "sdcfm": {"points": 64, "tolerance": 0.5},
    "wcfm-balanced": {"reference": 64},
    "reflow": {"pairs": 64},
    "gaussian": {"n": 400},
    "tarflow": {"blocks": [1, 1]},
    "starflow": {"blocks": [1, 1]},
}
"""Settings that make a model small."""

LARGER = {"wcfm-balanced": {"reference": 400}}
"""Settings for images with labels, where every class has a coupling of its own."""

FLOWS = ("cfm", "otcfm", "eotcfm", "sdcfm", "wcfm", "wcfm-balanced", "fm", "sbcfm", "vp")
FEW_STEPS = ("consistency", "meanflow", "shortcut", "reflow")
MAPS = ("lagrangian", "tvm", "eulerian", "progressive", "alphaflow")
"""Flow maps that differ from `meanflow` and `shortcut` in their losses alone."""
TRANSFORMERS = ("tarflow", "starflow")
SOLVED = (*FLOWS, "reflow")
"""Models that are sampled by an ODE solver."""
VECTORS = (*FLOWS, *FEW_STEPS, *MAPS, *TRANSFORMERS, "drifting", "gaussian", "nsf")
IMAGES = (*(flow for flow in FLOWS if flow != "sdcfm"), *FEW_STEPS, *TRANSFORMERS)


def cases() -> Cases:
    for case in (*vectors(), *images()):
        yield case.name, case.prove
    for case in precisions():
        yield case.name, partial(rounded, case)


def vectors() -> Iterator[Case]:
    """Each model on 8gaussians: training, samples, likelihood, the energy of its paths; all path metrics once."""
    for model in VECTORS:
        settings: dict[str, Any] = {"model": SETTINGS.get(model, {})}
        metrics: tuple[str, ...] = ("nfe",)
        if model in SOLVED:
            settings["sample"] = {"tol": 1e-2}
            metrics += ("nll", "path_energy")
        elif model not in (*FEW_STEPS, *MAPS, "drifting"):
            metrics += ("nll",)
        if model == "cfm":
            metrics += ("straightness", "detour", "parameters")
        settings["metric"] = {
            name: {"n": 16} | ({"tol": 1e-1} if model in SOLVED else {})
            for name in metrics
            if name not in ("nfe", "parameters")
        }
        if model == "wcfm":
            metrics += ("error_budget",)
            settings["metric"]["error_budget"] = {"n": 16, "repeats": 2}
        yield Case(f"{model} on vectors", model, "8gaussians", settings, metrics)
    for model in ("cfm", "meanflow", "starflow"):
        yield Case(
            f"{model} validated", model, "8gaussians", {"plan": {"validate_every": 2}, "model": SETTINGS.get(model, {})}
        )


def images() -> Iterator[Case]:
    """Each model with labels on digits of 8x8 pixels: training, samples, and bits per dimension of each density.

    One flow is sampled by the adaptive solver, the others in two steps, one with diffusion: on vectors, each takes the
    solver.
    """
    for model in IMAGES:
        net = {} if model in TRANSFORMERS else {"net": UNET}
        settings: dict[str, Any] = {
            "model": SETTINGS.get(model, {}) | net | {"conditional": True, "label_dropout": 0.5} | LARGER.get(model, {})
        }
        if model in SOLVED:
            settings["sample"] = {"tol": 1e-2} if model == "cfm" else {"method": "euler", "steps": 2}
            settings["sample"] |= {"diffusion": 1.0} if model == "fm" else {}
        metrics: tuple[str, ...] = ("nfe",)
        if model in ("cfm", *TRANSFORMERS):
            settings["metric"] = {"bits_per_dim": {"n": 8} | ({"tol": 1e-1} if model == "cfm" else {})}
            metrics += ("bits_per_dim",)
        yield Case(f"{model} on images", model, "digits", settings, metrics)


def rounded(case: Case) -> dict[str, Any]:
    """Prove a case in bf16, and that the device does round: autocast of another device would change nothing."""
    found = case.prove()
    if found["failure"] is None:
        exact = replace(case, settings=merge(case.settings, {"plan": {"precision": "fp32"}}))
        with on("cuda"):
            if difference(exact.compute("cuda"), case.compute("cuda")) < 1e-6:
                found["failure"] = "bf16 gives the numbers of fp32"
    return found


def precisions() -> Iterator[Case]:
    """Each kind of model that bf16 changes, with parts of a batch; CUDA's rules of autocast are not the CPU's."""
    for model in ("cfm", "shortcut", *TRANSFORMERS):
        net = {} if model in TRANSFORMERS else {"net": UNET}
        settings: dict[str, Any] = {"model": SETTINGS.get(model, {}) | net}
        settings["plan"] = {"precision": "bf16", "accumulate": 2}
        if model == "cfm":
            settings["sample"] = {"method": "euler", "steps": 2}
        yield Case(f"{model} in bf16", model, "digits", settings, tolerance=0.1)
