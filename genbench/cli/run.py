"""The command run."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from genbench.cli import options
from genbench.errors import ConfigError
from genbench.sweeps.set_options import parse_set_options
from genbench.training.torchrun_variables import local_rank, require_one_task

if TYPE_CHECKING:
    from genbench.runs.spec import Spec
    from genbench.runs.store import Store


def run(
    model: Annotated[
        str,
        typer.Option(help="A model (see genbench list), or file.py:name.", autocompletion=options.complete("models")),
    ],
    dataset: Annotated[
        str,
        typer.Option(help="A data set (see genbench list), or a file.", autocompletion=options.complete("datasets")),
    ],
    seed: Annotated[
        str | None, typer.Option("--seed", "--seeds", help="Seed of all randomness, 0 by default; several as 0-4.")
    ] = None,
    set_: options.Set = None,
    metric: options.Metric = None,
    results: options.Results = Path("results"),
    accelerator: Annotated[Literal["auto", "cpu", "cuda", "gpu"], typer.Option(help="Where it runs.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Number of processes that share each batch.")] = 1,
    log: options.Log = None,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
) -> None:
    """Train, sample and measure one model on one data set."""
    from genbench.sweeps import user_files

    settings, seeds = parse_set_options(set_ or []), options.parse_seeds(seed or "0")
    local_rank()  # refuses a wrong variable of torchrun
    require_one_task(shlex.join(["genbench", *sys.argv[1:]]))
    if len(seeds) > 1 and (accelerator, devices) != ("auto", 1):
        raise ConfigError("one process runs several seeds: omit --accelerator and --devices")
    model, dataset, metric, settings = user_files.request(model, dataset, metric, settings)

    from genbench.runs.make_spec import make_spec

    specs = [make_spec(model, dataset, seed=seed, metrics=metric or None, settings=settings) for seed in seeds]

    # A wrong setting is refused before anything but the models and metrics is imported.
    from genbench.runs.monitoring.loggers import check_kinds
    from genbench.runs.record import missing_metrics
    from genbench.runs.spec import build_data, plan_of
    from genbench.runs.store import Store
    from genbench.runs.train_or_load import build_untrained

    store, kinds = Store(results), check_kinds(log or ())
    plan_of(specs[0]).parts(devices)
    if dry_run:
        if specs[0].encoder is None:  # an encoder may have to be downloaded
            build_untrained(specs[0], build_data(specs[0].data))  # refuses a model that does not go with the data
        planned = [
            {
                "spec": spec.json(),
                "folder": str(store.folder(spec)),
                "missing": sorted(missing_metrics(store.record(spec), spec)),
            }
            for spec in specs
        ]
        options.print_json(planned if len(specs) > 1 else planned[0])
    elif len(specs) > 1:
        _run_several(specs, store, kinds, as_json)
    else:
        _run_one(specs[0], store, kinds, accelerator, devices, as_json)


def _run_one(spec: "Spec", store: "Store", log: Sequence[str], accelerator: str, devices: int, as_json: bool) -> None:
    """Run one seed and print its record, once where several processes share the batch."""
    from genbench.report.formats.terminal import print_record
    from genbench.results.status import cell_names
    from genbench.runs.monitoring.loggers import Loggers
    from genbench.runs.run import Launch, run
    from genbench.sweeps.progress import ProgressDisplay
    from genbench.training.process_group import repeat_in_processes

    repeat_in_processes(devices)
    display = ProgressDisplay(cell_names([spec]), options.stderr())
    with display, Loggers(log, store.root, spec) as loggers:
        launch = Launch(accelerator)
        record = run(spec, store, progress=loggers.wrap(display.on_progress), launch=launch)
        loggers.log_results(record)
    if local_rank():
        return
    if as_json:
        options.print_json(record)
    else:
        print_record(record, store.record_path(spec), options.stdout())


def _run_several(specs: "list[Spec]", store: "Store", log: Sequence[str], as_json: bool) -> None:
    """Run several seeds, and print their records and their means."""
    from genbench.report.formats.terminal import print_means, print_record
    from genbench.results.status import cell_names
    from genbench.sweeps.executors import execute, local
    from genbench.sweeps.progress import ProgressDisplay

    missing = [spec for spec in specs if not store.is_complete(spec, store.record(spec))]
    with ProgressDisplay(cell_names(missing), options.stderr()) as display:
        reasons = execute(missing, store, local(store, 1), display.on_event, log)
    kept = [(spec, record) for spec in specs if (record := store.record(spec)) is not None]
    if as_json:
        options.print_json([record for _, record in kept])
    else:
        for spec, record in kept:
            print_record(record, store.record_path(spec), options.stdout())
        print_means([record for _, record in kept], options.stdout())
    options.check_failures(reasons, f"of {len(specs)} runs failed; the same command tries them again")
