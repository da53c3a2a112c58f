"""Environments, hostile labels and signals."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

from campaign.harness import Case, Outcome
from campaign.suites import HEAD

TRAIN = (
    "run",
    "--model",
    "cfm",
    "--dataset",
    "moons",
    "--metric",
    "sliced_w2",
    "--set",
    "evaluation.n=64",
    "--results",
    "{}/out",
)
SHORT = (*TRAIN, "--set", "plan.steps=5")
LONG = (*TRAIN, "--set", "plan.steps=100000")
DONE = frozenset({"done"})

ENVIRONMENTS = {
    "home is a file": {"GENBENCH_HOME": "/etc/passwd"},
    "home is a device": {"GENBENCH_HOME": "/dev/null"},
    "home in proc": {"GENBENCH_HOME": "/proc/genbench"},
    "home is empty": {"GENBENCH_HOME": ""},
    "home has a blank": {"GENBENCH_HOME": "{}/a b"},
    "home is relative": {"GENBENCH_HOME": "x/y"},
    "home is unicode": {"GENBENCH_HOME": "{}/\u00e9\U0001f600"},
    "no such user home": {"HOME": "/nowhere"},
    "ascii": {"LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": "ascii"},
    "narrow terminal": {"COLUMNS": "10"},
    "columns are a word": {"COLUMNS": "wide"},
    "no color": {"NO_COLOR": "1"},
    "forced color": {"FORCE_COLOR": "1"},
    "no temporary folder": {"TMPDIR": "/nowhere"},
    "time zone": {"TZ": "Pacific/Kiritimati"},
    "rank is a word": {"LOCAL_RANK": "x", "RANK": "x", "WORLD_SIZE": "x"},
    "rank alone": {"LOCAL_RANK": "1"},
    "cuda devices are words": {"CUDA_VISIBLE_DEVICES": "a,b"},
    "offline": {"HF_HUB_OFFLINE": "1", "GENBENCH_OFFLINE": "1"},
    "no path": {"PATH": ""},
}

COMMANDS = (
    ("list",),
    ("show", "cfm"),
    ("doctor",),
    ("results", "status"),
    ("results", "status", "--results", "r"),
    ("report",),
    ("report", "--results", "r"),
    ("verify",),
    ("results", "clean"),
    ("results", "merge", "r", "--results", "into"),
    ("compare", "a", "b"),
    ("eval", "r/runs/x"),
    ("leaderboard",),
    ("submit",),
    ("check", "m.py"),
    ("sweep", "smoke"),
    ("sweep", "smoke", "--dry-run"),
    ("sweep", "s.toml"),
    ("tune", "cfm", "--dataset", "moons", "--over", "plan.lr=[0.1]"),
    ("run", "--model", "cfm", "--dataset", "moons"),
    ("run", "--model", "cfm", "--dataset", "moons", "--dry-run"),
    ("run", "--model", "m.py", "--dataset", "moons"),
    ("run", "--model", "cfm", "--dataset", "x.npy"),
)
"""Commands with their results folders in the current folder."""

LABELS = {
    "script": "<script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(1)>',
    "style": "</style><script>alert(1)</script>",
    "comment": "--><script>alert(1)</script>",
    "template": "{{ 7*7 }}{% raw %}",
    "entity": "&lt;script&gt;",
    "formula": "=1+1",
    "formula of a command": "@SUM(1)",
    "blank": "two words",
    "unicode": "\u00e9\u4e2d\u6587\U0001f600",
    "latex": "$x_1$ \\input{/etc/passwd} %&#~^{}",
    "markup": "[red]x[/red][link=file:///]",
    "closing markup": "[/]",
    "pipe": "a|b|c",
    "backticks": "`x`",
    "percent": "%s%d%n",
    "long": "x" * 200,
    "quote": 'it\'s "so"',
}


def _no_script(folder: Path, outcome: Outcome) -> str | None:
    page = folder / "p.html"
    if not page.is_file():
        return "no page was written"
    text = page.read_text(encoding="utf-8")
    live = re.search(r"<script>alert|<img src=x|onerror=alert(?![^<]*&)|>49<", text)
    return f"the page has {live[0]}" if live else None


def _no_lease(folder: Path, outcome: Outcome) -> str | None:
    left = [path for path in (folder / "out/leases").rglob("*") if path.is_file()] if (folder / "out").exists() else []
    return f"left {len(left)} leases" if left else None


def cases() -> Iterator[Case]:
    """Yield cases of environments, labels and signals."""
    for name, variables in ENVIRONMENTS.items():
        for command in (SHORT, ("list",), ("doctor",)):
            yield Case(f"environment/{command[0]}, {name}", command, frozenset({"done", "refused"}), env=variables)
    suite = HEAD + 'metrics = ["sliced_w2"]\nplan = {steps = 2, batch_size = 8}\nevaluation = {n = 32}\n'
    for name, label in LABELS.items():
        if "/" in label:
            continue

        def write(folder: Path, label: str = label) -> None:
            (folder / f"{label}.toml").write_text(suite)

        sweep = ("sweep", f"{{}}/{label}.toml", "--results", "out")
        yield Case(f"labels/suite called {name}", sweep, frozenset({"done", "refused"}), write)
    for name, label in LABELS.items():

        def relabel(folder: Path, label: str = label) -> None:
            import gzip
            import json

            path = folder / "r/tiny/records.jsonl.gz"
            records = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
            for record in records:
                record["spec"]["model"]["cost"] = label
                record.pop("sha256", None)
            lines = "".join(json.dumps(record) + "\n" for record in records)
            path.write_bytes(gzip.compress(lines.encode()))

        report = ("report", "--results", "r", "--html", "p.html", "--latex")
        ends = frozenset({"done", "refused"})
        yield Case(f"labels/setting of a record is {name}", report, ends, relabel, True, check=_no_script_if_written)
    for number in (signal.SIGINT, signal.SIGTERM):
        for seconds in (0.05, 0.3, 1.0, 2.0, 4.0):
            yield Case(
                f"signals/{number.name} after {seconds} s",
                LONG,
                frozenset({"stopped"}),
                check=_no_lease,
                send=(number, seconds),
            )
    yield Case("signals/SIGHUP after 1 s", LONG, frozenset({"stopped"}), send=(signal.SIGHUP, 1.0))
    for number, command in enumerate(COMMANDS):
        name = f"environment/{command[0]} ({number}) in a folder that is gone"
        yield Case(name, command, frozenset({"refused"}), gone=True)


def _no_script_if_written(folder: Path, outcome: Outcome) -> str | None:
    return _no_script(folder, outcome) if outcome.ending == "done" else None
