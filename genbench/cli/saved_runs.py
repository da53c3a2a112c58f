"""Saved runs: listed, and shown with their settings, values, pictures and command."""

import shlex
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.cli.options import print_json, print_plain, stdout
from genbench.errors import ConfigError
from genbench.storage import files

if TYPE_CHECKING:
    from genbench.runs.record_types import Record


def find_run(name: str, results: Path) -> Path | None:
    """Return the folder of the latest evaluation of the run that a name refers to; None if there is no such run.

    Args:
        name: name or path of a run, or the beginning of one name.

    Raises:
        ConfigError: if several names begin so.
    """
    own = Path(name)
    if not (own / "record.json").is_file() and not list(own.glob("*/record.json")):
        there = {path.parents[1] for path in (results / "runs").glob("*/*/record.json")}
        found = sorted(path for path in there if path.name.startswith(name))
        if len(found) > 1 and own.name not in (path.name for path in found):
            raise ConfigError(f"{len(found)} runs begin with {name}, such as {found[0].name} and {found[1].name}")
        if not found:
            return None
        own = found[0]
    if (own / "record.json").is_file():
        return own
    records = sorted(own.glob("*/record.json"), key=lambda path: path.stat().st_mtime)
    return records[-1].parent if records else None


def picture_of(run: Path) -> Path:
    """Return the path of the picture of a run, given the folder of its evaluation."""
    return run / "samples.png"


def list_runs(results: Path, as_json: bool) -> None:
    """Print the runs of a results folder, each with its headline value and its time, the latest last."""
    files.require_folder(results, there=True)

    from genbench.runs.store import Store

    saved = sorted(Store(results).saved(), key=lambda pair: pair[0].stat().st_mtime)
    rows = [_line(path, record) for path, record in saved]
    if as_json:
        print_json(rows)
        return
    if not rows:
        raise ConfigError(f"{results} holds no runs: begin with genbench run --model wcfm --dataset moons")
    width = max(len(row["run"]) for row in rows)
    for row in rows:
        value = "" if row["value"] is None else f"{row['metric']} {row['value']:.4g}"
        print_plain(f"{row['run']:<{width}}  {row['time']}  {value}".rstrip())


def _line(path: Path, record: "Record") -> dict[str, Any]:
    from genbench.registry import datasets

    data = record["spec"]["data"]["name"]
    headline = datasets[data].traits.get("headline") if data in datasets else None
    known = [row for row in record["results"] if row["point"] == "main" and row["value"] is not None]
    first = next((row for row in known if row["metric"] == headline), known[0] if known else None)
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
    of_row = {"metric": first and first["metric"], "value": first and first["value"]}
    return {"run": record["labels"]["run"], "time": when, **of_row, "record": str(path)}


def show_run(run: Path, results: Path, as_json: bool) -> None:
    """Print the settings, values, pictures and command of a run, given the folder of its evaluation."""
    from genbench.runs.record import read_record

    record = read_record(run / "record.json")
    if as_json:
        print_json(record)
        return

    from genbench.report.formats.terminal import print_line, print_runs
    from genbench.runs.make_spec import restore_spec
    from genbench.sweeps.shell_commands import command

    console = stdout()
    print_runs([record], console, full=True)
    for section, values in _settings(record).items():
        text = ", ".join(f"{name}={value}" for name, value in values.items())
        for line in textwrap.wrap(f"{section}: {text}", console.width, subsequent_indent="  "):
            print_line(console, line)
    print_line(console, f"saved in {run / 'record.json'}")
    for path in sorted(run.glob("*.png")):
        print_line(console, f"picture: {path}")
    try:
        place = [] if results == Path("results") else [f"--results {shlex.quote(str(results))}"]
        print_line(console, " ".join(["repeat:", command(restore_spec(record["spec"])), *place]))
    except ConfigError as error:
        print_line(console, f"no command repeats it: {error}")


def _settings(record: "Record") -> dict[str, dict[str, Any]]:
    """Return the settings of a run by section, each with the name of its component."""
    spec, found = record["spec"], {}
    for section in ("data", "model", "plan", "sample", "evaluation"):
        values = {name: value for name, value in spec[section].items() if name not in ("name", "version")}
        found[f"{section} {spec[section].get('name', '')}".rstrip()] = {k: _written(v) for k, v in values.items()}
    return {name: values for name, values in found.items() if values}


def _written(value: Any) -> str:
    """Return a value of a setting; a component as NAME(setting=value, ...).

    >>> _written({"name": "mlp", "version": 1, "width": 64, "bias": True})
    'mlp(width=64, bias=true)'
    """
    if isinstance(value, dict):
        inner = ", ".join(f"{k}={_written(v)}" for k, v in value.items() if k not in ("name", "version"))
        return f"{value.get('name', '')}({inner})"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
