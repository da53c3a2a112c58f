"""What a group of cases must show, and what is known to be missing."""

import re
from typing import Any

CEILING = {
    "otcfm": 5,
    "otcfm on images": 30,
    "otcfm with conditional=True, plan=sinkhorn": 35,
    "sbcfm": 5,
    "sbcfm on images": 39,
    "sdcfm": 5,
    "sdcfm with conditional": 18,
    "wcfm": 3,
    "wcfm-balanced": 5,
    "meanflow with improved=True, coupling=ot": 4,
    "meanflow with coupling": 5,
    "consistency with coupling": 3,
    "shortcut": 3,
    "shortcut with coupling": 6,
    "reflow": 4,
    "wcfm of latents": 5,
    "otcfm of latents": 6,
    "shortcut of latents": 5,
    "reflow of latents": 6,
    "starflow of latents": 4,
    "tuned decoder": 6,
    "conditions": 5,
    "mirrored images": 3,
    "curve": 3,
    "moons-8gaussians": 3,
    "gaussians-5gaussians": 5,
    "ensemble": 6,
}
"""Most waits of the host in the draw of an example, by the beginning of a case: they can only fall, 1 is the aim."""

OTHERS = 2
"""The same for all other cases."""

GAPS = {
    "consistency compiled": "six graphs, since the random state is copied to repeat dropout",
    "meanflow compiled": "Dynamo cannot differentiate group norm forward",
    "nsf compiled": "two graphs, since zuko builds distributions",
    "maf compiled": "two graphs, since zuko builds distributions",
}
"""Cases that fail, and why. The line of a mended case must go: it fails until then."""

ON_THE_HOST: dict[str, str] = {
    r"in metrics/(wasserstein|distance|torchmetrics_classes|image|classifiers)": "metrics of samples that are gathered",
    r"in data/synthetic/": "known distances, found once for a data set",
    r"in models/zuko_flows.py ZukoFlow.__init__": "the flow is built before it moves to the device",
    r"in models/gaussian.py Gaussian.prepare": "the covariance in float64, found once",
    r"in models/text/transformers_encoder.py": "captions are encoded once",
    r"in numerics/semidiscrete.py": "potentials are found on the CPU",
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
    return OTHERS if known is None else CEILING[known]


def in_phase(found: dict[str, Any], phase: str) -> str:
    """Return the waits of a phase."""
    return ", ".join(wait.removeprefix(f"{phase}: ") for wait in found["waits"] if wait.startswith(phase))
