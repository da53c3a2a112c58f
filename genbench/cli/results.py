"""The command line on results folders: what is there, tried again, cleaned, merged, verified, compared."""

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from genbench.errors import ConfigError, RunFailed

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Folder = Annotated[Path, typer.Argument(help="A results folder.")]
Results = Annotated[Path, typer.Option("--results", help="Folder in which results are kept.")]
Jobs = Annotated[int, typer.Option(min=1, help="Cells side by side.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print plain JSON on stdout, and nothing else.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@app.command()
def status(
    results: Folder = Path("results"),
    suite: Annotated[Path | None, typer.Option(help="Only the cells of this suite, each with its state.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what is done, running, begun, failed, stale or damaged in a results folder."""
    from genbench.report.inventory import print_cells, print_folder
    from genbench.results import status
    from genbench.runs.store import Store, there
    from genbench.sweeps import suite as suites

    if suite is not None:
        store = Store(results)
        cells = status.of_suite(suites.load(suite).specs, store)
        if as_json:
            typer.echo(json.dumps([vars(cell) for cell in cells], indent=1))
        else:
            print_cells(cells, 1)
        return
    folder = status.of_folder(there(results))
    if as_json:
        typer.echo(json.dumps(folder.json(), indent=1))
    else:
        print_folder(folder, results)


@app.command()
def retry(
    results: Folder = Path("results"),
    failed: Annotated[bool, typer.Option("--failed", help="Try what failed (the default, and all there is).")] = True,
    jobs: Jobs = 1,
    dry_run: DryRun = False,
) -> None:
    """Run again what failed in a results folder, whichever suite or command it came from."""
    from rich.console import Console

    from genbench.results.status import cell_name
    from genbench.runs.spec import restore
    from genbench.runs.store import there
    from genbench.sweeps.executors import execute, local
    from genbench.sweeps.progress import Live

    store, specs = there(results), []
    for path, failure in store.failures():
        try:
            specs.append(restore(failure.spec))
        except ConfigError as error:
            typer.echo(f"genbench: {path.parent} cannot be tried again: {error}", err=True)
    typer.echo(f"{results}: {len(specs)} to try again", err=True)
    labels = [cell_name(spec) for spec in specs]
    if dry_run:
        for label in labels:
            typer.echo(label)
        return
    with Live(labels, Console(stderr=True)) as live:
        reasons = execute(specs, store, local(store, jobs), live.tell)
    lost = sum(reason is not None for reason in reasons)
    if lost:
        raise RunFailed(f"{lost} of {len(specs)} cells failed again")


@app.command()
def clean(
    results: Folder = Path("results"),
    stale: Annotated[bool, typer.Option("--stale", help="Remove stale records and what was trained for them.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Forget failures.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Remove what dead processes left: leases, temporary files; and, where asked, what is stale or failed."""
    from genbench.results.cleaning import clean as removals
    from genbench.runs.store import there

    count = 0
    for line in removals(there(results), stale=stale, failed=failed, remove=not dry_run):
        typer.echo(line)
        count += 1
    typer.echo(f"{results}: {count} {'would be removed' if dry_run else 'removed'}", err=True)


@app.command()
def merge(
    into: Annotated[Path, typer.Argument(help="The results folder that grows.")],
    sources: Annotated[list[Path], typer.Argument(help="The results folders of other machines.")],
) -> None:
    """Take over the results of other machines. What both have and differs stays as it is, and is named."""
    from collections import Counter

    from genbench.results.merging import merge as merged
    from genbench.runs.store import Store

    different = 0
    for source in sources:
        counts = Counter()
        for run, what in merged(Store(into), Store(source)):
            counts[what.partition(" by ")[0]] += 1
            if what == "different":
                typer.echo(f"different values, left as they are: {run}")
        different += counts["different"]
        typer.echo(f"{source}: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))


@app.command()
def verify(
    results: Folder = Path("results"),
    sample: Annotated[int, typer.Option(min=0, help="Records whose values are measured again.")] = 3,
    seed: Annotated[int, typer.Option(help="Which ones.")] = 0,
    tolerance: Annotated[float, typer.Option(help="Largest relative difference (machines round differently).")] = 1e-3,
) -> None:
    """Check the checksums of everything kept, and measure some records again from their weights."""
    from genbench.results import verifying
    from genbench.runs.store import there

    store = there(results)
    damaged = list(verifying.damage(store))
    for line in damaged:
        typer.echo(line)
    wrong = 0
    for path in verifying.sample(store, sample, seed):
        try:
            again = verifying.remeasure(path)
        except ConfigError as error:
            typer.echo(f"not measured again: {error}")
            continue
        name = f"{path.parts[-3]}/{path.parts[-2]}"
        off = f"off by at most {again.worst:.2g} ({again.metric})" if again.worst else "equal to the last bit"
        typer.echo(f"{name}: {again.values} values measured again, {off}")
        wrong += again.worst > tolerance
    typer.echo(f"{results}: {len(store.record_paths())} records, {len(damaged)} damaged files", err=True)
    if damaged or wrong:
        raise RunFailed(f"{len(damaged)} damaged files, {wrong} records whose values cannot be measured again")


@app.command()
def validate(suite: Annotated[Path, typer.Argument(help="A suite.")]) -> None:
    """Check every cell of a suite, and run nothing."""
    from genbench.registry import metrics
    from genbench.settings import need, settings_in
    from genbench.sweeps import suite as suites

    loaded = suites.load(suite)
    for spec in loaded.specs:
        for name, part in spec.metrics.items():
            need(metrics[name].build, settings_in(part), name)
    models = {(spec.model_label, spec.data_label) for spec in loaded.specs}
    trained = {spec.train_key for spec in loaded.specs}
    stacks = {spec.members[0].train_key: len(spec.stack) for spec in loaded.specs if spec.stack}
    count = f"{len(loaded.specs)} cells, {len(models)} models on data sets, {len(trained)} trainings"
    typer.echo(
        f"{suite}: {count}, {sum(stacks.values())} of them in {len(stacks)} stacks" if stacks else f"{suite}: {count}"
    )


@app.command()
def schema() -> None:
    """Print the JSON Schema of suites, for editors: `#:schema PATH` as the first line of a suite."""
    from genbench.sweeps.suite_schema import schema as described

    typer.echo(json.dumps(described(), indent=1))


@app.command()
def compare(
    one: Annotated[str, typer.Argument(help="A model, with --dataset; else a results folder, a run, a record, ...")],
    other: Annotated[str, typer.Argument(help="Another one. (... or SUITE-records.jsonl.gz.)")],
    dataset: Annotated[str | None, typer.Option(help="Compare two models on this data set.")] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Only this metric. Repeatable.")] = None,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Say what differs between two models, two runs or two sweeps, and whether it is more than noise."""
    from genbench.report.compare import compare as compared
    from genbench.report.compare import load, of_models
    from genbench.report.inventory import print_comparison, print_models

    if dataset is not None:
        part = of_models(load(results), one, other, dataset, metric or ())
        if as_json:
            typer.echo(json.dumps(part.json(), indent=1))
        else:
            print_models(part)
        return
    if metric:
        raise ConfigError("--metric chooses what is compared of two models: say with --dataset on which data")
    comparisons, alone = compared(load(Path(one), results), load(Path(other), results))
    if as_json:
        typer.echo(json.dumps({"comparisons": [part.json() for part in comparisons], "alone": alone}, indent=1))
    else:
        print_comparison(comparisons, alone)


@app.command()
def tune(
    methods: Annotated[list[str], typer.Argument(help="Models. One alone, without --over: kappa by the elbow rule.")],
    dataset: Annotated[str, typer.Option(help="Name of a data set; its test split is not looked at.")],
    over: Annotated[
        list[str] | None,
        typer.Option("--over", help="Values to choose from, as model.kappa=[0.5, 1]; MODEL.name=[...] is for one."),
    ] = None,
    metric: Annotated[str | None, typer.Option(help="What decides; default: the data's first one of samples.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each candidate.")] = 3,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A setting of all, as section.name=value.")] = None,
    jobs: Jobs = 1,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Choose settings on the validation split with an equal budget for all, or W-CFM's kappa by the elbow rule."""
    from rich.console import Console

    from genbench.report.formats.render import show
    from genbench.runs.store import Store
    from genbench.settings import parse
    from genbench.storage import files
    from genbench.sweeps.executors import execute, local
    from genbench.sweeps.progress import Live
    from genbench.tuning.grid_search import propose
    from genbench.tuning.kappa import by_elbow

    settings, store = parse(set_ or []), Store(results / "tuning")
    if over:
        asked = propose(methods, dataset, parse(over), metric=metric, seeds=range(seeds), settings=settings)
        missing = asked.missing(store)
        typer.echo(f"{len(asked.candidates)} candidates, {len(missing)} runs to make", err=True)
        with Live(list(missing), Console(stderr=True)) as live:
            execute(list(missing.values()), store, local(store, jobs), live.tell)
        found, rule = asked.judged(store), asked.metric
    elif len(methods) == 1 and metric is None:
        found, rule = by_elbow(methods[0], dataset, settings), "elbow"
    else:
        raise ConfigError("say with --over what to choose from, such as --over plan.lr=[0.001, 0.003]")
    asked_for = {"set": settings, "over": parse(over or [])} | ({"seeds": seeds} if over else {})
    mark = f"-{sha256(json.dumps(asked_for, sort_keys=True).encode()).hexdigest()[:8]}" if set_ or over else ""
    path = store.root / f"{'-'.join(methods)}-on-{dataset}-by-{rule}{mark}.json"
    text = json.dumps(found.json(), indent=1)
    files.write(path, text + "\n")
    if as_json:
        typer.echo(text)
        return
    show([found.table()], Console(width=None if sys.stdout.isatty() else 160))
    typer.echo(f"written: {path}")


@app.command()
def calibrate(
    results: Results = Path("results"),
    seeds: Annotated[int, typer.Option(min=2, help="Seeds of each sampler.")] = 5,
) -> None:
    """Measure samplers whose faults are known: what each metric reads, what it sees and what it is blind to."""
    from rich.console import Console

    from genbench.report.formats.render import show
    from genbench.report.studies import calibration

    path = calibration.calibrate(results, range(seeds))
    show(calibration.tables(calibration.load(results)), Console(width=None if sys.stdout.isatty() else 160))
    typer.echo(f"written: {path}")
