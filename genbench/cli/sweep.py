"""The command sweep."""

import shlex
from collections.abc import Collection
from importlib.util import find_spec
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from genbench.cli import options
from genbench.errors import ConfigError, unknown
from genbench.suites import FOLDER, find
from genbench.sweeps.set_options import parse_set_options

if TYPE_CHECKING:
    from genbench.runs.store import Store


def sweep(
    suite: Annotated[
        str,
        typer.Argument(help="A suite (see genbench list suites), or a file."),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Run only this model (or file.py:name) on the tasks of a track, at its first budget."),
    ] = None,
    dataset: Annotated[list[str] | None, typer.Option(help="Run only cells on this data set. Repeatable.")] = None,
    budget: Annotated[int | None, typer.Option(help="Run only cells of a track with this number of steps.")] = None,
    settings: Annotated[
        Literal["default", "tuned"] | None,
        typer.Option(
            help="Run only cells of a track with default settings, or only cells whose settings were changed by tuning."
        ),
    ] = None,
    set_: options.Set = None,
    jobs: options.Jobs = 1,
    ray: Annotated[
        bool, typer.Option("--ray", help="Run on the Ray cluster of RAY_ADDRESS; without one, on a local one.")
    ] = False,
    gpus_per_cell: Annotated[
        int | None, typer.Option(min=1, help="GPUs of a cell on Ray; default: one, if the cluster has any.")
    ] = None,
    results: options.Results = Path("results"),
    dry_run: options.DryRun = False,
    log: options.Log = None,
    quiet: options.Quiet = False,
) -> None:
    """Run the missing cells of a suite, or your own model on the tasks of a track, and print the tables."""
    changes = parse_set_options(set_ or [])
    if model is not None and (budget is not None or settings is not None):
        raise ConfigError("--model takes neither --budget nor --settings: omit them; --set plan.steps=N sets its steps")
    if jobs > 1 and ray:
        raise ConfigError("--ray takes no --jobs: it runs as many cells at a time as the cluster has room for")
    if gpus_per_cell and not ray:
        raise ConfigError("--gpus-per-cell needs --ray")
    if ray and not find_spec("ray"):
        raise ConfigError("--ray needs Ray: pip install 'genbench[ray]'")
    path = find(suite)

    from genbench.sweeps import suite_file

    contents = suite_file.read(path)  # wrong names are refused before torch is imported
    if contents.track is None and (budget is not None or settings is not None):
        raise ConfigError(f"{path.stem} is not a track: omit --budget and --settings")
    if settings == "tuned" and any(each.steps == budget and not each.tuned for each in contents.budgets):
        raise ConfigError(f"{path.stem} has only default settings at {budget} steps: omit --settings")
    if settings == "tuned" and not contents.chosen:
        raise ConfigError(
            f"tuning has chosen no settings yet: run {shlex.join(['genbench', 'tune', '--track', suite])}"
        )
    if budget is not None and budget not in (known := [each.steps for each in contents.budgets]):
        raise ConfigError(f"{path.stem} has no budget of {budget} steps; its budgets are {', '.join(map(str, known))}")
    entries = [*contents.datasets, *(part.dataset for part in contents.include)]
    sets = {entry.name for entry in entries}
    for name in (label.partition(" ")[0] for label in dataset or ()):  # other words are checked when cells are known
        if name not in sets and not any("path" in entry.settings for entry in entries):  # as are hashes of files
            raise unknown(f"{path.stem} has no data set", name, sets)

    from genbench.analysis.labels import counted
    from genbench.analysis.track_runs import row_cells
    from genbench.report.publish import publish_suite, require_own_folder
    from genbench.results.reader import RECORDS
    from genbench.results.status import cell_names
    from genbench.runs.monitoring.loggers import check_kinds
    from genbench.runs.record import read_published
    from genbench.runs.store import Store, writable_store
    from genbench.storage.memory import paused_collection
    from genbench.sweeps import suite as suites
    from genbench.sweeps.durations import recorded_durations
    from genbench.sweeps.execution import execute
    from genbench.sweeps.progress import ProgressDisplay

    with paused_collection():
        if model is None:
            loaded = suites.load(Path(suite), changes)
            if path.parent == FOLDER and loaded.places and changes.keys() - {"data"}:
                raise ConfigError(f"--set: {suite} fixes all settings except data.*: to change others, copy {path}")
        else:
            loaded = suites.Sweep(path.stem, row_cells(path, model, changes))
        chosen = [loaded.specs[index] for index in sorted(loaded.part(dataset or (), budget, settings))]
        store = Store(results) if dry_run else writable_store(results)
        records = [store.record(spec) for spec in chosen]
        undone = [not store.is_complete(spec, record) for spec, record in zip(chosen, records, strict=True)]
        missing = [*compress(chosen, undone)]
        # Cells that are done tell budgets apart, too. Names of thousands take seconds.
        labels = [*compress(cell_names(chosen), undone)] if missing else []
    options.say(f"{suite}: {counted(len(chosen), 'cell')}, {len(missing)} to run")
    if dry_run:
        from genbench.cli.printing import print_cells

        print_cells(labels, options.stdout())
        return
    if model is None:
        require_own_folder(results / loaded.name)
    published = FOLDER / path.stem / RECORDS
    shipped = read_published(published) if path.parent == FOLDER and published.exists() else []
    durations = recorded_durations(missing, [*filter(None, records), *shipped])
    cluster = None
    if ray and missing:
        from genbench.sweeps.ray_cluster import RayCluster

        cluster = RayCluster(store, missing, gpus_per_cell)
    with ProgressDisplay(labels, options.stderr(), len(chosen) - len(missing), durations, jobs) as display:
        reasons = execute(missing, store, jobs, display.on_event, check_kinds(log or ()), durations, cluster)
    failed = {store.record_path(spec): why for spec, why in zip(missing, reasons, strict=True) if why is not None}
    if model is None:
        publish_suite(loaded.name, loaded.specs, store, options.stdout(), failed, loaded.places)
    if model is not None or loaded.places:
        settings = (
            "default" if model is not None and contents.chosen else settings
        )  # the track does not tune this model
        steps = loaded.specs[0].plan["steps"] if model is not None else budget
        tasks = {spec.data_label for spec in chosen} if model is not None or dataset else set()
        _print_board(suite, store, steps, tasks, settings)
    options.check_failures(reasons, f"of {counted(len(missing), 'cell')} failed; the same command tries them again")


def _print_board(
    suite: str, store: "Store", steps: int | None, tasks: Collection[str], settings: Literal["default", "tuned"] | None
) -> None:
    """Print the table of the requested tasks, the table of a track across its tasks, and the next command."""
    from genbench.report.formats import terminal
    from genbench.report.track_board import track_board
    from genbench.report.track_table import across_table, task_table

    board = track_board(find(suite), store, settings)
    tables = [task_table(board, steps or board.shown[0], tasks)] if tasks else []
    terminal.show([*tables, across_table(board)], options.stdout())
    words = ["genbench", "leaderboard", "--track", suite, "--results", str(store.root)]
    typer.echo(f"next: {shlex.join([*words, *(['--settings', settings] if settings else [])])}")
