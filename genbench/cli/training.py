"""Commands that train: run, sweep, retry, tune."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from genbench.cli.options import (
    AsJson,
    DryRun,
    Jobs,
    Kept,
    Log,
    Metric,
    Quiet,
    Results,
    Set,
    Trust,
    commands,
    complete,
    parse_json,
    parse_seeds,
    print_json,
    print_plain,
    stderr,
    stdout,
)
from genbench.errors import ConfigError, RunFailed
from genbench.sweeps.set_options import parse_set_options, stack_members
from genbench.training.torchrun_variables import local_rank, processes

if TYPE_CHECKING:
    from genbench.runs.spec import Spec
    from genbench.runs.store import Store

app = commands()


@app.command("run")
def run_command(
    model: Annotated[
        str, typer.Option(help="A model (see genbench list), or file.py:name.", autocompletion=complete("models"))
    ],
    dataset: Annotated[
        str,
        typer.Option(help="A data set (see genbench list), or a file.", autocompletion=complete("datasets")),
    ],
    seed: Annotated[
        str | None, typer.Option("--seed", "--seeds", help="Seed of all randomness, 0 by default; several as 0-4.")
    ] = None,
    stack: Annotated[
        str, typer.Option(help='Train an ensemble: \'[{"seed": 0}, {"seed": 1}]\'; not with --seed.')
    ] = "",
    set_: Set = None,
    metric: Metric = None,
    results: Results = Path("results"),
    accelerator: Annotated[Literal["auto", "cpu", "cuda", "gpu"], typer.Option(help="Where it runs.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Number of processes that share each batch.")] = 1,
    log: Log = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train, sample and measure one model on one data set."""
    from genbench.cli import precheck
    from genbench.sweeps import user_files

    settings, seeds, rank = parse_set_options(set_ or []), parse_seeds(seed or "0"), local_rank()
    members = parse_json(stack, "--stack") if stack else None
    if members is not None and seed is not None:
        raise ConfigError("the members of --stack have their seeds: leave --seed out")
    if (members is not None or len(seeds) > 1) and (accelerator, devices) != ("auto", 1):
        raise ConfigError("one process trains an ensemble or several seeds: omit --accelerator and --devices")
    if members is not None and processes() > 1:
        raise ConfigError("one process trains an ensemble: start it without torchrun")
    model, dataset, metric, settings = user_files.request(model, dataset, metric, settings)
    precheck.check([model], [dataset], metric, settings)
    precheck.check_sizes(settings, devices)
    for own in stack_members(members) if members is not None else ():
        precheck.check([model], settings={"model": {name: value for name, value in own.items() if name != "seed"}})

    from genbench.report.formats.terminal import print_record
    from genbench.results.status import cell_names
    from genbench.runs.make_spec import make_spec
    from genbench.runs.monitoring.loggers import Loggers, check_kinds
    from genbench.runs.run import Launch, run
    from genbench.runs.spec import build_data, plan_of
    from genbench.runs.store import Store
    from genbench.runs.train_or_load import build_untrained
    from genbench.sweeps.ensembles import ensemble_of
    from genbench.sweeps.execution.progress import ProgressDisplay

    store, kinds = Store(results), check_kinds(log or ())
    if members is not None:
        specs = ensemble_of(model, dataset, members, metric or None, settings)
    else:
        specs = [make_spec(model, dataset, seed=n, metrics=metric or None, settings=settings) for n in seeds]
    plan_of(specs[0]).parts(devices)
    if dry_run:
        if specs[0].encoder is None:  # an encoder may have to be downloaded
            build_untrained(specs[0], build_data(specs[0].data))  # refuses a model that does not go with the data
        planned = [_planned(spec, store) for spec in specs]
        print_json(planned if len(specs) > 1 else planned[0])
        return
    if len(specs) > 1 or members is not None:
        _run_several(specs, store, kinds, as_json)
        return
    (spec,) = specs
    display = ProgressDisplay(cell_names([spec]), stderr())
    with display, Loggers(kinds, results, spec) as loggers:
        launch = Launch(accelerator, devices)
        record = run(spec, store, progress=loggers.wrap(display.on_progress), launch=launch)
        loggers.log_results(record)
    if rank:
        return
    if as_json:
        print_json(record)
    else:
        print_record(record, store.record_path(spec), stdout())


