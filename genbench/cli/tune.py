"""The command tune."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from genbench.cli.options import AsJson, Jobs, Quiet, Results, stderr, stdout
from genbench.errors import ConfigError
from genbench.registry import metrics, models
from genbench.sweeps.set_options import parse_set_options


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
    seeds: Annotated[int, typer.Option(min=1, help="Seeds per candidate, from 100 on: tables report others.")] = 3,
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
    from genbench.sweeps import user_files

    settings, candidates = parse_set_options(set_ or []), parse_set_options(over or [])
    if len(set(methods)) < len(methods):
        raise ConfigError("tune compares different methods; one is named twice")
    dataset, settings = user_files.data_request(dataset, settings)
    for method in methods:
        models.require(method)
    if metric is not None:
        metrics.require(metric)
    if not over and (len(methods) > 1 or metric is not None):
        raise ConfigError("name the candidates with --over, such as --over plan.lr=[0.001, 0.003]")

    from genbench.report.formats.terminal import show
    from genbench.runs.store import writable_store
    from genbench.storage import files
    from genbench.sweeps.executors import execute, local
    from genbench.sweeps.progress import ProgressDisplay
    from genbench.tuning.grid_search import grid_search
    from genbench.tuning.kappa import by_elbow

    if over:
        search = grid_search(methods, dataset, candidates, metric=metric, seeds=seeds, settings=settings)
        store = writable_store(results / "tuning")
        missing = search.missing(store)
        typer.echo(f"{len(search.candidates)} candidates, {len(missing)} runs missing", err=True)
        with ProgressDisplay(list(missing), stderr()) as display:
            execute(list(missing.values()), store, local(store, jobs), display.on_event)
        found, rule = search.measured(store), search.metric
    else:
        store = writable_store(results / "tuning")
        found, rule = by_elbow(methods[0], dataset, settings, store=store), "elbow"
    # The names of files are not in the keys of runs, but their content is.
    runs = [[spec.train_key, spec.evaluation_key, spec.metrics] for spec in found.specs]
    mark = sha256(json.dumps(runs, sort_keys=True).encode()).hexdigest()[:8]
    path = store.root / f"{'-'.join(methods)}-on-{dataset}-by-{rule}-{mark}.json"
    text = json.dumps(found.json(), indent=1)
    files.write(path, text + "\n")
    if as_json:
        typer.echo(text)
        return
    show([found.table()], stdout())
    typer.echo(f"written: {path}")
