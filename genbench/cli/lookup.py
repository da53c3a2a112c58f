"""Commands on components and the installation: list, show, check, new, doctor."""

import re
import shutil
from pathlib import Path
from typing import Annotated, Literal

import typer

from genbench.cli.options import AsJson, Open, Results, open_file, print_json, print_wrapped, stdout
from genbench.cli.saved_runs import find_run, list_runs, picture_of, show_run
from genbench.errors import ConfigError, RunFailed

SECTIONS = ("plan", "evaluation", "sample", "data")
TEMPLATES = Path(__file__).parent / "templates"


def list_command(
    kind: Annotated[
        str, typer.Argument(help="models, datasets, metrics, suites, runs, ...; default: all but runs.")
    ] = "",
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """List names, each with a line of summary; of runs, the latest one last."""
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
        for name, summary in names.items():
            typer.echo(f"  {name:<{width}}  {_shortened(summary, columns - width - 4)}")


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def show(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[KIND] NAME", help="A component, a run, or: plan, evaluation, sample, data."),
    ],
    results: Results = Path("results"),
    open_: Open = False,
    as_json: AsJson = False,
) -> None:
    """Show what a component is, and what its settings mean; of a run, its values, pictures and command."""
    from genbench import registry
    from genbench.errors import unknown

    *kinds, name = words
    if len(words) == 1 and (named := [key for key in registry.ALL if name in (key, key.removesuffix("s"))]):
        raise ConfigError(f"show {name}: add a name, which `genbench list {named[0]}` has: genbench show {name} NAME")
    kind = kinds[0].removesuffix("s") + "s" if kinds else ""
    if len(words) > 2 or kind not in ("", *registry.ALL):
        raise ConfigError(f"show {' '.join(words)}: write a name, with a kind before it: {', '.join(registry.ALL)}")
    registries = [registered for key, registered in registry.ALL.items() if kind in ("", key)]
    found = next((registered for registered in registries if name in registered), None)
    if found is None and not kind and (run := find_run(name, results)) is not None:
        show_run(run, results, as_json)
        if open_:
            open_file(picture_of(run))
        return
    if found is None and (kind or name not in SECTIONS):
        names = [known for registered in registries for known in registered]
        raise unknown(f"nothing among {kind} called" if kind else "nothing called", name, [*names, *SECTIONS])
    if open_:
        raise ConfigError("--open is for a run, which has a picture (genbench list runs)")

    from genbench.cli.descriptions import describe, describe_section, print_description

    description = describe_section(name) if found is None else describe(name, found)
    if as_json:
        print_json(description)
    else:
        print_description(description, stdout())


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
    kind: Annotated[Literal["model", "dataset", "metric", "suite"], typer.Argument(help="What to begin.")],
    name: Annotated[str, typer.Argument(help="Its name, and that of the file.")],
) -> None:
    """Write a template: a model, data set, metric or suite."""
    if not re.fullmatch(r"[a-z][\w-]*", name):
        raise ConfigError(f"new {kind} {name}: a name begins with a small letter, then letters, digits, - and _")
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
