"""The commands sweep and reproduce."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from genbench.cli import options
from genbench.errors import ConfigError, RunFailed
from genbench.storage import files
from genbench.suites import FOLDER, find
from genbench.sweeps import suite_file
from genbench.sweeps.set_options import parse_set_options

if TYPE_CHECKING:
    from genbench.runs.record_types import Record
    from genbench.runs.spec import Spec
    from genbench.runs.store import Store


def sweep(
    suite: Annotated[
        str,
        typer.Argument(help="A suite (see genbench list suites), or a file."),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Only a row of your own for a track: a model, or file.py:name, at the first budget."),
    ] = None,
    dataset: Annotated[list[str] | None, typer.Option(help="With --model: only this task. Repeatable.")] = None,
    set_: options.Set = None,
    jobs: options.Jobs = 1,
    results: options.Results = Path("results"),
    dry_run: options.DryRun = False,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Engine that runs the cells.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster; default: RAY_ADDRESS, or a new cluster.")
    ] = None,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs per run on a Ray cluster.")] = 0.0,
    log: options.Log = None,
    quiet: options.Quiet = False,
) -> None:
    """Run the missing cells of a suite, or of a row of your own for a track, and print the tables."""
    settings = parse_set_options(set_ or [])
    if engine == "local" and (address is not None or gpus):
        raise ConfigError("--address and --gpus are for a Ray cluster: add --engine ray")
    if engine == "ray" and jobs != 1:
        raise ConfigError("--jobs is for the local engine: omit it; Ray runs one cell per free core")
    if dataset and model is None:
        raise ConfigError("--dataset selects tasks of a row of your own: add --model")
    path = find(suite)
    suite_file.read(path)  # a wrong name is refused before torch is imported

    from genbench.analysis.track_runs import row_cells, usual_seconds
    from genbench.report.publish import publish_suite, require_own_folder
    from genbench.results.status import cell_names
    from genbench.runs.monitoring.loggers import check_kinds
    from genbench.runs.store import Store, writable_store
    from genbench.storage.memory import paused_collection
    from genbench.sweeps import suite as suites
    from genbench.sweeps.executors import execute, local
    from genbench.sweeps.progress import ProgressDisplay, duration
    from genbench.sweeps.ray_executor import RayExecutor

    with paused_collection():
        if model is None:
            loaded = suites.load(Path(suite), settings)
            if path.parent == FOLDER and loaded.places and settings.keys() - {"data"}:
                raise ConfigError(f"--set: {suite} fixes all settings but those of data: copy {path} to change others")
        else:
            loaded = suites.Sweep(path.stem, row_cells(path, model, dataset or (), settings))
        store = Store(results) if dry_run else writable_store(results)
        records = [kept if store.is_complete(spec, kept := store.record(spec)) else None for spec in loaded.specs]
    missing = [spec for spec, record in zip(loaded.specs, records, strict=True) if record is None]
    executor = RayExecutor(store, address, gpus) if engine == "ray" else local(store, jobs)
    typer.echo(f"{suite}: {len(loaded.specs)} cells, {len(missing)} to run", err=True)
    if model is not None and (seconds := usual_seconds(path, missing)):
        typer.echo(
            f"about {duration(seconds / jobs)}, if it costs what the published runs of the baseline did", err=True
        )
    if dry_run:
        from genbench.cli.printing import print_cells
        from genbench.results.status import of_suite

        print_cells(of_suite(loaded.specs, store), jobs, options.stdout())
        return
    if model is None:
        require_own_folder(results / loaded.name)
    labels = cell_names(missing)
    with ProgressDisplay(labels, options.stderr(), skipped=len(loaded.specs) - len(missing)) as display:
        reasons = execute(missing, store, executor, display.on_event, check_kinds(log or ()))
    failed = {store.record_path(spec): why for spec, why in zip(missing, reasons, strict=True) if why is not None}
    if model is None:
        publish_suite(loaded.name, loaded.specs, store, options.stdout(), failed, records, loaded.places)
    if model is not None or loaded.places:
        _print_board(suite, store, loaded.specs if model is not None else ())
    options.check_failures(reasons, f"of {len(missing)} cells failed; the same command tries them again")


def _print_board(suite: str, store: "Store", own: "Sequence[Spec]") -> None:
    """Print the table of a track across its tasks, the tasks of a row of one's own, and the next command."""
    from genbench.report.formats import terminal
    from genbench.report.track_board import track_board
    from genbench.report.track_table import across_table, task_table

    board = track_board(find(suite), store)
    tables = [task_table(board, own[0].plan["steps"], None, {spec.data_label for spec in own})] if own else []
    terminal.show([*tables, across_table(board)], options.stdout())
    words = ["genbench", "leaderboard", "--track", suite, "--results", str(store.root)]
    typer.echo(f"next: {shlex.join(words)}")


