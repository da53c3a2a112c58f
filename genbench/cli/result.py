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
    from genbench.report.formats.terminal import print_line, print_runs, ranges
    from genbench.runs.monitoring.sample_picture import NAME

    console = stdout()
    print_runs(records, console, full=full)
    path = store.record_path(spec)
    print_line(console, f"saved in {path if len(records) == 1 else store.runs}")
    if (picture := path.with_name(NAME)).exists():
        print_line(console, f"picture: {picture}")
    print_line(console, f"next: {next_command(store, spec, ranges([record['spec']['seed'] for record in records]))}")


def next_command(store: "Store", spec: "Spec", seeds: str) -> str:
    """Return a command that compares a model with another one that has a run on its data, or runs a baseline there."""
    from genbench.runs.spec import own_data_name
    from genbench.sweeps.shell_commands import baseline

    model, data = spec.model["name"].partition("@")[0], own_data_name(spec.data) or spec.data["name"].partition("@")[0]
    place = "" if store.root == Path("results") else f" --results {shlex.quote(str(store.root))}"
    others = _other_models(store, model, data)
    if others:
        return shlex.join(["genbench", "compare", others[0], model, "--dataset", data]) + place
    other = next(name for name in BASELINES if name != model)
    return baseline(spec, other, seeds) + place


def _other_models(store: "Store", model: str, data: str) -> list[str]:
    """Return the other models that have a run on data, by the names of folders."""
    from genbench.registry import models

    pattern = re.compile(rf"(.+)-{re.escape(data)}-\d+-[0-9a-f]{{12}}")
    found = [match[1] for path in sorted(store.runs.glob("*")) if (match := pattern.fullmatch(path.name))]
    # A model with a hyphen that is not ours may be a model and the beginning of another data set.
    certain = [name for name in found if name in models or "-" not in name]
    return list(dict.fromkeys(name for name in certain if name != model))
