"""Commands that read results: report, leaderboard, compare, plan."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from genbench.cli import options
from genbench.errors import ConfigError, unknown
from genbench.storage import files
from genbench.storage.memory import paused_collection
from genbench.suites import find

WIDE = 1000
"""Width of a Markdown table in characters; pages wrap tables themselves."""


@paused_collection()
def report(
    results: options.Results = Path("results"),
    suite: Annotated[Path | None, typer.Option(metavar="SUITE", help="Only this suite; sweep it first.")] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Page to write, with a folder of further pages beside it; default: RESULTS/report.html."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Also print all tables.")] = False,
    open_: options.Open = False,
) -> None:
    """Write a page with tables, charts and pictures of all results, and print the tables of its tracks."""
    only = "" if suite is None else suite.stem if suite.suffix == ".toml" else suite.name
    swept = [path.parent.name for path in results.glob("*/records.jsonl.gz")]
    published = only in swept
    if suite is not None and not published:
        own = Path(f"{suite}.toml")  # its sweep may have been interrupted before it wrote tables
        suite = own if own.is_file() else suite
        find(suite, further=swept)  # an unknown name is refused before torch is imported
    files.require_folder(results, there=True)
    if only and not published:
        raise ConfigError(f"{results} has no tables of {only} yet: finish genbench sweep {suite}")
    page = html or results / "report.html"
    if page.suffix != ".html" or page.is_dir():
        raise ConfigError(f"--html {page}: name a file that ends with .html, such as {results / 'report.html'}")

    from genbench.report import publish
    from genbench.runs.store import Store

    publish.publish_report(Store(results), page, options.stdout(), only, full=full)
    if open_:
        options.open_file(page)


@paused_collection()
def leaderboard(
    results: options.Results = Path("results"),
    track: Annotated[str, typer.Option(help="A track (see genbench list suites), or its file.")] = "plane-v1",
    settings: Annotated[
        Literal["default", "tuned"] | None,
        typer.Option(help="Settings of the methods; default: tuned once every run has its tuned counterpart."),
    ] = None,
    add: Annotated[
        list[Path] | None, typer.Option(help="A submission to include (see genbench results submit). Repeatable.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Also draw quality against NFE: FILE.svg, FILE.pdf or FILE.png.")
    ] = None,
    as_json: options.AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the first table as Markdown.")] = False,
) -> None:
    """Compare the published methods of a track, and your own (see genbench sweep --model)."""
    if as_json and as_markdown:
        raise ConfigError("--json and --markdown exclude each other: choose one")
    for path in add or ():
        if not path.is_file():
            raise ConfigError(f"{path} does not exist or is not a file")
    place = find(track, "track")
    # Without results of one's own the published ones are shown; a name that was typed is there, or a mistake.
    files.require_folder(results, there=not add and results != Path("results"))

    from genbench.analysis.submitted import read_submission, submission_name
    from genbench.analysis.track_runs import all_records
    from genbench.report.formats import terminal, writers
    from genbench.report.track_board import track_board
    from genbench.report.track_table import METHODS, across_table, track_tables
    from genbench.runs.store import Store

    names = [submission_name(path) for path in add or ()]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"--add: two submissions are called {twice[0]}: rename one of the files")
    store = Store(results)
    own = all_records(place, store) if add else []
    joined = [read_submission(path, own) for path in add or ()]
    submitted = [each for _, rows in joined for each in rows]
    board = track_board(place, store, settings, [record for records, _ in joined for record in records])
    if figure is not None:
        from genbench.report.formats.figures import write_charts
        from genbench.report.plots import track_curves

        if (drawn := track_curves(board)) is None:
            raise ConfigError(f"--figure: no method of {board.name} has all seeds, so there is nothing to draw")
        options.say(f"written: {write_charts(drawn, figure, board.models)}")
    if as_json:
        options.print_json(board.json() | {"submitted": [each._asdict() for each in submitted]})
        return
    if as_markdown:
        typer.echo(writers.markdown(across_table(board, METHODS), width=WIDE), nl=False)
    else:
        terminal.show(track_tables(board), options.stdout())
    for each in submitted:
        other = any(row.startswith(each.model) for row in board.further) or not each.confirmed
        why = "" if other else f"; trained or measured differently from {board.name}, so it gets no row"
        options.print_wrapped(f"{each.model} on {each.data}: {each}{why}.", err=as_markdown)
    if any(each.confirmed < each.seeds for each in submitted):
        added = " or ".join(path.name for path in add or ())
        hint = f"Only confirmed seeds count: genbench verify {added} --sample N measures N records again."
        options.print_wrapped(hint, err=as_markdown)
    if not as_markdown:
        options.print_wrapped(f"shorter: add --markdown (first table, at most {METHODS} methods and your own)")
        if not board.further:
            options.print_wrapped(f"next: genbench sweep {track} --model mine.py (adds your own row)")


@paused_collection()
def compare(
    one: Annotated[str, typer.Argument(help="A run, record or results folder; with --dataset, a model.")],
    other: Annotated[str, typer.Argument(help="What to compare it with, of the same kind.")],
    dataset: Annotated[str | None, typer.Option(help="Compare two models on this data set.")] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Only this metric. Repeatable.")] = None,
    results: options.Results = Path("results"),
    as_json: options.AsJson = False,
) -> None:
    """Compare two models, runs or sweeps: is the difference more than noise?"""
    if metric and dataset is None:
        raise ConfigError("--metric selects metrics of two models: add --dataset")
    if dataset is not None:
        files.require_folder(results, there=True)

    from genbench.analysis.compare import compare_models, compare_records
    from genbench.cli.printing import print_comparison, print_models
    from genbench.registry import datasets
    from genbench.results.names import typed_name
    from genbench.results.reader import load_records

    if dataset is not None:
        first, second, data = typed_name(one), typed_name(other), typed_name(dataset, datasets)
        difference = compare_models(load_records(results), first, second, data, metric or ())
        if as_json:
            options.print_json(difference.json())
        else:
            print_models(difference, options.stdout())
        return
    comparisons, alone = compare_records(load_records(Path(one), results), load_records(Path(other), results))
    if as_json:
        options.print_json({"comparisons": [part.json() for part in comparisons], "alone": alone})
    else:
        print_comparison(comparisons, alone, options.stdout())


@paused_collection()
def plan(
    published: Annotated[bool, typer.Option("--published", help="Compare published differences with chance.")] = False,
    add: Annotated[list[Path] | None, typer.Option(help="TOML file of published numbers to add. Repeatable.")] = None,
    difference: Annotated[str, typer.Option(help="Difference to detect, in percent of the value: 1.5%.")] = "",
    metric: Annotated[str, typer.Option(help="fid; with --dataset, any metric of its results.")] = "fid",
    dataset: Annotated[
        str, typer.Option(help="Estimate the spread from your or published results on this data set.")
    ] = "",
    samples: Annotated[list[int] | None, typer.Option(min=2, help="Samples per evaluation. Repeatable.")] = None,
    results: options.Results = Path("results"),
    as_json: options.AsJson = False,
) -> None:
    """State whether published differences exceed chance, or how many seeds and samples a study needs."""
    if published == bool(difference):
        raise ConfigError("plan: write --published, or --difference 1.5% --metric fid")
    share = _share(difference) if difference else 0.0

    from genbench.analysis import claims
    from genbench.report.claims_table import READING, claims_tables, plan_table, summary
    from genbench.report.formats.terminal import show

    known = claims.read()
    for path in add or ():
        known = claims.read(path, known)
    if published:
        judged = list(claims.audits(known))
        if as_json:
            options.print_json([audit.json() for audit in judged])
            return
        show(claims_tables(judged, known), options.stdout())
        options.print_wrapped(f"{summary(judged)} {READING}", indent="")
        return
    family = known.spreads.get(metric.partition("-")[0])
    if family and (not dataset or dataset in known.costs):
        spread, costs = family, {name: cost for name, cost in known.costs.items() if dataset in ("", name)}
        title = f"Study that detects a difference of {difference} in {metric}"
    else:
        from genbench.analysis.variance_components import crossed
        from genbench.results.reader import read_groups
        from genbench.runs.store import Store
        from genbench.suites import FOLDER

        if not dataset:
            raise unknown("plan: add --dataset, because there is no published spread of", metric, known.spreads)
        files.require_folder(results, there=results != Path("results"))
        own = read_groups(Store(results)) if results.exists() else []
        table = crossed(own, dataset, metric, published=read_groups(Store(FOLDER)))
        spread, costs = table.spread(), table.costs()
        title = f"Study that detects a difference of {difference} in {metric} on {dataset}"
    if samples and not spread.evaluation[1]:
        raise ConfigError(f"--samples: the results state no interval of {metric}, so the effect of samples is unknown")
    parts = (0.1, 0.2, 1.0) if spread.evaluation[1] else (1.0,)
    numbers = samples or [max(2, round(spread.samples * part)) for part in parts]
    found = claims.options(share, spread, numbers, costs)
    if as_json:
        rows = [option._asdict() for option in found]
        options.print_json({"difference": share, "spread": spread.model_dump(), "options": rows})
    else:
        show([plan_table(title, found, spread, costs)], options.stdout())


def _share(text: str) -> float:
    """Return the share that a percentage states.

    >>> _share("1.5%")
    0.015
    """
    number = text.removesuffix("%").strip()
    try:
        share = float(number) / 100
    except ValueError:
        share = 0.0
    if not text.endswith("%") or not 0 < share < 10:
        raise ConfigError(f"--difference {text}: write a percentage of the value above 0, as 1.5%")
    return share
