"""Suite files that are wrong, odd or hostile."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from campaign.harness import Case

HEAD = 'datasets = ["moons"]\nmodels = ["cfm"]\n'
REFUSED_OR_DONE = frozenset({"refused", "done"})

WRONG = {
    "empty": "",
    "blank": "\n\n  \n",
    "comment": "# nothing\n",
    "no toml": "this is no TOML",
    "json": '{"datasets": ["moons"], "models": ["cfm"]}',
    "yaml": "datasets:\n  - moons\nmodels:\n  - cfm\n",
    "open string": HEAD + 'metrics = ["w2',
    "key twice": HEAD + 'models = ["fm"]\n',
    "unknown key": HEAD + "sedes = [1]\n",
    "unknown section": HEAD + "[plam]\nsteps = 1\n",
    "no models": 'datasets = ["moons"]\n',
    "no data sets": 'models = ["cfm"]\n',
    "empty models": 'datasets = ["moons"]\nmodels = []\n',
    "models are a word": 'datasets = ["moons"]\nmodels = "cfm"\n',
    "models are numbers": 'datasets = ["moons"]\nmodels = [1]\n',
    "models are lists": 'datasets = ["moons"]\nmodels = [["cfm"]]\n',
    "model without a name": 'datasets = ["moons"]\nmodels = [{kappa = 1}]\n',
    "model's name is a number": 'datasets = ["moons"]\nmodels = [{name = 1}]\n',
    "unknown model": 'datasets = ["moons"]\nmodels = ["cfn"]\n',
    "unknown setting": 'datasets = ["moons"]\nmodels = [{name = "wcfm", kapa = 1}]\n',
    "setting of a wrong type": 'datasets = ["moons"]\nmodels = [{name = "wcfm", kappa = "x"}]\n',
    "setting out of range": 'datasets = ["moons"]\nmodels = [{name = "wcfm", kappa = -1}]\n',
    "setting not finite": 'datasets = ["moons"]\nmodels = [{name = "wcfm", kappa = nan}]\n',
    "grid of nothing": 'datasets = ["moons"]\nmodels = [{name = "wcfm", kappa = []}]\n',
    "unknown data set": 'datasets = ["mooons"]\nmodels = ["cfm"]\n',
    "unknown metric": HEAD + 'metrics = ["w3"]\n',
    "metrics are a word": HEAD + 'metrics = "w2"\n',
    "no seeds": HEAD + "seeds = []\n",
    "seed is negative": HEAD + "seeds = [-1]\n",
    "seed is a word": HEAD + 'seeds = ["a"]\n',
    "seed is a fraction": HEAD + "seeds = [0.5]\n",
    "seed is true": HEAD + "seeds = [true]\n",
    "seeds are one number": HEAD + "seeds = 3\n",
    "plan is a number": HEAD + "plan = 3\n",
    "steps are negative": HEAD + "plan = {steps = -1}\n",
    "steps are a date": HEAD + "plan = {steps = 2020-01-01}\n",
    "batch is nothing": HEAD + "plan = {batch_size = 0}\n",
    "unknown plan": HEAD + "plan = {stepz = 1}\n",
    "unknown evaluation": HEAD + "evaluation = {m = 1}\n",
    "unknown solver": HEAD + 'sample = {method = "eular"}\n',
    "metric is a number": HEAD + "metric = {w2 = 3}\n",
    "stack of an unknown setting": HEAD + 'stack = ["sede"]\n',
    "stack is a word": HEAD + 'stack = "seed"\n',
    "exclude of everything": HEAD + 'exclude = [{model = "cfm"}]\n',
    "exclude of an unknown key": HEAD + 'exclude = [{modell = "cfm"}]\n',
    "exclude of an unknown model": HEAD + 'exclude = [{model = "cfn"}]\n',
    "include without a model": HEAD + 'include = [{dataset = "moons"}]\n',
    "include is a word": HEAD + 'include = "moons"\n',
    "deep list": HEAD + "metrics = " + "[" * 5000 + "]" * 5000 + "\n",
    "deep table": HEAD + "plan = " + "{a = " * 2000 + "1" + "}" * 2000 + "\n",
    "deep key": HEAD + ".".join("a" * 5000) + " = 1\n",
    "long number": HEAD + f"seeds = [{'1' * 100_000}]\n",
    "NUL": HEAD + "seeds = [0]\0\n",
    "escape in a name": 'datasets = ["moons"]\nmodels = ["\\u001b[2Jcfm"]\n',
    "a million cells too many": 'datasets = [{name = "gaussian", dim = ['
    + ", ".join(map(str, range(2, 3000)))
    + "]}]\n"
    + 'models = [{name = "wcfm", kappa = ['
    + ", ".join(f"{k}.5" for k in range(3000))
    + "]}]\n",
}

BYTES = {
    "latin-1": HEAD.encode() + b"# caf\xe9\n",
    "utf-16": HEAD.encode("utf-16"),
    "random": bytes(range(256)) * 40,
    "zip": b"PK\x03\x04" + bytes(100),
    "pickle": b"\x80\x04\x95\x10\x00",
}

FINE = {
    "CRLF": HEAD.replace("\n", "\r\n"),
    "no last newline": HEAD.rstrip(),
    "comments and blanks": "# a suite\n\n" + HEAD + "\n\n",
    "unicode comment": HEAD + "# \u00e9\u4e2d\U0001f600\n",
}
DRY = ("sweep", "s.toml", "--dry-run")


def _text(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "s.toml").write_text(text) and None


def _bytes(data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "s.toml").write_bytes(data) and None


def cases() -> Iterator[Case]:
    """Yield cases of suites."""
    for name, text in WRONG.items():
        yield Case(f"suites/sweep, {name}", DRY, files=_text(text))
    for name, data in BYTES.items():
        yield Case(f"suites/sweep, {name}", DRY, files=_bytes(data))
    for name, text in FINE.items():
        yield Case(f"suites/sweep, {name}", DRY, frozenset({"done"}), _text(text))
    for name, make in {
        "folder": lambda folder: (folder / "s.toml").mkdir(),
        "FIFO": lambda folder: os.mkfifo(folder / "s.toml"),
        "dangling link": lambda folder: (folder / "s.toml").symlink_to("nowhere"),
        "link to itself": lambda folder: (folder / "s.toml").symlink_to("s.toml"),
        "endless device": lambda folder: (folder / "s.toml").symlink_to("/dev/zero"),
        "empty device": lambda folder: (folder / "s.toml").symlink_to("/dev/null"),
        "ten megabytes": lambda folder: (folder / "s.toml").write_text(HEAD + "#" * 10_000_000) and None,
    }.items():
        expect = REFUSED_OR_DONE if name == "ten megabytes" else frozenset({"refused"})
        yield Case(f"suites/sweep, {name}", DRY, expect, make)
    for name, text in list(WRONG.items())[::6]:
        yield Case(
            f"suites/status, {name}",
            ("results", "status", "--results", "r", "--suite", "s.toml"),
            files=_text(text),
            sweep=True,
        )
        yield Case(
            f"suites/report, {name}", ("report", "--results", "r", "--suite", "s.toml"), files=_text(text), sweep=True
        )
