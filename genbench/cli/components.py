"""Commands on components and suites: list, show, check, schema, validate, doctor."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from genbench.cli.options import AsJson, commands, print_json, stdout
from genbench.errors import ConfigError, RunFailed

app = commands()


@app.command("list")
def list_command(
    kind: Annotated[str, typer.Argument(help="models, datasets, metrics, suites, ...; default: all.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the available names, each with a one-line summary."""
    from genbench import registry
    from genbench.cli import catalog
    from genbench.errors import unknown
    from genbench.suites import packaged

    broken = catalog.broken()
    found: dict[str, dict[str, str]] = {}
    for title, known in registry.ALL.items():
        found[title] = {}
        for name in known:
            try:
                found[title][name] = broken.get((title, name)) or known.summary(name)
            except ConfigError as error:
                found[title][name] = f"broken, {error}"
    found["suites"] = packaged()
    if kind and kind not in found:
        raise unknown("nothing to list called", kind, found)
    selected = {kind: found[kind]} if kind else found
    if as_json:
        print_json(selected)
        return
    for title, names in selected.items():
        typer.echo(typer.style(title, bold=True))
        width = max((len(name) for name in names), default=0)
        for name, summary in names.items():
            typer.echo(f"  {name:<{width}}  {summary}")


@app.command()
def show(name: Annotated[str, typer.Argument(help="Name of a component.")], as_json: AsJson = False) -> None:
    """Show the settings of a component (type, default, meaning) and where it comes from."""
    from genbench import registry
    from genbench.errors import unknown

    names = [known for kind in registry.ALL.values() for known in kind]
    if name not in names:
        raise unknown("nothing called", name, names)
    from genbench.report.components import describe, print_description

    description = describe(name)
    if as_json:
        print_json(description)
    else:
        print_description(description, stdout())


@app.command()
def check(
    module: Annotated[str, typer.Argument(help="A module that registers components, or a Python file.")],
    dataset: Annotated[list[str] | None, typer.Option(help="A data set to check metrics on. Repeatable.")] = None,
) -> None:
    """Run the conformance tests on every component that a module registers."""
    from genbench.testing import check_module

    try:
        for line in check_module(module, dataset or ()):
            typer.echo(line)
    except AssertionError as error:
        raise RunFailed(str(error)) from error


@app.command()
def validate(suite: Annotated[Path, typer.Argument(help="A suite: its name or path.")]) -> None:
    """Check every cell of a suite without running it."""
    from genbench.cli import requests

    requests.check_suite(suite, {})

    from genbench.registry import metrics
    from genbench.runs.component import settings_in
    from genbench.settings import check_paths
    from genbench.sweeps import suite as suites

    specs = suites.load(suite).specs
    for spec in specs:
        for name, part in spec.metrics.items():
            check_paths(metrics[name].build, settings_in(part), name)
    models = {(spec.model_label, spec.data_label) for spec in specs}
    trained = {spec.train_key for spec in specs}
    ensembles = {spec.members[0].train_key: len(spec.stack) for spec in specs if spec.stack}
    line = f"{suite}: {len(specs)} cells, {len(models)} pairs of model and data set, {len(trained)} trained models"
    typer.echo(f"{line}, {sum(ensembles.values())} of them in {len(ensembles)} ensembles" if ensembles else line)


@app.command()
def schema(
    kind: Annotated[Literal["suite", "record"], typer.Argument(help="The files it describes.")] = "suite",
) -> None:
    """Print the JSON Schema of suites or records. Editors use it with `#:schema PATH` as the first line of a suite."""
    if kind == "record":
        from genbench.runs.record import RECORD

        print_json(RECORD.json_schema())
        return
    from genbench.sweeps.suite_schema import schema as suite_schema

    print_json(suite_schema())


@app.command()
def doctor() -> None:
    """Show versions, devices, downloaded data and weights, and what each missing piece would enable."""
    from genbench.cli.environment import findings

    for line in findings():
        typer.echo(line)
