"""The largest, smallest and non-finite numbers as values of every setting that is a number, in runs that train."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from campaign.harness import ENDS, REFUSED, Case, Outcome

FLOATS = {
    "nan": "nan",
    "inf": "inf",
    "largest": "1e308",
    "above float32": "1e39",
    "smallest": "1e-308",
    "zero": "0",
    "negative": "-1e308",
}
INTEGERS = {
    "2^31": str(2**31),
    "2^53": str(2**53),
    "below 2^63": str(2**63 - 1),
    "2^63": str(2**63),
    "many digits": str(10**30),
}
ALWAYS_WRONG = ("nan", "inf", "largest", "above float32", "negative", "2^63", "many digits")
"""Refused everywhere. Another number may also make the run fail; one that is only odd gives finite results."""

LONG = ("steps", "tune", "pairs", "draws", "subsets", "directions", "probes", "sweeps")
"""Settings of which a large value asks for a long run, which is not wrong."""

VECTORS = ("plan.steps=2", "plan.batch_size=8", "evaluation.n=16")
UNET = ("model.net=unet", "model.net.channels=4", "model.net.blocks=1", "model.net.multipliers=[1]")
IMAGES = (*VECTORS, "sample.method=euler", "sample.steps=1")
NETS = {
    "mlp": ("moons", VECTORS, "sliced_w2"),
    "unet": ("digits", (*IMAGES, *UNET), "norm"),
    "dit": (
        "digits",
        (*IMAGES, "model.net=dit", "model.net.width=8", "model.net.depth=1", "model.net.heads=2"),
        "norm",
    ),
    "ddpmpp": (
        "digits",
        (*IMAGES, "model.net=ddpmpp", "model.net.channels=4", "model.net.blocks=1", "model.net.multipliers=[1]"),
        "norm",
    ),
}
FLOW = ("model.blocks=[1]", "model.patch=4", "model.width=8", "model.head=4")
ENCODER = ("model.encoder=autoencoder", "model.encoder.width=4", "model.encoder.steps=2")

Setting = tuple[str, str, tuple[str, ...]]
"""section.name, its type as `genbench show` writes it, and a request that lacks it."""


def cases() -> Iterator[Case]:
    """Yield a case for each setting and every other number, in turns."""
    numeric = [(name, kinds, request) for name, kinds, request in settings() if _numbers(kinds)]
    for turn, (name, kinds, request) in enumerate(numeric):
        for title, value in list(_numbers(kinds).items())[turn % 2 :: 2]:
            wrong = title in ALWAYS_WRONG
            if wrong or name.rpartition(".")[2] not in LONG:
                net = "".join(f" {word}" for word in request if word.startswith("model.net="))
                what = f"extremes/{name} of {request[2]}{net} on {request[4]}, {title}"
                yield Case(what, (*request, "--set", f"{name}={value}"), REFUSED if wrong else ENDS, check=_finite)


def settings() -> Iterator[Setting]:
    """Yield every setting of every component, each with a small request that uses it."""
    from genbench.cli.descriptions import describe, describe_section
    from genbench.registry import datasets, encoders, metrics, models, nets

    for name in models:
        found, flow = describe(name, models)["settings"], name in ("starflow", "tarflow")
        few = ("model.points=64",) if "points" in found["model"] else ()
        request = _request(name, *(("digits", (*VECTORS, *FLOW), "norm") if flow else ("moons", (*VECTORS, *few))))
        yield from _of("model", found["model"], request)
        yield from _of("sample", found["sample"], request)
    for name in datasets:
        found = describe(name, datasets)["settings"]["data set"]
        if "path" not in found:
            yield from _of("data", found, _request("cfm", name, VECTORS))
    for name, request in NETS.items():
        yield from _of("model.net", describe(name, nets)["settings"]["net"], _request("cfm", *request))
    latent = _request("cfm", "digits", (*IMAGES, *UNET, *ENCODER), "norm")
    yield from _of("model.encoder", describe("autoencoder", encoders)["settings"]["encoder"], latent)
    for name in metrics:
        found = describe(name, metrics)["settings"]["metric"]
        pictures = "features" in found or name == "class_balance"
        data, small = ("digits", (*IMAGES, *UNET)) if pictures else ("moons", VECTORS)
        yield from _of(f"metric.{name}", found, _request("cfm", data, small, name))
    for name in ("plan", "evaluation"):
        yield from _of(name, describe_section(name)["settings"][name], _request("cfm", "moons", VECTORS))


def _of(section: str, found: Mapping[str, Mapping[str, Any]], request: tuple[str, ...]) -> Iterator[Setting]:
    for name, setting in found.items():
        yield f"{section}.{name}", setting["type"], request


def _request(model: str, data: str, settings: tuple[str, ...], metric: str = "sliced_w2") -> tuple[str, ...]:
    chosen = [word for setting in settings for word in ("--set", setting)]
    return ("run", "--model", model, "--dataset", data, "--metric", metric, "--results", "{}/out", *chosen)


def _numbers(kinds: str) -> dict[str, str]:
    """Return the numbers that a setting of a type meets; items of lists do not count."""
    first = {kind.split()[0] for kind in kinds.split(" | ") if kind}
    return (FLOATS if "float" in first else {}) | (INTEGERS if "int" in first else {})


def _finite(folder: Path, outcome: Outcome) -> str | None:
    """Return what a record holds that is not finite."""
    for path in folder.glob("out/runs/*/*/record.json"):
        found: list[str] = []
        json.loads(path.read_text(), parse_constant=found.append)
        if found:
            return f"kept {found[0]}"
    return None
