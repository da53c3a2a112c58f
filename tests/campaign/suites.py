"""Suite files that are wrong, odd or hostile; tests/sweeps/test_suite_file.py has more that are wrong."""

from collections.abc import Iterator
from pathlib import Path

from campaign.files import BYTES, PLACES
from campaign.harness import DONE, EITHER, REFUSED, Case

DATA, MODELS = 'datasets = ["moons"]\n', 'models = ["cfm"]\n'
HEAD = DATA + MODELS

KEYS = (
    "datasets",
    "models",
    "metrics",
    "seeds",
    "stack",
    "exclude",
    "include",
    "plan",
    "evaluation",
    "sample",
    "metric",
)
VALUES = ("3", '"x"', '["x"]', "[[1]]", "[{a = 1}]", "[nan]", "[true]", "[-1]", "[0.5]", "2020-01-01", "{a = 1}", "[]")
"""Values of keys, all of which are wrong, but for some empty lists."""

MODEL = {
    "its name is a number": "{name = 1}",
    "setting of a wrong type": '{name = "wcfm", kappa = "x"}',
    "setting out of range": '{name = "wcfm", kappa = -1}',
    "setting not finite": '{name = "wcfm", kappa = nan}',
    "escape in the name": '"\\u001b[2Jcfm"',
    "nine million cells": f'{{name = "wcfm", kapa = {list(range(1, 3000))}, sigma = {list(range(3000))}}}',
}
"""Wrong entries of models."""

WRONG = {
    "comment": "# nothing\n",
    "json": '{"datasets": ["moons"], "models": ["cfm"]}',
    "yaml": "datasets:\n  - moons\nmodels:\n  - cfm\n",
    "key twice": HEAD + 'models = ["fm"]\n',
    "steps are a date": HEAD + "plan = {steps = 2020-01-01}\n",
    "deep list": HEAD + "metrics = " + "[" * 5000 + "]" * 5000 + "\n",
    "deep table": HEAD + "plan = " + "{a = " * 2000 + "1" + "}" * 2000 + "\n",
    "deep key": HEAD + ".".join("a" * 5000) + " = 1\n",
    "long number": HEAD + f"seeds = [{'1' * 100_000}]\n",
    "NUL": HEAD + "seeds = [0]\0\n",
    **{
        f"{key} = {value}": "".join(
            f"{name} = {text}\n" for name, text in {"datasets": '["moons"]', "models": '["cfm"]', key: value}.items()
        )
        for key in KEYS
        for value in VALUES
        if value != "[]" or key in ("datasets", "models", "seeds")
    },
    **{f"model, {name}": f"{DATA}models = [{entry}]\n" for name, entry in MODEL.items()},
}

ENCODED = {
    "latin-1": HEAD.encode() + b"# caf\xe9\n",
    "utf-16": HEAD.encode("utf-16"),
    "all bytes": bytes(range(256)) * 40,
    "zip": b"PK\x03\x04" + bytes(100),
    "pickle": b"\x80\x04\x95\x10\x00",
}

FINE = {
    "CRLF": HEAD.replace("\n", "\r\n"),
    "no last newline": HEAD.rstrip(),
    "comments and blanks": "# a suite\n\n" + HEAD + "\n\n",
    "unicode comment": HEAD + "# \u00e9\u4e2d\U0001f600\n",
}


def cases(swept: Path) -> Iterator[Case]:
    """Yield cases of suites."""
    suites = {name: (text.encode(), REFUSED) for name, text in WRONG.items()}
    suites |= {name: (data, REFUSED) for name, data in ENCODED.items()}
    suites |= {name: (change(HEAD.encode()), EITHER) for name, change in BYTES.items()}
    suites |= {name: (text.encode(), DONE) for name, text in FINE.items()}
    suites |= {"ten megabytes": (HEAD.encode() + b"#" * 10_000_000, EITHER)}
    commands = {
        "sweep": ("sweep", "s.toml", "--dry-run"),
        "report": ("report", "--results", "r", "--suite", "s.toml"),
    }
    for number, (name, (data, expect)) in enumerate(suites.items()):
        for command, arguments in commands.items():
            if command == "sweep" or (expect == REFUSED and number % 20 == 0):

                def write(folder: Path, data: bytes = data) -> None:
                    (folder / "s.toml").write_bytes(data)

                yield Case(f"suites/{command}, {name}", arguments, expect, write, None if command == "sweep" else swept)
    for name, make in PLACES.items():
        yield Case(f"suites/{name}", commands["sweep"], files=lambda folder, make=make: make(folder / "s.toml"))
