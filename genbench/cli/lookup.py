"""Commands on components, saved runs and the installation: list, show, check, new, doctor."""

import re
import shlex
import shutil
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from genbench.cli.options import AsJson, Open, Results, open_file, print_json, print_plain, print_wrapped, stdout
from genbench.errors import ConfigError, RunFailed
from genbench.storage import files

if TYPE_CHECKING:
    from genbench.registry import Registry
    from genbench.runs.record_types import Record

SECTIONS = ("plan", "evaluation")
TEMPLATES = Path(__file__).parent / "templates"


def list_command(
    kind: Annotated[
        str, typer.Argument(help="models, datasets, metrics, suites, runs, ...; default: all but runs.")
    ] = "",
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """List components and suites with one-line summaries, or saved runs from oldest to latest."""
    from genbench import registry
    from genbench.errors import unknown
    from genbench.suites import packaged

    if kind == "runs":
        list_runs(results, as_json)
        return
    found = {title: {name: known.summary(name) for name in known} for title, known in registry.ALL.items()}
    found["suites"] = packaged()
    if kind and kind not in found:
        raise unknown("nothing to list called", kind, [*found, "runs"])
    selected = {kind: found[kind]} if kind else found
    if as_json:
        print_json(selected)
        return
    columns = shutil.get_terminal_size().columns
    for title, names in selected.items():
        typer.echo(typer.style(title, bold=True))
        width = max((len(name) for name in names), default=0)
        left = columns - width - 4
        for name, summary in names.items():
            typer.echo(f"  {name:<{width}}  {summary if len(summary) <= left else f'{summary[: left - 1]}…'}")


def show(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[KIND] NAME", help="A component (or file.py:name), a run, plan or evaluation."),
    ],
    results: Results = Path("results"),
    open_: Open = False,
    as_json: AsJson = False,
) -> None:
    """Describe a component and its settings, or print the values, pictures and command of a run."""
    from genbench import registry
    from genbench.errors import unknown

    *kinds, name = words
    if len(words) == 1 and (named := [key for key in registry.ALL if name in (key, key.removesuffix("s"))]):
        raise ConfigError(f"show {name}: add a name from `genbench list {named[0]}`: genbench show {name} NAME")
    kind = kinds[0].removesuffix("s") + "s" if kinds else ""
    if len(words) > 2 or kind not in ("", *registry.ALL):
        raise ConfigError(
            f"show {' '.join(words)}: write one name, or a kind and a name; kinds: {', '.join(registry.ALL)}"
        )
    registries = [registered for key, registered in registry.ALL.items() if kind in ("", key)]
    if code := re.fullmatch(r"(.+\.py)(?::([^:/]+))?", name):
        registries, name = _of_file(Path(code[1]), code[2], registries)
    found = next((registered for registered in registries if name in registered), None)
    if found is None and not kind and (run := _latest_evaluation(name, results)) is not None:
        show_run(run, results, as_json)
        if open_:
            open_file(run / "samples.png")
        return
    if found is None and (kind or name not in SECTIONS):
        names = [known for registered in registries for known in registered]
        raise unknown(f"nothing among {kind} called" if kind else "nothing called", name, [*names, *SECTIONS])
    if open_:
        raise ConfigError("--open shows the picture of a run: name a run (genbench list runs)")

    from genbench.cli.descriptions import describe, describe_section, print_description

    description = describe_section(name) if found is None else describe(name, found)
    if as_json:
        print_json(description)
    else:
        print_description(description, stdout())


def _of_file(path: Path, name: str | None, registries: "list[Registry]") -> "tuple[list[Registry], str]":
    """Return the registry and the full name of a component that a user's file registers.

    Raises:
        ConfigError: if the file registers no such component, or several.
    """
    from genbench.errors import unknown
    from genbench.user_code import load_file

    digest = load_file(path)
    there = {f"{each.kind} {own}": (each, own) for each in registries for own in each.of_file(digest)}
    found = [pair for pair in there.values() if name in (None, pair[1])]
    if not found and name is not None:
        raise unknown(f"{path} does not register", name, [own for _, own in there.values()])
    if len(found) != 1:
        what = f"{', '.join(there)}: name one, as genbench show KIND {path}:NAME" if there else "no such component"
        raise ConfigError(f"{path} registers {what}")
    return [found[0][0]], f"{found[0][1]}@{digest}"


def check(
    module: Annotated[str, typer.Argument(help="A module that registers components, or a Python file.")],
    dataset: Annotated[list[str] | None, typer.Option(help="A data set to check metrics on. Repeatable.")] = None,
) -> None:
    """Run the conformance tests on the components of a module."""
    from genbench.testing import check_module

    try:
        for line in check_module(module, dataset or ()):
            print_wrapped(line)
    except AssertionError as error:
        raise RunFailed(str(error)) from error


