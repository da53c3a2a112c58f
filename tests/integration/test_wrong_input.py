"""Wrong numbers as values of every setting that is a number, and wrong names: each is refused in one line."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from genbench.cli.descriptions import describe, describe_section
from genbench.errors import ConfigError, Unsupported
from genbench.registry import datasets, encoders, metrics, models, nets
from genbench.runs.make_spec import make_spec
from genbench.sweeps.set_options import parse_set_options

FLOATS = ("nan", "inf", "1e308", "1e39", "-1e308")
INTEGERS = (str(2**63), str(10**30))

VECTORS = ("plan.steps=2", "plan.batch_size=8", "evaluation.n=16")
UNET = ("model.net=unet", "model.net.channels=4", "model.net.blocks=1", "model.net.multipliers=[1]")
IMAGES = (*VECTORS, "sample.method=euler", "sample.steps=1")
SMALL = ("model.net.width=8", "model.net.depth=1", "model.net.heads=2")
NETS = {
    "mlp": ("moons", VECTORS),
    "unet": ("digits", (*IMAGES, *UNET)),
    "dit": ("digits", (*IMAGES, "model.net=dit", *SMALL)),
    "ddpmpp": ("digits", (*IMAGES, "model.net=ddpmpp", *UNET[1:])),
}
FLOW = ("model.blocks=[1]", "model.patch=4", "model.width=8", "model.head=4")
ENCODER = ("model.encoder=autoencoder", "model.encoder.width=4", "model.encoder.steps=2")

Request = tuple[str, str, str, tuple[str, ...]]
"""Model, data set, metric and settings of a small run."""


def numbers() -> Iterator[tuple[str, Request]]:
    """Yield section.name=value for every setting and every number that is wrong for it, with a run that lacks it."""
    for name in (name for name in models if "@" not in name):  # other tests register files of users
        found, flow = describe(name, models)["settings"], name in ("starflow", "tarflow")
        few = ("model.points=64",) if "points" in found["model"] else ()
        data = ("digits", "norm", (*VECTORS, *FLOW)) if flow else ("moons", "sliced_w2", (*VECTORS, *few))
        yield from of("model", found["model"], (name, *data))
        yield from of("sample", found["sample"], (name, *data))
    for name in (name for name in datasets if "@" not in name):
        found = describe(name, datasets)["settings"]["data set"]
        if "path" not in found:
            yield from of("data", found, ("cfm", name, "sliced_w2", VECTORS))
    for name, (data, settings) in NETS.items():
        yield from of("model.net", describe(name, nets)["settings"]["net"], ("cfm", data, "norm", settings))
    latent = "cfm", "digits", "norm", (*IMAGES, *UNET, *ENCODER)
    yield from of("model.encoder", describe("autoencoder", encoders)["settings"]["encoder"], latent)
    for name in (name for name in metrics if "@" not in name):
        found = describe(name, metrics)["settings"]["metric"]
        of_images = "features" in found or name == "class_balance"
        data = ("digits", name, (*IMAGES, *UNET)) if of_images else ("moons", name, VECTORS)
        yield from of(f"metric.{name}", found, ("cfm", *data))
    for name in ("plan", "evaluation"):
        yield from of(name, describe_section(name)["settings"][name], ("cfm", "moons", "sliced_w2", VECTORS))


def of(section: str, found: Mapping[str, Mapping[str, Any]], request: Request) -> Iterator[tuple[str, Request]]:
    for name, setting in found.items():
        kinds = {kind.split()[0] for kind in setting["type"].split(" | ") if kind}  # items of lists do not count
        for value in FLOATS * ("float" in kinds) + INTEGERS * ("int" in kinds):
            yield f"{section}.{name}={value}", request


def test_numbers_that_are_wrong_everywhere_are_refused_in_one_line():
    tried = [*numbers()]
    for wrong, (model, data, metric, settings) in tried:
        with pytest.raises((ConfigError, Unsupported), match=r"\A[^\n]+\Z"):
            make_spec(model, data, metrics=[metric], settings=parse_set_options([*settings, wrong]))
    assert len(tried) > 1000


NAMES = [" ", "MOONS", "moons\n", "../moons", "/etc/passwd", "/dev/null", "*", "%s{0}", "os:system", "$(touch x)"]
NAMES += ["[/]", "\x1b[31mred", "\a", "\u202eabc", "=1+1", "x" * 10_000]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_wrong_name_is_refused_in_one_line_of_a_thousand_characters(cli, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    run = "run", "--dry-run", "--model", "cfm", "--dataset", "moons"
    for words in (
        (*run[:2], "--dataset", "moons", "--model", name),
        (*run[:4], "--dataset", name),
        (*run, "--metric", name),
        (*run, "--set", f"model.net={name}"),
        (*run, "--set", f"model.encoder={name}"),
        ("show", name),
        ("sweep", "--dry-run", name),
        ("report", "--results", name),
    ):
        code, out, err = cli(*words)
        assert (code, out, err.count("\n"), err[-1]) == (2, "", 1, "\n")
        assert len(err) <= 1000
        assert err[:-1].isprintable()
    assert not list(tmp_path.iterdir())
