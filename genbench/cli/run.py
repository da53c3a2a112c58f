"""The commands that run and measure one model: run, and eval, which measures without training."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from genbench.cli import options
from genbench.errors import ConfigError
from genbench.storage.memory import uncollected_imports
from genbench.sweeps.set_options import parse_set_options
from genbench.training.torchrun_variables import local_rank, require_one_task

if TYPE_CHECKING:
    from genbench.runs.record_types import Record
    from genbench.runs.spec import Spec
    from genbench.runs.store import Store


def run(
    model: Annotated[str, typer.Option(help="A model (see genbench list), or file.py:name.")],
    dataset: Annotated[str, typer.Option(help="A data set (see genbench list), or a file.")],
    seed: Annotated[
        str | None, typer.Option("--seed", "--seeds", help="Seed of all randomness; 0-4 runs five seeds. Default: 0.")
    ] = None,
    set_: options.Set = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="A metric; by default, the metrics of the data set. Repeatable."),
    ] = None,
    results: options.Results = Path("results"),
    accelerator: Annotated[Literal["auto", "cpu", "cuda", "gpu"], typer.Option(help="Device to use.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Number of processes that share each batch.")] = 1,
    log: options.Log = None,
    as_json: options.AsJson = False,
    full: options.Full = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
) -> None:
    """Train, sample and measure one model on one data set."""
    settings, seeds = parse_set_options(set_ or []), options.parse_seeds(seed or "0")
    local_rank()  # refuses a wrong variable of torchrun
    require_one_task(shlex.join(["genbench", *sys.argv[1:]]))
    if len(seeds) > 1 and (accelerator, devices) != ("auto", 1):
        raise ConfigError("one process runs several seeds: omit --accelerator and --devices")
    with uncollected_imports():
        from genbench.sweeps import user_files

        model, dataset, metric, settings = user_files.request(model, dataset, metric, settings)

        from genbench.runs.make_spec import make_spec

        specs = [make_spec(model, dataset, seed=seed, metrics=metric or None, settings=settings) for seed in seeds]

        # A wrong setting is refused before anything but the models and metrics is imported.
        from genbench.metrics.measurement import require_measurable
        from genbench.runs.monitoring.loggers import check_kinds
        from genbench.runs.record import missing_metrics
        from genbench.runs.spec import build_data, plan_of
        from genbench.runs.store import Store
        from genbench.runs.train_or_resume import build_untrained

    store, kinds = Store(results), check_kinds(log or ())
    to_measure = {name for spec in specs for name in missing_metrics(store.record(spec), spec)}
    trains = not (dry_run or all(map(store.has_weights, specs)))
    require_measurable(build_data(specs[0].data), specs[0].metrics, to_measure & {*(metric or ())}, trains=trains)
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
        return
    missing = [spec for spec in specs if not store.is_complete(spec, store.record(spec))]
    reasons: list[str | None] = []
    if len(specs) > 1:
        reasons = _run_several(missing, store, kinds)
        kept = [record for spec in specs if (record := store.record(spec)) is not None]
    else:
        record = _run_one(specs[0], store, kinds, accelerator, devices)
        if record is None:
            return
        kept = [record]
    if not missing:
        options.say("already done: nothing was trained or measured, these are the saved values")
    if as_json:
        options.print_json(kept if len(specs) > 1 else kept[0])
    elif kept:
        from genbench.cli.printing import print_result

        print_result(kept, store, full)
    options.check_failures(reasons, f"of {len(specs)} runs failed; the same command tries them again")
    rows = [row for record in kept if not record["provenance"]["training"]["code"] for row in record["results"]]
    if rows and all(row["value"] is None for row in rows):  # suites show such a cell as unsupported
        raise ConfigError(
            f"{model.partition('@')[0]} was not trained on {dataset.partition('@')[0]}: {rows[0]['reason']}"
        )


def _run_one(spec: "Spec", store: "Store", log: Sequence[str], accelerator: str, devices: int) -> "Record | None":
    """Run one seed and return its record; if several processes share the batch, only the first returns it."""
    from genbench.results.status import cell_names
    from genbench.runs.monitoring.loggers import Loggers
    from genbench.runs.run import Launch, run
    from genbench.sweeps.progress import ProgressDisplay
    from genbench.training.process_group import repeat_in_processes

    repeat_in_processes(devices)
    display = ProgressDisplay(cell_names([spec]), options.stderr())
    with display, Loggers(log, store.root, spec) as loggers:
        record = run(spec, store, progress=loggers.wrap(display.on_progress), launch=Launch(accelerator))
        loggers.log_results(record)
    return None if local_rank() else record


def _run_several(missing: "Sequence[Spec]", store: "Store", log: Sequence[str]) -> list[str | None]:
    """Run several seeds, and return why each failed."""
    from genbench.results.status import cell_names
    from genbench.sweeps.execution import execute
    from genbench.sweeps.progress import ProgressDisplay

    with ProgressDisplay(cell_names(missing), options.stderr()) as display:
        return execute(missing, store, 1, display.on_event, log)


def eval_command(
    what: Annotated[
        str,
        typer.Argument(help="A saved run (beginning of its name, or folder); with --dataset, samples from other code."),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="A metric; by default, the metrics of the run, or of --dataset. Repeatable."),
    ] = None,
    set_: options.Set = None,
    dataset: Annotated[str | None, typer.Option(help="Data set with which the samples are compared.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed for samples from other code; default: 0.")] = None,
    results: options.Results = Path("results"),
    as_json: options.AsJson = False,
    full: options.Full = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure a saved model again, or samples from other code.

    Use --metric for other metrics, and --set sample.NAME=VALUE for another solver.
    """
    from genbench.runs.record import find_run
    from genbench.sweeps import user_files

    path, settings = Path(what), parse_set_options(set_ or [])
    metric = user_files.metric_names(metric)
    if dataset is not None:
        dataset, settings = user_files.data_request(dataset, settings)
        _eval_samples(path, dataset, metric, settings, seed or 0, results, as_json, full)
    elif seed is not None:
        raise ConfigError(
            "--seed is for samples from other code; a saved model is measured with the seed of its run: omit --seed"
        )
    elif path.suffix in user_files.POINTS:
        raise ConfigError(f"{what} is a file of samples: add --dataset NAME to name the data set to compare it with")
    elif (found := find_run(results, what)) is not None:
        _eval_run(found, metric, settings, results, as_json, full)
    else:
        raise ConfigError(f"{what} is not a saved run in {results}/runs: see genbench list runs")


