"""The command sweep."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from genbench.cli import options
from genbench.errors import ConfigError
from genbench.suites import find
from genbench.sweeps import suite_file
from genbench.sweeps.set_options import parse_set_options


def sweep(
    suite: Annotated[
        str,
        typer.Argument(
            help="A suite (see genbench list suites), or a file.", autocompletion=options.complete("suites")
        ),
    ],
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
    """Run the missing cells of a suite and print its leaderboard."""
    settings = parse_set_options(set_ or [])
    if engine == "local" and (address is not None or gpus):
        raise ConfigError("--address and --gpus are for a Ray cluster: add --engine ray")
    if engine == "ray" and jobs != 1:
        raise ConfigError("--jobs is for the local engine: omit it; Ray runs one cell per free core")
    suite_file.read(find(suite))  # a wrong name is refused before torch is imported

    from genbench.report.publish import publish_suite, require_own_folder
    from genbench.results.status import cell_names
    from genbench.runs.monitoring.loggers import check_kinds
    from genbench.runs.store import Store, writable_store
    from genbench.storage.memory import paused_collection
    from genbench.sweeps import suite as suites
    from genbench.sweeps.executors import execute, local
    from genbench.sweeps.progress import ProgressDisplay
    from genbench.sweeps.ray_executor import RayExecutor

    with paused_collection():
        loaded = suites.load(Path(suite), settings)
        store = Store(results) if dry_run else writable_store(results)
        records = [kept if store.is_complete(spec, kept := store.record(spec)) else None for spec in loaded.specs]
    missing = [spec for spec, record in zip(loaded.specs, records, strict=True) if record is None]
    executor = RayExecutor(store, address, gpus) if engine == "ray" else local(store, jobs)
    typer.echo(f"{suite}: {len(loaded.specs)} cells, {len(missing)} to run", err=True)
    if dry_run:
        from genbench.cli.printing import print_cells
        from genbench.results.status import of_suite

        print_cells(of_suite(loaded.specs, store), jobs, options.stdout())
        return
    require_own_folder(results / loaded.name)
    labels = cell_names(missing)
    with ProgressDisplay(labels, options.stderr(), skipped=len(loaded.specs) - len(missing)) as display:
        reasons = execute(missing, store, executor, display.on_event, check_kinds(log or ()))
    failed = {store.record_path(spec): why for spec, why in zip(missing, reasons, strict=True) if why is not None}
    publish_suite(loaded.name, loaded.specs, store, options.stdout(), failed, records, loaded.places)
    options.check_failures(reasons, f"of {len(missing)} cells failed; the same command tries them again")
