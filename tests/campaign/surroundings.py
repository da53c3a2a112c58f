"""Environments, hostile labels and signals."""

import gzip
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

from campaign.harness import EITHER, STOPPED, Case, Outcome
from campaign.names import NAMES
from campaign.suites import HEAD

TRAIN = (
    *("run", "--model", "cfm", "--dataset", "moons", "--metric", "sliced_w2", "--results", "{}/out"),
    *("--set", "evaluation.n=64", "--set"),
)
SHORT = (*TRAIN, "plan.steps=5")
LONG = (*TRAIN, "plan.steps=100000")

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


def cases(swept: Path) -> Iterator[Case]:
    """Yield cases of environments, labels and signals."""
    for name, variables in ENVIRONMENTS.items():
        for command in (SHORT, ("list",), ("doctor",)):
            yield Case(f"environment/{command[0]}, {name}", command, EITHER, env=variables)
    for command in (SHORT, ("list",), ("results", "status"), ("sweep", "smoke", "--dry-run")):
        yield Case(f"environment/{command[0]} in a folder that is gone", command, gone=True)
    suite = HEAD + 'metrics = ["sliced_w2"]\nplan = {steps = 2, batch_size = 8}\nevaluation = {n = 32}\n'
    for name, label in NAMES.items():
        if "/" not in label and len(label) < 250:
            sweep = ("sweep", f"{{}}/{label}.toml", "--results", "out")
            yield Case(
                f"labels/suite called {name}",
                sweep,
                EITHER,
                lambda folder, label=label: (folder / f"{label}.toml").write_text(suite),
            )

        def relabel(folder: Path, label: str = label) -> None:
            path = folder / "r/tiny/records.jsonl.gz"
            records = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
            for record in records:
                record["spec"]["model"]["cost"] = label
                record.pop("sha256", None)
            path.write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode()))

        report = ("report", "--results", "r", "--html", "p.html")
        yield Case(f"labels/setting of a record is {name}", report, EITHER, relabel, swept, check=_no_script)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for seconds in (0.05, 0.3, 1.0, 2.0, 4.0):
            name = f"signals/{number.name} after {seconds} s"
            yield Case(name, LONG, STOPPED, check=_no_lease, send=(number, seconds))


def _no_script(folder: Path, outcome: Outcome) -> str | None:
    page = folder / "p.html"
    if outcome.ending == "refused":
        return None
    if not page.is_file():
        return "no page was written"
    live = re.search(r"<script>alert|<img src=x|onerror=alert(?![^<]*&)|>49<", page.read_text(encoding="utf-8"))
    return f"the page has {live[0]}" if live else None


def _no_lease(folder: Path, outcome: Outcome) -> str | None:
    left = [path for path in (folder / "out/leases").rglob("*") if path.is_file()] if (folder / "out").exists() else []
    return f"left {len(left)} leases" if left else None
