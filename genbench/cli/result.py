"""What a run prints at its end: values, where its files are, and what to do next."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.cli.options import stdout

if TYPE_CHECKING:
    from genbench.runs.record_types import Record
    from genbench.runs.spec import Spec
    from genbench.runs.store import Store

BASELINES = ("cfm", "otcfm")
"""The first of these that is not the model itself is what it is compared with first."""


def print_result(records: "Sequence[Record]", store: "Store", spec: "Spec", full: bool) -> None:
    """Print the values of runs that differ in their seeds, their files, a picture and the next command.

    Args:
        spec: of the first run.
    """
    from genbench.report.formats.terminal import print_line, print_runs
    from genbench.runs.monitoring.sample_picture import NAME

    console = stdout()
    print_runs(records, console, full=full)
    path = store.record_path(spec)
    print_line(console, f"kept in {path if len(records) == 1 else store.runs}")
    if (picture := path.with_name(NAME)).exists():
        print_line(console, f"picture: {picture}")
    print_line(console, f"next: {next_command(store, spec)}")


def next_command(store: "Store", spec: "Spec") -> str:
    """Return a command that compares a model with another one that has a run on its data, or runs a baseline there."""
    from genbench.sweeps.shell_commands import baseline

    model, data = spec.model["name"], spec.data["name"]
    place = [] if store.root == Path("results") else ["--results", str(store.root)]
    others = _other_models(store, spec)
    if others:
        return shlex.join(["genbench", "compare", others[0], model, "--dataset", data, *place])
    other = next(name for name in BASELINES if name != model)
    return shlex.join([*baseline(spec, other), *place])


def _other_models(store: "Store", spec: "Spec") -> list[str]:
    """Return the other models that have a run on the data of a spec, by the names of folders."""
    from genbench.registry import models

    pattern = re.compile(rf"(.+)-{re.escape(spec.data['name'])}-\d+-[0-9a-f]{{12}}")
    found = [match[1] for path in sorted(store.runs.glob("*")) if (match := pattern.fullmatch(path.name))]
    return list(dict.fromkeys(name for name in found if name in models and name != spec.model["name"]))