def _planned(spec: "Spec", store: "Store") -> dict[str, object]:
    from genbench.runs.record import missing_metrics

    missing = missing_metrics(store.record(spec), spec)
    return {"spec": spec.json(), "folder": str(store.folder(spec)), "missing": sorted(missing)}


def _run_several(specs: "list[Spec]", store: "Store", log: Sequence[str], as_json: bool) -> None:
    """Run several seeds, or the members of an ensemble, and print their records and their means."""
    from genbench.report.formats.terminal import print_means, print_record
    from genbench.results.status import cell_names
    from genbench.sweeps.execution.executors import execute, local
    from genbench.sweeps.execution.progress import ProgressDisplay

    missing = [spec for spec in specs if not store.is_complete(spec, store.record(spec))]
    with ProgressDisplay(cell_names(missing), stderr()) as display:
        reasons = execute(missing, store, local(store, 1), display.on_event, log)
    kept = [(spec, record) for spec in specs if (record := store.record(spec)) is not None]
    if as_json:
        print_json([record for _, record in kept])
    else:
        for spec, record in kept:
            print_record(record, store.record_path(spec), stdout())
        print_means([record for _, record in kept], stdout())
    _check_failures(reasons, f"of {len(specs)} runs failed; the same command tries them again")


@app.command()
def sweep(
    suite: Annotated[
        str, typer.Argument(help="A suite (see genbench list suites), or a file.", autocompletion=complete("suites"))
    ],
    set_: Set = None,
    jobs: Jobs = 1,
    results: Results = Path("results"),
    dry_run: DryRun = False,
    as_commands: Annotated[
        bool, typer.Option("--commands", help="With --dry-run: print genbench run commands.")
    ] = False,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Where cells run.")] = "local",
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; default: RAY_ADDRESS, or a new one.")] = None,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs per run on a Ray cluster.")] = 0.0,
    log: Log = None,
    quiet: Quiet = False,
) -> None:
    """Run what is missing of a suite and print its leaderboard."""
    from genbench.cli import precheck

    settings = parse_set_options(set_ or [])
    if engine == "local" and (address is not None or gpus):
        raise ConfigError("--address and --gpus are options of a Ray cluster: add --engine ray")
    if engine == "ray" and jobs != 1:
        raise ConfigError("--jobs is an option of the local engine; Ray runs as many cells as its cores hold")
    precheck.check_suite(suite, settings)

    from genbench.report.publish import publish_suite, require_own_folder
    from genbench.results.status import cell_names
    from genbench.runs.monitoring.loggers import check_kinds
    from genbench.runs.store import Store, writable_store
    from genbench.storage.memory import paused_collection
    from genbench.sweeps import suite as suites
    from genbench.sweeps.execution.executors import execute, local
    from genbench.sweeps.execution.progress import ProgressDisplay
    from genbench.sweeps.execution.ray_executor import RayExecutor

    with paused_collection():
        loaded = suites.load(Path(suite), settings)
        store = Store(results) if dry_run or as_commands else writable_store(results)
        records = [kept if store.is_complete(spec, kept := store.record(spec)) else None for spec in loaded.specs]
    missing = [spec for spec, record in zip(loaded.specs, records, strict=True) if record is None]
    executor = RayExecutor(store, address, gpus) if engine == "ray" else local(store, jobs)
    typer.echo(f"{suite}: {len(loaded.specs)} cells, {len(missing)} to run", err=True)
    if as_commands:
        from genbench.sweeps.shell_commands import command

        for line in dict.fromkeys(command(spec, results) for spec in missing):
            typer.echo(line)
        return
    if dry_run:
        from genbench.cli.printing import print_cells
        from genbench.results.status import of_suite

        print_cells(of_suite(loaded.specs, store), jobs, stdout())
        return
    require_own_folder(results / loaded.name)
    labels = cell_names(missing)
    with ProgressDisplay(labels, stderr(), skipped=len(loaded.specs) - len(missing)) as display:
        reasons = execute(missing, store, executor, display.on_event, check_kinds(log or ()))
    failed = {store.record_path(spec): why for spec, why in zip(missing, reasons, strict=True) if why is not None}
    publish_suite(loaded.name, loaded.specs, store, stdout(), failed, records)
    _check_failures(reasons, f"of {len(missing)} cells failed; the same command tries them again")


