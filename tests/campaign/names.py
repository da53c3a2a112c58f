"""Names and values that are wrong: of components, suites, settings and options."""

import dataclasses
from collections.abc import Iterator

from campaign.harness import Case

RUN = ("run", "--dry-run", "--model", "cfm", "--dataset", "moons")
REFUSED_OR_DONE = frozenset({"refused", "done"})

NAMES = {
    "empty": "",
    "space": " ",
    "newline": "moons\n",
    "case": "MOONS",
    "prefix": "moon",
    "misspelt": "mooons",
    "blank inside": "mo ons",
    "dashes": "--",
    "parent": "../moons",
    "system file": "/etc/passwd",
    "null device": "/dev/null",
    "glob": "*",
    "format": "%s{0}",
    "dunder": "__class__",
    "module": "os:system",
    "shell": "$(touch x)",
    "markup": "[bold]x[/bold]",
    "closing markup": "[/]",
    "html": "<script>alert(1)</script>",
    "escape": "\x1b[31mred",
    "bell": "\a",
    "right to left": "\u202eabc",
    "emoji": "\U0001f600",
    "combining": "e\u0301",
    "digit": "1",
    "none": "none",
    "json": '{"name": "moons"}',
    "long": "x" * 10_000,
    "url": "https://example.com/x.npz",
}

VALUES = {
    "word": "abc",
    "empty": "",
    "minus one": "-1",
    "zero": "0",
    "half": "0.5",
    "huge": "1e30",
    "overflow": "1e999",
    "many digits": "1" * 5000,
    "nan": "nan",
    "inf": "inf",
    "true": "true",
    "none": "none",
    "list": "[]",
    "list of lists": "[[1]]",
    "table": "{a=1}",
    "open bracket": "[1, 2",
    "quote": '"',
    "deep": "[" * 3000 + "]" * 3000,
    "escape": "\x1b[2J",
    "path": "/etc/passwd",
}

ALWAYS_WRONG = ("table", "list of lists", "deep", "many digits", "escape")
"""Values that no setting of a number, a name or a list accepts."""

OPTIONS = {
    "unknown command": ("rum",),
    "unknown option": (*RUN, "--sed", "1"),
    "option without value": (*RUN, "--seed"),
    "argument too many": (*RUN, "x"),
    "model missing": ("run", "--dataset", "moons"),
    "dataset missing": ("run", "--model", "cfm"),
    "seed is a word": (*RUN, "--seed", "x"),
    "seed is negative": (*RUN, "--seed", "-1"),
    "seed is a fraction": (*RUN, "--seed", "0.5"),
    "devices are none": (*RUN, "--devices", "0"),
    "devices are negative": (*RUN, "--devices", "-2"),
    "devices do not divide the batch": (*RUN, "--devices", "3", "--set", "plan.batch_size=64"),
    "devices are 100000": (*RUN, "--devices", "100000"),
    "accelerator is unknown": (*RUN, "--accelerator", "abacus"),
    "logger is unknown": (*RUN, "--log", "paper"),
    "set without value": (*RUN, "--set", "plan.steps"),
    "set without section": (*RUN, "--set", "steps=3"),
    "set without name": (*RUN, "--set", "=3"),
    "set of an unknown section": (*RUN, "--set", "plam.steps=3"),
    "set below a value": (*RUN, "--set", "plan.steps.x=3"),
    "set twice, once below": (*RUN, "--set", "plan.steps=3", "--set", "plan.steps.x=3"),
    "set of dots": (*RUN, "--set", "...=3"),
    "set of a thousand levels": (*RUN, "--set", "model." + ".".join("x" * 1000) + "=3"),
    "set of a metric": (*RUN, "--set", "metric.w2=3"),
    "set of a metric that is not measured": (*RUN, "--metric", "w2", "--set", "metric.mmd.n=3"),
    "threads are 100000": (*RUN, "--set", "plan.threads=100000"),
    "dims are huge": ("run", "--dry-run", "--model", "cfm", "--dataset", "gaussian", "--set", "data.dims=1000000000"),
    "width is huge": (*RUN, "--set", "model.net.width=100000000"),
    "batch is huge": (*RUN, "--set", "plan.batch_size=100000000000"),
    "samples are too many": (*RUN, "--set", "evaluation.n=100000000000000"),
    "images for vectors": (*RUN, "--set", "model.net=unet"),
    "vectors for images": ("run", "--dry-run", "--model", "nsf", "--dataset", "digits"),
    "results is a file": (*RUN[:1], *RUN[2:], "--results", "/etc/passwd"),
    "results is a device": (*RUN[:1], *RUN[2:], "--results", "/dev/null"),
    "results in proc": (*RUN[:1], *RUN[2:], "--results", "/proc/x"),
    "results has a NUL": (*RUN, "--results", "a\0b"),
    "results has a long name": (*RUN[:1], *RUN[2:], "--results", "x" * 300),
    "sweep without a suite": ("sweep",),
    "jobs are none": ("sweep", "smoke", "--jobs", "0", "--dry-run"),
    "jobs are a word": ("sweep", "smoke", "--jobs", "two", "--dry-run"),
    "engine is unknown": ("sweep", "smoke", "--engine", "steam", "--dry-run"),
    "list of an unknown kind": ("list", "modells"),
    "check of an unknown module": ("check", "no_such_module"),
    "check of a module without components": ("check", "json"),
    "compare without a data set": ("compare", "cfm", "wcfm"),
    "compare of one": ("compare", "cfm"),
    "tune without candidates": ("tune", "cfm", "--dataset", "moons"),
    "tune over nothing": ("tune", "cfm", "--dataset", "moons", "--over", "plan.lr=[]"),
    "tune over a value": ("tune", "cfm", "--dataset", "moons", "--over", "plan.lr=0.1"),
    "tune without seeds": ("tune", "cfm", "--dataset", "moons", "--over", "plan.lr=[0.1]", "--seeds", "0"),
    "status of nothing": ("results", "status", "--results", "nowhere"),
    "verify of nothing": ("verify", "nowhere"),
    "clean of nothing": ("results", "clean", "--results", "nowhere"),
    "merge of nothing": ("results", "merge", "nowhere", "--results", "into"),
    "eval of nothing": ("eval", "nowhere"),
    "eval of an array without its data set": ("eval", "x.npy"),
}


