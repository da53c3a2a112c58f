"""The command reproduce."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genbench.cli import options
from genbench.errors import ConfigError, RunFailed
from genbench.storage import files
from genbench.suites import find

if TYPE_CHECKING:
    from genbench.runs.record_types import Record
    from genbench.runs.spec import Spec


def reproduce(
    suites: Annotated[
        list[str], typer.Argument(help="Published suites, or tracks.", autocompletion=options.complete("suites"))
    ],
    whole: Annotated[bool, typer.Option("--whole", help="All cells of tracks, not the sample they declare.")] = False,
    jobs: options.Jobs = 1,
    results: options.Results = Path("reproduced"),
    against: Annotated[Path, typer.Option(help="Results folder with the published values.")] = Path("results"),
    quiet: options.Quiet = False,
) -> None:
    """Train published cells again, and say how far their values agree.

    Of a track those of the sample that it declares, of another suite all.
    """
    paths = [find(name) for name in suites]
    files.require_folder(against, there=True)
    if results.resolve() == against.resolve():
        raise ConfigError(f"--results {results}: reproduce trains into a folder of its own, not into --against")

    from genbench.results.comparing import reproduction
    from genbench.results.status import cell_names
    from genbench.runs.store import writable_store
    from genbench.sweeps.executors import execute, local
    from genbench.sweeps.progress import ProgressDisplay

    specs, published, seeds = _chosen(paths, whole, against)
    hours = sum(map(_seconds, published)) / 3600
    store = writable_store(results)
    missing = [spec for spec in specs if not store.is_complete(spec, store.record(spec))]
    typer.echo(
        f"{len(specs)} published cells, {len(missing)} to run; the published runs of all took {hours:.1f} hours of a "
        "processor",
        err=True,
    )
    with ProgressDisplay(cell_names(missing), options.stderr(), skipped=len(specs) - len(missing)) as display:
        execute(missing, store, local(store, jobs), display.on_event)
    again = [record for spec in specs if (record := store.record(spec)) is not None]
    found = reproduction(again, published, seeds)
    options.print_wrapped(str(found))
    for path in paths:
        _print_track(path, against)
    if found.absent:
        names = ", ".join(found.absent[:3]) + (", and others" if len(found.absent) > 3 else "")
        raise RunFailed(f"{len(found.absent)} published runs were not repeated, or not as a whole: {names}")
    if found.agreeing < found.compared:
        raise RunFailed(f"{found.compared - found.agreeing} values do not agree with those published in {against}")


def _chosen(paths: list[Path], whole: bool, against: Path) -> tuple[list["Spec"], list["Record"], list["Record"]]:
    """Return the cells that are to be run, their published records, and all that are published."""
    from genbench.results.comparing import same_cell
    from genbench.results.reader import RECORDS
    from genbench.runs.record import identity, read_published, without_metrics
    from genbench.runs.store import labels_of
    from genbench.sweeps import suite

    specs, found, every = [], [], []
    for path in paths:
        loaded = suite.load(path)
        if not (against / loaded.name / RECORDS).exists():
            raise ConfigError(f"{against} publishes no {loaded.name}: there is nothing to compare with")
        records = [r for r in read_published(against / loaded.name / RECORDS) if "failure" not in r and r["results"]]
        every += records
        by_run, alike = {identity(r): r for r in records}, {same_cell(r["spec"]): r for r in records}
        for spec in loaded.sample if loaded.sample and not whole else loaded.specs:
            labels = labels_of(spec)
            record = by_run.get((labels["run"], labels["evaluation"])) or alike.get(same_cell(spec.json()))
            # A record may have metrics of other suites, too.
            others = record["spec"]["metrics"].keys() - spec.metrics.keys() if record is not None else set()
            if record is not None and (own := without_metrics(record, others)) is not None:
                specs.append(spec)
                found.append(own)
    if not specs:
        raise ConfigError(f"{against} publishes no cell of {', '.join(path.stem for path in paths)}")
    return specs, found, every


def _seconds(record: "Record") -> float:
    from genbench.results.frames import cost_of

    cost = cost_of(record)
    return cost.get("train_seconds", 0.0) + cost.get("evaluate_seconds", 0.0)


def _print_track(path: Path, against: Path) -> None:
    """Print the published leaderboard of a track; nothing for another suite."""
    from genbench.report.formats import terminal
    from genbench.report.track_board import track_board
    from genbench.report.track_table import across_table
    from genbench.runs.store import Store
    from genbench.sweeps.suite_file import read

    if read(path).track is not None:
        terminal.show([across_table(track_board(path, Store(against), "default"))], options.stdout())
