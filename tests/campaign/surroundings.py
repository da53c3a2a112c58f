"""Environments and signals."""

import signal
from collections.abc import Iterator
from pathlib import Path

from campaign.harness import EITHER, STOPPED, Case, Outcome

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


def cases() -> Iterator[Case]:
    """Yield cases of environments and signals."""
    for name, variables in ENVIRONMENTS.items():
        for command in (SHORT, ("list",), ("doctor",)):
            yield Case(f"environment/{command[0]}, {name}", command, EITHER, env=variables)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for seconds in (0.05, 0.3, 1.0, 2.0, 4.0):
            name = f"signals/{number.name} after {seconds} s"
            yield Case(name, LONG, STOPPED, check=_no_lease, send=(number, seconds))


def _no_lease(folder: Path, outcome: Outcome) -> str | None:
    left = [path for path in (folder / "out/leases").rglob("*") if path.is_file()] if (folder / "out").exists() else []
    return f"left {len(left)} leases" if left else None