def cases() -> Iterator[Case]:
    """Yield cases of wrong names, wrong options and wrong values of settings."""
    for kind, arguments in {
        "model": ("run", "--dry-run", "--dataset", "moons", "--model"),
        "dataset": ("run", "--dry-run", "--model", "cfm", "--dataset"),
        "metric": (*RUN, "--metric"),
        "show": ("show",),
        "suite": ("sweep", "--dry-run"),
        "report": ("report", "--results"),
    }.items():
        for name, text in NAMES.items():
            yield Case(f"names/{kind}, {name}", (*arguments, text))
    for kind in ("net", "encoder"):
        for name, text in NAMES.items():
            expect = frozenset({"refused"}) if name != "none" else REFUSED_OR_DONE
            yield Case(f"names/{kind}, {name}", (*RUN, "--set", f"model.{kind}={text}"), expect)
    # The record says why a metric has no value; the other metrics have theirs.
    pictures = (*RUN, "--metric", "fd-digits_cnn")
    yield Case("options/a metric of images for vectors", pictures, ("done",))
    for name, arguments in OPTIONS.items():
        yield Case(f"options/{name}", arguments)
    for number, (model, data, setting) in enumerate(_settings()):
        arguments = ("run", "--dry-run", "--model", model, "--dataset", data, *_metric(setting), "--set")
        for name, value in list(VALUES.items())[number % 6 :: 6]:  # a sixth of the values each
            expect = frozenset({"refused"}) if name in ALWAYS_WRONG else REFUSED_OR_DONE
            yield Case(f"settings/{model} on {data}, {setting}, {name}", (*arguments, f"{setting}={value}"), expect)


def _metric(setting: str) -> tuple[str, ...]:
    return ("--metric", setting.split(".")[1]) if setting.startswith("metric.") else ()


def _settings() -> Iterator[tuple[str, str, str]]:
    """Yield settings of every section: model, data set, section.name."""
    from genbench import registry
    from genbench.metrics.sampling import Sampling
    from genbench.settings import settings_of
    from genbench.training.plan import Plan

    def names(registered: registry.Registry, name: str) -> list[str]:
        return list(settings_of(registered[name].build))

    for model in registry.models:
        if registry.models.origin(model) == "genbench":
            for name in names(registry.models, model):
                yield model, "moons", f"model.{name}"
    for data in ("moons", "gaussian", "mixture", "digits", "8gaussians-moons"):
        for name in names(registry.datasets, data):
            yield "cfm", data, f"data.{name}"
    for metric in ("w2", "sliced_w2", "nll", "mmd", "energy_distance"):
        for name in names(registry.metrics, metric):
            yield "cfm", "moons", f"metric.{metric}.{name}"
    for field in dataclasses.fields(Plan):
        yield "cfm", "moons", f"plan.{field.name}"
    for field in dataclasses.fields(Sampling):
        yield "cfm", "moons", f"evaluation.{field.name}"
    for name in ("method", "steps", "tolerance", "guidance"):
        yield "cfm", "moons", f"sample.{name}"
