"""Names and values that are wrong: of components, suites and settings."""

from collections.abc import Iterator

from campaign.extremes import settings
from campaign.harness import EITHER, REFUSED, Case

RUN = ("run", "--dry-run", "--model", "cfm", "--dataset", "moons")

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
    "image": '"><img src=x onerror=alert(1)>',
    "style": "</style><script>alert(1)</script>",
    "comment": "--><script>alert(1)</script>",
    "template": "{{ 7*7 }}{% raw %}",
    "entity": "&lt;script&gt;",
    "formula": "=1+1",
    "latex": "$x_1$ \\input{/etc/passwd} %&#~^{}",
    "pipe": "a|b|c",
    "backticks": "`x`",
    "quotes": 'it\'s "so"',
    "long": "x" * 200,
    "very long": "x" * 10_000,
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


def cases() -> Iterator[Case]:
    """Yield cases of wrong names and wrong values of settings."""
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
            expect = REFUSED if name != "none" else EITHER
            yield Case(f"names/{kind}, {name}", (*RUN, "--set", f"model.{kind}={text}"), expect)
    for number, (setting, _, request) in enumerate(settings()):
        for name, value in list(VALUES.items())[number % 10 :: 10]:  # a tenth of the values each
            what = f"settings/{setting} of {request[2]} on {request[4]}, {name}"
            expect = REFUSED if name in ALWAYS_WRONG else EITHER
            yield Case(what, (*request, "--dry-run", "--set", f"{setting}={value}"), expect)
