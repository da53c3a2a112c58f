"""The largest, smallest and non-finite numbers as values of every setting that is a number, in runs that train."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

from campaign.harness import Case, Outcome

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

REFUSED = frozenset({"refused"})
ENDS = REFUSED | {"done", "failed"}
"""A value that makes no sense is refused or makes the run fail; one that is only odd gives finite results."""

LONG = ("steps", "tune", "pairs", "draws", "subsets", "directions", "probes", "sweeps")
"""Settings of which a large value asks for a long run, which is not wrong."""

VECTORS = ("plan.steps=2", "plan.batch_size=8", "evaluation.n=16")
UNET = ("model.net=unet", "model.net.channels=4", "model.net.blocks=1", "model.net.multipliers=[1]")
IMAGES = (*VECTORS, "sample.method=euler", "sample.steps=1")
NETS = {
    "mlp": ("moons", VECTORS),
    "unet": ("digits", (*IMAGES, *UNET)),
    "dit": ("digits", (*IMAGES, "model.net=dit", "model.net.width=8", "model.net.depth=1", "model.net.heads=2")),
}
FLOW = ("model.blocks=[1]", "model.patch=4", "model.width=8", "model.head=4")
ENCODER = ("model.encoder=autoencoder", "model.encoder.width=4", "model.encoder.steps=2")

Setting = tuple[str, tuple[Any, ...], tuple[str, ...]]
"""section.name, its types, and a request that lacks it."""


def cases() -> Iterator[Case]:
    """Yield a case for each setting and every other number, in turns."""
    for turn, (name, types, request) in enumerate(_settings()):
        numbers = (FLOATS if float in types else {}) | (INTEGERS if int in types else {})
        numbers = dict(list(numbers.items())[turn % 2 :: 2])
        long = name.rpartition(".")[2] in LONG
        for title, value in numbers.items():
            wrong = title in ALWAYS_WRONG
            if wrong or not long:
                what = f"extremes/{name} of {request[2]} on {request[4]}, {title}"
                arguments = (*request, "--set", f"{name}={value}")
                yield Case(what, arguments, REFUSED if wrong else ENDS, check=_finite)


def _finite(folder: Path, outcome: Outcome) -> str | None:
    """Return what a record holds that is not finite."""
    for path in folder.glob("out/runs/*/*/record.json"):
        found: list[str] = []
        json.loads(path.read_text(), parse_constant=found.append)
        if found:
            return f"kept {found[0]}"
    return None


def _settings() -> Iterator[Setting]:
    from genbench import registry
    from genbench.metrics.sampling import Sampling
    from genbench.runs.component import sampler
    from genbench.settings import settings_of
    from genbench.training.plan import Plan

    for name in registry.models:
        flow = name in ("starflow", "tarflow")
        few = ("model.points=64",) if "points" in settings_of(registry.models[name].build) else ()
        request = _request(name, *(("digits", (*VECTORS, *FLOW), "norm") if flow else ("moons", (*VECTORS, *few))))
        yield from _numbers("model", registry.models[name].build, request)
        yield from _numbers("sample", sampler(registry.models[name]), request)
    for name in registry.datasets:
        if "path" not in settings_of(registry.datasets[name].build):
            yield from _numbers("data", registry.datasets[name].build, _request("cfm", name, VECTORS))
    for name, (data, settings) in NETS.items():
        metric = "sliced_w2" if data == "moons" else "norm"
        yield from _numbers("model.net", registry.nets[name].build, _request("cfm", data, settings, metric))
    latent = _request("cfm", "digits", (*IMAGES, *UNET, *ENCODER), "norm")
    yield from _numbers("model.encoder", registry.encoders["autoencoder"].build, latent)
    for name in registry.metrics:
        entry = registry.metrics[name]
        pictures = "features" in settings_of(entry.build) or name == "class_balance"
        request = (
            _request("cfm", "digits", (*IMAGES, *UNET), name) if pictures else _request("cfm", "moons", VECTORS, name)
        )
        yield from _numbers(f"metric.{name}", entry.build, request)
    yield from _numbers("plan", Plan, _request("cfm", "moons", VECTORS))
    yield from _numbers("evaluation", Sampling, _request("cfm", "moons", VECTORS))


def _request(model: str, data: str, settings: tuple[str, ...], metric: str = "sliced_w2") -> tuple[str, ...]:
    chosen = [word for setting in settings for word in ("--set", setting)]
    return ("run", "--model", model, "--dataset", data, "--metric", metric, "--results", "{}/out", *chosen)


def _numbers(section: str, builder: Callable, request: tuple[str, ...]) -> Iterator[Setting]:
    from genbench.settings import settings_of

    for setting in settings_of(builder).values():
        types = tuple(_types(setting.type))
        if setting.nested is None and not {float, int}.isdisjoint(types):
            yield f"{section}.{setting.name}", types, request


def _types(annotation: Any) -> Iterator[Any]:
    """Yield the types of a setting; those of the items of a list do not count."""
    arguments = get_args(annotation)
    if not arguments:
        yield annotation
    elif getattr(annotation, "__metadata__", None):
        yield from _types(arguments[0])
    elif getattr(annotation, "__origin__", None) not in (tuple, list):
        for argument in arguments:
            yield from _types(argument)
