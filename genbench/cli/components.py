"""The command line on components: what there is, its settings, whether it keeps the rules, and what is missing here."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from genbench.errors import RunFailed

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print plain JSON on stdout, and nothing else.")]


@app.command("list")
def list_command(
    kind: Annotated[str, typer.Argument(help="models, datasets, metrics, suites, ...; default: all.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the names that can be used, with a line on each."""
    from genbench import registry
    from genbench.errors import unknown

    found: dict[str, dict[str, str]] = {}
    for name, known in registry.ALL.items():
        found[name] = {item: known.summary(item) for item in known}
    suites = sorted(Path("benchmarks").glob("**/*.toml"))
    found["suites"] = {str(path): _first_comment(path) for path in suites}
    if kind and kind not in found:
        raise unknown("nothing to list called", kind, found)
    chosen = {kind: found[kind]} if kind else found
    if as_json:
        typer.echo(json.dumps(chosen, indent=1))
        return
    for title, names in chosen.items():
        typer.echo(typer.style(title, bold=True))
        width = max((len(name) for name in names), default=0)
        for name, summary in names.items():
            typer.echo(f"  {name:<{width}}  {summary}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A model, net, data set or metric.")], as_json: AsJson = False
) -> None:
    """Show the settings of a component: type, default, meaning; and where it comes from."""
    from rich.console import Console

    from genbench.report.formats.terminal import describe, print_description

    description = describe(name)
    if as_json:
        typer.echo(json.dumps(description, indent=1))
    else:
        print_description(description, Console(width=None if sys.stdout.isatty() else 160))


@app.command()
def check(module: Annotated[str, typer.Argument(help="A module that registers components.")]) -> None:
    """Run the conformance tests on everything that a module registers."""
    from genbench.testing import check_module

    try:
        for line in check_module(module):
            typer.echo(line)
    except AssertionError as error:
        raise RunFailed(str(error)) from error


@app.command()
def doctor() -> None:
    """Show versions, devices, and which data and weights are found; what each missing piece would enable."""
    from genbench.cli.environment import findings

    for line in findings():
        typer.echo(line)


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ") if first.startswith("#") else ""