def reproduce(
    suites: Annotated[list[str], typer.Argument(help="Published suites, or tracks.")],
    whole: Annotated[bool, typer.Option("--whole", help="All cells of tracks, not the sample they declare.")] = False,
    jobs: options.Jobs = 1,
    results: options.Results = Path("reproduced"),
    against: Annotated[
        Path | None,
        typer.Option(help="Results folder with the published values; default: results, or the package's own."),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Train published cells again, and say how far their values agree.

    For a track these are the cells of its declared sample, for another suite all cells.
    """
    paths, usual = [find(name) for name in suites], Path("results")
    against = against or (usual if all((usual / path.stem).is_dir() for path in paths) else FOLDER)
    files.require_folder(against, there=True)
    if results.resolve() == against.resolve():
        raise ConfigError(f"--results {results}: reproduce trains into a folder of its own, not into --against")

    from genbench.analysis.reproduction import reproduction
    from genbench.results.status import cell_names
    from genbench.runs.store import writable_store
    from genbench.sweeps.executors import execute, local
    from genbench.sweeps.progress import ProgressDisplay

    specs, published, every, unpublished, changed = _chosen(paths, whole, against)
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
    found = reproduction(again, published, every)
    for sentence in found.sentences():
        options.print_wrapped(sentence)
    lacking = f"; not: {_some(unpublished)}" if unpublished else ""
    options.print_wrapped(f"{len(specs)} of {len(specs) + len(unpublished)} declared cells are published{lacking}")
    for path in paths:
        _print_track(path, against)
    if changed:
        raise RunFailed(
            f"{len(changed)} published runs match no declared cell, because a version or a setting has changed: "
            f"{_some(changed)}"
        )
    if found.absent:
        raise RunFailed(
            f"{len(found.absent)} published runs were not repeated, or not as a whole: {_some(found.absent)}"
        )
    if found.problems:
        raise RunFailed(f"these do not agree with the values published in {against}: {_some(found.problems)}")


class _Chosen(NamedTuple):
    """What is to be reproduced.

    Args:
        published: the published records of the cells.
        every: all published records, for the spread over seeds.
        unpublished: the declared cells without a published record.
        changed: published runs that should be repeated, but that no declared cell describes any more.
    """

    specs: list["Spec"]
    published: list["Record"]
    every: list["Record"]
    unpublished: list[str]
    changed: list[str]


def _chosen(paths: list[Path], whole: bool, against: Path) -> _Chosen:
    from genbench.analysis.reproduction import same_cell
    from genbench.results.reader import RECORDS
    from genbench.runs.record import identity, read_published, without_metrics
    from genbench.runs.store import labels_of
    from genbench.sweeps import suite

    found = _Chosen([], [], [], [], [])
    for path in paths:
        loaded = suite.load(path)
        if not (against / loaded.name / RECORDS).exists():
            raise ConfigError(f"{against} publishes no {loaded.name}: there is nothing to compare with")
        records = [r for r in read_published(against / loaded.name / RECORDS) if "failure" not in r and r["results"]]
        found.every.extend(records)
        by_run, alike = {identity(r): r for r in records}, {same_cell(r["spec"]): r for r in records}
        declared = loaded.sample if loaded.sample and not whole else loaded.specs
        matched = set()
        for spec in declared:
            labels = labels_of(spec)
            record = by_run.get((labels["run"], labels["evaluation"])) or alike.get(same_cell(spec.json()))
            # A record may have metrics of other suites, too.
            others = record["spec"]["metrics"].keys() - spec.metrics.keys() if record is not None else set()
            if record is not None and (own := without_metrics(record, others)) is not None:
                matched.add(identity(record))
                found.specs.append(spec)
                found.published.append(own)
            else:
                found.unpublished.append(f"{labels['model']} on {labels['data']}, seed {spec.seed}")
        places = {(spec.data_label, spec.plan["steps"], spec.seed) for spec in loaded.sample}
        wanted = [r for r in records if _place(r) in places and _is_default(r)]
        wanted = records if declared is loaded.specs else wanted
        found.changed.extend(r["labels"]["run"] for r in wanted if identity(r) not in matched)
    if not found.specs and not found.changed:
        raise ConfigError(f"{against} publishes no cell of {', '.join(path.stem for path in paths)}")
    return found


def _place(record: "Record") -> tuple[str, int, int]:
    return record["labels"]["data"], record["spec"]["plan"]["steps"], record["spec"]["seed"]


def _is_default(record: "Record") -> bool:
    return any("default" in place["tables"] for place in record.get("track", ()))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f", and {len(names) - 3} others" if len(names) > 3 else "")


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
        table = across_table(track_board(path, Store(against), "default"))
        title = f"As published in {against}, not measured again: {table.title}"
        terminal.show([replace(table, title=title)], options.stdout())