@app.command()
def retry(
    results: Kept = Path("results"),
    failed: Annotated[bool, typer.Option("--failed", hidden=True)] = True,  # still accepted: it is what retry does
    jobs: Jobs = 1,
    dry_run: DryRun = False,
    trust: Trust = False,
    quiet: Quiet = False,
) -> None:
    """Run again what failed in a results folder."""
    from genbench.results.status import cell_names
    from genbench.runs.make_spec import restore_spec
    from genbench.runs.store import existing_store
    from genbench.sweeps.execution.executors import execute, local
    from genbench.sweeps.execution.progress import ProgressDisplay

    store, specs = existing_store(results), []
    for path, failure in store.failures():
        try:
            specs.append(restore_spec(failure.spec))
        except ConfigError as error:
            print_plain(f"genbench: {path.parent} cannot be retried: {error}", err=True)
    typer.echo(f"{results}: {len(specs)} to retry", err=True)
    labels = cell_names(specs)
    if dry_run:
        for label in labels:
            print_plain(label)
        return
    with ProgressDisplay(labels, stderr()) as display:
        reasons = execute(specs, store, local(store, jobs), display.on_event)
    _check_failures(reasons, f"of {len(specs)} cells failed again")


@app.command()
def tune(
    methods: Annotated[list[str], typer.Argument(help="Models. One alone, without --over: kappa by the elbow rule.")],
    dataset: Annotated[str, typer.Option(help="Name of a data set; only its validation split is used.")],
    over: Annotated[
        list[str] | None,
        typer.Option("--over", help="Candidates, as model.kappa=[0.5, 1]; MODEL.name=[...] is for that model only."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Deciding metric; default: the data set's first on samples.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds per candidate.")] = 3,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of all runs, as section.name=value.")
    ] = None,
    jobs: Jobs = 1,
    results: Results = Path("results"),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Choose settings on the validation split, with equal budgets.

    A single model without --over: the kappa of W-CFM, by the elbow rule.
    """
    from genbench.cli import precheck
    from genbench.sweeps import user_files
    from genbench.tuning.candidates import points

    settings, candidates = parse_set_options(set_ or []), parse_set_options(over or [])
    if len(set(methods)) < len(methods):
        raise ConfigError("tune compares different methods; one is named twice")
    _, dataset, _, settings = user_files.request("", dataset, None, settings)
    precheck.check(methods, [dataset], [metric] if metric else None, settings)
    if not over and (len(methods) > 1 or metric is not None):
        raise ConfigError("name the candidates with --over, such as --over plan.lr=[0.001, 0.003]")
    for method in methods:
        for point in points(candidates, method, methods):
            precheck.check([method], settings=point)

    from genbench.report.formats.terminal import show
    from genbench.runs.store import writable_store
    from genbench.storage import files
    from genbench.sweeps.execution.executors import execute, local
    from genbench.sweeps.execution.progress import ProgressDisplay
    from genbench.tuning.grid_search import grid_search
    from genbench.tuning.kappa import by_elbow

    store = writable_store(results / "tuning")
    if over:
        search = grid_search(methods, dataset, candidates, metric=metric, seeds=range(seeds), settings=settings)
        missing = search.missing(store)
        typer.echo(f"{len(search.candidates)} candidates, {len(missing)} runs missing", err=True)
        with ProgressDisplay(list(missing), stderr()) as display:
            execute(list(missing.values()), store, local(store, jobs), display.on_event)
        found, rule = search.measured(store), search.metric
    else:
        found, rule = by_elbow(methods[0], dataset, settings, store=store), "elbow"
    request = {"set": settings, "over": candidates} | ({"seeds": seeds} if over else {})
    mark = f"-{sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:8]}" if set_ or over else ""
    path = store.root / f"{'-'.join(methods)}-on-{dataset}-by-{rule}{mark}.json"
    text = json.dumps(found.json(), indent=1)
    files.write(path, text + "\n")
    if as_json:
        typer.echo(text)
        return
    show([found.table()], stdout())
    typer.echo(f"written: {path}")


def _check_failures(reasons: Sequence[str | None], message: str) -> None:
    failed = sum(reason is not None for reason in reasons)
    if failed:
        raise RunFailed(f"{failed} {message}")
