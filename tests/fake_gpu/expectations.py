"""What a group of cases must show, and what is known to be missing."""

import re
from typing import Any

CEILING = {
    "otcfm": 2,
    "otcfm with plan=sinkhorn": 3,
    "otcfm with conditional=True, plan=sinkhorn": 26,
    "eotcfm": 72,
    "eotcfm on images": 148,
    "eotcfm with penalty": 43,
    "eotcfm with conditional": 51,
    "sbcfm": 3,
    "sbcfm on images": 29,
    "sdcfm with conditional": 2,
    "meanflow with improved=True, coupling=ot": 2,
    "reflow": 2,
    "meanflow with coupling": 1,
    "meanflow with coupling={'name': 'entropic'": 11,
    "wcfm-balanced": 1,
    "shortcut": 1,
    "moons-8gaussians": 1,
    "host data of cfm": 2,
    "host data of otcfm": 4,
    "gaussians-5gaussians": 3,
    "conditions": 2,
}
"""Most waits of the host in the draw of an example, by the beginning of a case: they can only fall. Others
do not wait."""

GAPS = {
    "nsf compiled": "is refused, since zuko builds distributions",
}
"""Cases that fail, and why. The line of a mended case must go: it fails until then."""

ON_THE_HOST: dict[str, str] = {
    r"in metrics/(wasserstein|distance|torchmetrics_classes|image|classifiers)": "metrics of samples that are gathered",
    r"in data/synthetic/": "known distances, found once for a data set",
    r"in numerics/weighted_pairs.py weighted_velocity": "the exact field of W-CFM, which only a metric uses",
    r"in models/zuko_flows.py NeuralSplineFlow.__init__": "the flow is built before it moves to the device",
    r"in models/gaussian.py Gaussian.prepare": "the covariance in float64, found once",
    r"in models/transformers_encoder.py": "captions are encoded once",
}
"""Products that a run on a GPU leaves to the CPU, as patterns of "operator in file function", and why."""


def violations(found: dict[str, Any]) -> list[str]:
    """Return what is wrong with a case: its result, a wait in a step, too many in a draw, products on the host."""
    wrong = []
    if (found["failure"] is None) == (found["case"] in GAPS):
        wrong.append(found["failure"] or f"it works: remove it from GAPS ({GAPS[found['case']]})")
    if found["step"]:
        wrong.append(f"{found['step']} waits in a step: {in_phase(found, 'step')}")
    if found["draw"] > ceiling(found["case"]):
        wrong.append(f"{found['draw']} waits in a draw: {in_phase(found, 'draw')}")
    left = [product for product in found["host"] if not any(re.search(known, product) for known in ON_THE_HOST)]
    return [*wrong, *(["computed on the CPU: " + ", ".join(left)] if left else [])]


def ceiling(case: str) -> int:
    """Return the most waits in a draw."""
    known = max((name for name in CEILING if case.startswith(name)), key=len, default=None)
    return 0 if known is None else CEILING[known]


def in_phase(found: dict[str, Any], phase: str) -> str:
    """Return the waits of a phase."""
    return ", ".join(wait.removeprefix(f"{phase}: ") for wait in found["waits"] if wait.startswith(phase))