def new(
    kind: Annotated[Literal["model", "dataset", "metric", "suite"], typer.Argument(help="Kind of template.")],
    name: Annotated[str, typer.Argument(help="Name of the component and of its file.")],
) -> None:
    """Write a template file for a model, data set, metric or suite."""
    if not re.fullmatch(r"[a-z][\w-]*", name):
        raise ConfigError(f"new {kind} {name}: a name is a lowercase letter, followed by letters, digits, - or _")
    path = Path(f"{name.replace('-', '_')}.py" if kind != "suite" else f"{name}.toml")
    text = (TEMPLATES / f"{kind}.txt").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text.replace("NAME", name).replace("FILE", path.stem))
    except FileExistsError as error:
        raise ConfigError(f"{path} exists already: choose another name, or remove it") from error
    typer.echo(f"written: {path}; its first lines say how to use it")


def doctor() -> None:
    """Show what is installed and downloaded, and what is missing."""
    from genbench.testing.installation import findings

    for line in findings():
        print_wrapped(line)


def _latest_evaluation(name: str, results: Path) -> Path | None:
    """Return the folder of the latest evaluation of a run, found as by `find_run`; None if nothing was measured."""
    from genbench.runs.record import find_run

    found = find_run(results, name)
    records = [*found.glob("record.json"), *found.glob("*/record.json")] if found is not None else []
    return max(records, key=lambda path: path.stat().st_mtime).parent if records else None


def list_runs(results: Path, as_json: bool) -> None:
    """Print the runs of a results folder, each with its time, its headline value and its settings, the latest last."""
    files.require_folder(results, there=True)

    from genbench.results.frames import names_of
    from genbench.results.names import metric_names, named
    from genbench.runs.store import Store

    saved = sorted(Store(results).saved(), key=lambda pair: pair[0].stat().st_mtime)
    records = named([record for _, record in saved])
    metrics = metric_names({row["metric"] for record in records for row in record["results"]})
    rows = [_line(path, record, metrics) for (path, _), record in zip(saved, records, strict=True)]
    rows = [{**row, "model": name} for row, name in zip(rows, names_of(records), strict=True)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        raise ConfigError(f"{results} holds no runs: begin with genbench run --model wcfm --dataset moons")
    values = ["" if row["value"] is None else f"{row['metric']} {row['value']:.4g}" for row in rows]
    widths = max(len(row["run"]) for row in rows), max(map(len, values))
    for row, value in zip(rows, values, strict=True):
        words = f"{row['model']} {row['data']}".split()
        settings = " ".join(word for word in words if "=" in word or "@" in word)  # the name of the run has the others
        print_plain(f"{row['run']:<{widths[0]}}  {row['time']}  {value:<{widths[1]}}  {settings}".rstrip())


def _line(path: Path, record: "Record", metrics: Mapping[str, str]) -> dict[str, Any]:
    from genbench.registry import datasets

    data = record["spec"]["data"]["name"]
    headline = datasets[data].traits.get("headline") if data in datasets else None
    known = [row for row in record["results"] if row["point"] == "main" and row["value"] is not None]
    first = next((row for row in known if row["metric"] == headline), known[0] if known else None)
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
    of_row = {"metric": first and metrics[first["metric"]], "value": first and first["value"]}
    labels = {"run": record["labels"]["run"], "data": record["labels"]["data"]}
    return {**labels, "time": when, **of_row, "record": str(path)}


def show_run(run: Path, results: Path, as_json: bool) -> None:
    """Print the settings, values, pictures and command of a run, given the folder of its evaluation."""
    from genbench.runs.record import read_record

    record = read_record(run / "record.json")
    if as_json:
        print_json(record)
        return

    from genbench.report.formats.terminal import print_line, print_runs
    from genbench.runs.make_spec import repeatable_spec
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
        repeat = command(repeatable_spec(record["spec"]))
        print_line(console, f"repeat: {repeat} --results {shlex.quote(str(results))}")
    except ConfigError as error:
        print_line(console, f"no command repeats this run: {error}")


def _settings(record: "Record") -> dict[str, dict[str, Any]]:
    """Return the settings of a run by section, each with the name of its component."""
    from genbench.cli.descriptions import written

    spec, found = record["spec"], {}
    for section in ("data", "model", "plan", "sample", "evaluation"):
        values = {name: value for name, value in spec[section].items() if name not in ("name", "version")}
        found[f"{section} {spec[section].get('name', '')}".rstrip()] = {k: written(v) for k, v in values.items()}
    return {name: values for name, values in found.items() if values}
