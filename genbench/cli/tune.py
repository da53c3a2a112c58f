"""The command tune."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genbench.cli.options import Jobs, Quiet, Results, say, stderr, stdout
from genbench.errors import ConfigError, RunFailed
from genbench.suites import find
from genbench.sweeps.set_options import parse_set_options

if TYPE_CHECKING:
    from genbench.runs.spec import Spec
    from genbench.runs.store import Store


def tune(
    methods: Annotated[
        list[str] | None,
        typer.Argument(help="Models to tune, or file.py:name; with --track, all of its models by default."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set; only its validation split is used.")] = None,
    track: Annotated[
        str | None, typer.Option(help="Tune models of this track, and save the chosen settings beside its file.")
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            "--over", help="Values to try: model.kappa=[0.5,1] for all models, wcfm.kappa=[0.5,1] for one. Repeatable."
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric to optimize; default: the data set's first metric that uses samples.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of seeds per candidate, numbered from 100; default: 3.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of all runs, as section.name=value. Repeatable.")
    ] = None,
    jobs: Jobs = 1,
    results: Results = Path("results"),
    quiet: Quiet = False,
) -> None:
    """Choose settings on the validation split, with equal budgets.

    For example: genbench tune cfm --dataset moons --over 'plan.lr=[0.001,0.003]'
    """
    if track is not None:
        if over or metric or seeds or set_:
            raise ConfigError("the file of --track sets these options: omit --over, --metric, --seeds and --set")
        _tune_track(find(track, "track"), methods or (), dataset, jobs, results)
        return
    if not methods or dataset is None:
        raise ConfigError("name models, --dataset and --over, or a --track (genbench tune --help has an example)")

    from genbench.sweeps import user_files

    settings, candidates = parse_set_options(set_ or []), parse_set_options(over or [], "--over")
    dataset, settings = user_files.data_request(dataset, settings)
    methods = [user_files.component_name("models", method)[0] for method in methods]
    settings, candidates = user_files.of_models(methods, settings), user_files.of_models(methods, candidates)
    if metric is not None:
        own = re.findall(r"^(?:.+\.py(?::[^:/.]+)?(?=\.|$)|[^.]*)", metric)[0]  # the rest names a part, such as .recall
        metric = user_files.component_name("metrics", own)[0] + metric.removeprefix(own)
    if not over:
        raise ConfigError("name the candidates with --over, such as --over 'plan.lr=[0.001,0.003]'")

    from genbench.analysis.tuning.grid_search import grid_search
    from genbench.report.formats.terminal import show
    from genbench.report.tuning_table import candidates_table
    from genbench.runs.store import writable_store
    from genbench.storage import files

    search = grid_search(methods, dataset, candidates, metric=metric, seeds=seeds or 3, settings=settings)
    store = writable_store(results / "tuning")
    say(f"{len(search.candidates)} candidates")
    _run(search.missing(store), store, jobs)
    found = search.measured(store)
    path = store.root / f"{'-'.join(methods)}-on-{dataset}-by-{found.metric}-{_mark(found.specs)}.json"
    files.write(path, json.dumps(found.json(), indent=1) + "\n")
    if found.lost:
        raise RunFailed(f"no candidate has a value of {found.metric} for every seed: {', '.join(found.lost)}")
    show([candidates_table(found)], stdout())
    typer.echo(f"written: {path}")


def _tune_track(path: Path, methods: Sequence[str], dataset: str | None, jobs: int, results: Path) -> None:
    """Run trials of a track; write their choices beside the choices made before."""
    from genbench.analysis.tuning.track_tuning import track_tuning
    from genbench.report.formats.terminal import show
    from genbench.report.tuning_table import choices_tables
    from genbench.runs.store import writable_store
    from genbench.storage import files
    from genbench.sweeps.suite_file import CHOSEN

    tuning = track_tuning(path)
    asked = tuning.only(methods, dataset)
    store = writable_store(results / "tuning")
    for choice in tuning.dropped:
        say(f"left out: {choice}")
    mark = _mark([spec for each in tuning.trials for spec in each.search.specs])
    choices, trials = path.with_suffix(CHOSEN), store.root / f"{path.stem}-{mark}.json"
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(
            f"{path.parent} cannot be written, and {choices.name} belongs there: copy {path.name} elsewhere"
        )
    _run(asked.missing(store), store, jobs)
    found, shown = tuning.ended(store), asked.ended(store)
    if shown.trials:  # of other rows, trials may be running elsewhere
        files.write(choices, shown.text())
    if found.trials:
        files.write(trials, json.dumps(found.json(), indent=1) + "\n")
    show(choices_tables(shown), stdout())
    typer.echo(f"written: {choices}, {trials}")
    if shown.lost:
        raise RunFailed(f"no candidate has a value for every seed: {', '.join(shown.lost)}")


def _mark(specs: Sequence["Spec"]) -> str:
    """Return a hash of the runs of a search: searches on other files of the same name have another one."""
    from genbench.analysis.values import digest

    return digest(*([spec.train_key, spec.evaluation_key, spec.metrics] for spec in specs))[:8]


def _run(missing: Mapping[str, "Spec"], store: "Store", jobs: int) -> None:
    """Run what is missing of a search; a run that fails is excluded later."""
    from genbench.analysis.labels import counted
    from genbench.sweeps.execution import execute
    from genbench.sweeps.progress import ProgressDisplay

    say(f"{counted(len(missing), 'run')} to do")
    with ProgressDisplay(list(missing), stderr()) as display:
        execute(list(missing.values()), store, jobs, display.on_event)