def _eval_samples(
    path: Path,
    dataset: str,
    metric: list[str] | None,
    settings: dict[str, Any],
    seed: int,
    results: Path,
    as_json: bool,
    full: bool,
) -> None:
    import torch

    from genbench.metrics.measurement import require_measurable
    from genbench.report.formats.terminal import origin, print_rows
    from genbench.results.external_samples import measure_samples, task_without_model
    from genbench.runs import provenance
    from genbench.runs.monitoring.sample_files import save_metric_grids
    from genbench.runs.spec import build_data, own_data_name

    data, metrics = task_without_model(dataset, metric or None, settings)
    require_measurable(build_data(data), metrics, metric or (), trains=False)
    rows, about, evaluation = measure_samples(path, data, metrics, seed)
    folder, pages = results / "foreign" / f"{path.stem}-{about['sha256'][:8]}", []
    try:
        pages = save_metric_grids(folder, evaluation, evaluation.data)
    except OSError as error:  # the values are saved nowhere else
        options.say(f"no pictures of the samples: {error}")
    real = dict(evaluation.data.provenance)
    if as_json:
        here = {"code": provenance.code(), "data": real, "machine": provenance.machine(torch.device("cpu"))}
        pictures = [str(page) for page in pages]
        options.print_json({"data": data, "samples": about, "results": rows, "provenance": here, "pages": pictures})
        return
    layout = f" ({about['layout']})" if about["layout"] else ""
    title = f"{about['n']} samples of {path}{layout} against {own_data_name(data) or dataset}"
    print_rows(rows, title, options.stdout(), full=full)
    for note in (f"samples: {about['note']}" if "note" in about else "", origin(real), *map(str, pages)):
        if note:
            options.stdout().print(note, soft_wrap=True, highlight=False, markup=False)


def _eval_run(
    path: Path, metric: list[str] | None, settings: dict[str, Any], results: Path, as_json: bool, full: bool
) -> None:
    from dataclasses import replace

    from genbench.cli.printing import print_result
    from genbench.metrics.measurement import require_measurable
    from genbench.runs.make_spec import make_spec
    from genbench.runs.run import run
    from genbench.runs.spec import build_data
    from genbench.runs.store import Store, spec_at
    from genbench.settings import merge
    from genbench.sweeps.progress import ProgressDisplay

    kept = spec_at(path)
    if kept.kind != "model":
        raise ConfigError(f"{path} is an {kept.kind}: it has no samples to measure")
    asked, along = metric or list(kept.metrics), kept.evaluation["curve_metrics"]
    own = {name: table for name, table in kept.settings["metric"].items() if name in asked}
    spec = make_spec(
        kept.model["name"],
        kept.data["name"],
        seed=kept.seed,
        metrics=[*asked, *along],
        settings=merge(kept.settings | {"metric": own}, settings),
    )
    # Metrics of the curve belong to the evaluation, the validation loss to the plan: they are not measured again.
    measured = {name: part for name, part in spec.metrics.items() if name in asked}
    spec = replace(spec, stack=kept.stack, metrics=measured)
    if spec.train_key != kept.train_key:
        raise ConfigError(
            "genbench eval does not train: set only sample.*, evaluation.* and metric.*, or use genbench run"
        )
    require_measurable(build_data(spec.data), spec.metrics, metric or (), trains=False)
    store = Store(results)
    with ProgressDisplay([str(path)], options.stderr()):
        record = run(spec, store, may_train=False, again=metric or ())
    if as_json:
        options.print_json(record)
    else:
        print_result([record], store, full)
