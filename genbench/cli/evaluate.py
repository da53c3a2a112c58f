"""The command eval, which measures without training."""

from pathlib import Path
from typing import Annotated, Any

import typer

from genbench.cli.options import AsJson, Full, Metric, Quiet, Results, Set, print_json, stderr, stdout
from genbench.errors import ConfigError
from genbench.sweeps.set_options import parse_set_options


def eval_command(
    what: Annotated[str, typer.Argument(help="A saved run (folder or name); or samples, with --dataset.")],
    metric: Metric = None,
    set_: Set = None,
    dataset: Annotated[str | None, typer.Option(help="The data set to compare these samples with.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed for samples from other code; default: 0.")] = None,
    results: Results = Path("results"),
    as_json: AsJson = False,
    full: Full = False,
    quiet: Quiet = False,
) -> None:
    """Measure a saved model again, or samples from other code.

    Use --metric for other metrics, and --set sample.NAME=VALUE for another solver.
    """
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
    elif path.suffix in (".npy", ".npz"):
        raise ConfigError(f"{what} is an array of samples: add --dataset NAME to name the data set to compare it with")
    elif not path.exists() and not (results / "runs" / path).exists():
        raise ConfigError(f"{what} is not a saved run, neither as a path nor in {results}/runs")
    else:
        _eval_run(path, metric, settings, results, as_json, full)


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

    from genbench.report.formats.terminal import origin, print_rows
    from genbench.results.external_samples import measure_samples, task_without_model
    from genbench.runs import provenance
    from genbench.runs.monitoring.image_grids import save_metric_grids

    data, metrics = task_without_model(dataset, metric or None, settings)
    rows, about, evaluation = measure_samples(path, data, metrics, seed)
    pages = save_metric_grids(results / "foreign" / f"{path.stem}-{about['sha256'][:8]}", evaluation, evaluation.data)
    real = dict(evaluation.data.provenance)
    if as_json:
        here = {"code": provenance.code(), "data": real, "machine": provenance.machine(torch.device("cpu"))}
        pictures = [str(page) for page in pages]
        print_json({"data": data, "samples": about, "results": rows, "provenance": here, "pages": pictures})
        return
    title = f"{about['n']} samples of {path} ({about['layout']}) against {dataset}"
    print_rows(rows, title, stdout(), full=full)
    for note in (f"samples: {about['note']}" if "note" in about else "", origin(real), *map(str, pages)):
        if note:
            stdout().print(note, soft_wrap=True, highlight=False, markup=False)


def _eval_run(
    path: Path, metric: list[str] | None, settings: dict[str, Any], results: Path, as_json: bool, full: bool
) -> None:
    from dataclasses import replace

    from genbench.cli.printing import print_result
    from genbench.runs.make_spec import make_spec
    from genbench.runs.run import run
    from genbench.runs.store import Store, spec_at
    from genbench.settings import merge
    from genbench.sweeps.progress import ProgressDisplay

    kept = spec_at(path if path.exists() else results / "runs" / path)
    if kept.kind != "model":
        raise ConfigError(f"{path} is an {kept.kind}: it has no samples to measure")
    spec = make_spec(
        kept.model["name"],
        kept.data["name"],
        seed=kept.seed,
        metrics=metric or list(kept.metrics),
        settings=merge(kept.settings | {"metric": {}}, settings),
    )
    spec = replace(spec, stack=kept.stack)
    if spec.train_key != kept.train_key:
        raise ConfigError("genbench eval does not train: set only sample, evaluation and metric, or type genbench run")
    root = next((parent.parent for parent in path.resolve().parents if parent.name == "runs"), results)
    store = Store(root)
    with ProgressDisplay([str(path)], stderr()):
        record = run(spec, store, may_train=False, again=metric or ())
    if as_json:
        print_json(record)
    else:
        print_result([record], store, full)
