"""The command line: reads arguments, calls the library, prints. No torch before a command needs it."""

import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genbench.cli import components as cli_components
from genbench.cli import results as cli_results
from genbench.errors import ConfigError, RunFailed, Unsupported
from genbench.storage import files
from genbench.storage.lease import Busy
from genbench.training.allocator import keep_freed

if TYPE_CHECKING:
    from rich.console import Console

    from genbench.runs.spec import Spec
    from genbench.runs.store import Store

app = typer.Typer(
    name="genbench",
    help="Compare generative flows: models x data sets, on shared data, samplers and metrics.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.registered_commands += cli_components.app.registered_commands + cli_results.app.registered_commands

UsageError: Any = typer.BadParameter.__base__
"""Click's error of usage, wherever this version of typer keeps click."""

Results = Annotated[Path, typer.Option("--results", help="Folder in which results are kept.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A setting, as section.name=value. Repeatable.")]
Metric = Annotated[list[str] | None, typer.Option("--metric", help="A metric; default: what the data set names.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print plain JSON on stdout, and nothing else.")]
Log = Annotated[list[str] | None, typer.Option(help="A logbook: tensorboard or wandb. Repeatable.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would run, and run nothing.")]


@app.command("run")
def run_command(
    model: Annotated[str, typer.Option(help="Name of a model (see genbench list models).")],
    dataset: Annotated[str, typer.Option(help="Name of a data set (see genbench list datasets).")],
    seed: Seed = 0,
    stack: Annotated[str, typer.Option(help='Train several as one: \'[{"seed": 0}, {"seed": 1}]\'; not --seed.')] = "",
    set_: Set = None,
    metric: Metric = None,
    results: Results = Path("results"),
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(help="Processes that share each batch.")] = 1,
    log: Log = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Train, sample and measure one model on one data set."""
    from genbench.report.formats.terminal import print_record
    from genbench.results.status import cell_name
    from genbench.runs.loggers import Logbooks
    from genbench.runs.run import run
    from genbench.runs.spec import resolve
    from genbench.runs.store import Store
    from genbench.settings import parse
    from genbench.sweeps.ensembles import members
    from genbench.sweeps.progress import Live

    store = Store(results)
    if stack:
        if (accelerator, devices) != ("auto", 1):
            raise ConfigError("a stack is trained by one process: leave --accelerator and --devices out")
        specs = members(model, dataset, _json(stack, "--stack"), metric or None, parse(set_ or []))
        _run_stack(specs, store, log or (), as_json, dry_run)
        return
    spec = resolve(model, dataset, seed=seed, metrics=metric or None, settings=parse(set_ or []))
    if dry_run:
        _print_json({"spec": spec.json(), "folder": str(store.folder(spec)), "missing": sorted(store.missing(spec))})
        return
    with Live([cell_name(spec)], _stderr()) as live, Logbooks(log or (), results, spec) as books:
        watch = books.listening(live.watch())
        record = run(spec, store, progress=watch, accelerator=accelerator, devices=devices)
        books.conclude(record)
    if int(os.environ.get("LOCAL_RANK", "0")):
        return
    if as_json:
        _print_json(record)
    else:
        print_record(record, store.record_path(spec), _stdout())


def _run_stack(specs: "list[Spec]", store: "Store", log: Sequence[str], as_json: bool, dry_run: bool) -> None:
    """Run the members of a stack, and print their records."""
    from genbench.report.formats.terminal import print_record
    from genbench.results.status import cell_name
    from genbench.runs.loggers import check
    from genbench.sweeps.executors import execute, local
    from genbench.sweeps.progress import Live

    if dry_run:
        plain = [{"spec": s.json(), "folder": str(store.folder(s)), "missing": sorted(store.missing(s))} for s in specs]
        _print_json(plain)
        return
    missing = [spec for spec in specs if store.missing(spec)]
    with Live([cell_name(spec) for spec in missing], _stderr()) as live:
        reasons = execute(missing, store, local(store, 1), live.tell, check(log))
    kept = [(spec, record) for spec in specs if (record := store.read(spec)) is not None]
    if as_json:
        _print_json([record for _, record in kept])
    else:
        for spec, record in kept:
            print_record(record, store.record_path(spec), _stdout())
    failed = sum(reason is not None for reason in reasons)
    if failed:
        raise RunFailed(f"{failed} of {len(specs)} members failed; the same command tries them again")


@app.command()
def sweep(
    suite: Annotated[Path, typer.Argument(help="A suite, such as benchmarks/synthetic.toml.")],
    set_: Set = None,
    jobs: Annotated[int, typer.Option(min=1, help="Cells side by side.")] = 1,
    results: Results = Path("results"),
    dry_run: DryRun = False,
    commands: Annotated[bool, typer.Option("--commands", help="With --dry-run: a genbench run a line.")] = False,
    engine: Annotated[str, typer.Option(help="Where cells run: local or ray.")] = "local",
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; default: RAY_ADDRESS, or one here.")] = None,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of each run on a Ray cluster.")] = 0.0,
    log: Log = None,
) -> None:
    """Run what is missing of a suite, then write and print its tables."""
    from genbench.report.publish import publish
    from genbench.results.status import cell_name
    from genbench.runs.loggers import check
    from genbench.runs.store import Store
    from genbench.settings import parse
    from genbench.sweeps import suite as suites
    from genbench.sweeps.executors import chosen, execute
    from genbench.sweeps.progress import Live

    loaded, store = suites.load(suite, parse(set_ or [])), Store(results)
    place = chosen(engine, store, jobs, address, gpus)
    missing = [spec for spec in loaded.specs if store.missing(spec)]
    labels = [cell_name(spec) for spec in missing]
    typer.echo(f"{suite}: {len(loaded.specs)} cells, {len(missing)} to run", err=True)
    if commands:
        from genbench.sweeps.shell_commands import command

        for line in dict.fromkeys(command(spec, results) for spec in missing):
            typer.echo(line)
        return
    if dry_run:
        from genbench.report.inventory import print_cells
        from genbench.results.status import of_suite

        print_cells(of_suite(loaded.specs, store), jobs)
        return
    with Live(labels, _stderr(), skipped=len(loaded.specs) - len(missing)) as live:
        reasons = execute(missing, store, place, live.tell, check(log or ()))
    failed = {store.record_path(spec): why for spec, why in zip(missing, reasons, strict=True) if why is not None}
    publish(loaded.name, loaded.specs, store, _stdout(), failed)
    if failed:
        raise RunFailed(f"{len(failed)} of {len(missing)} cells failed; the same command tries them again")


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="A results folder.")] = Path("results"),
    suite: Annotated[Path | None, typer.Option(help="Only the cells of this suite, in its order.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write one self-contained page there.")] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Also write all tables as REPORT.tex.")] = False,
    figures: Annotated[Path | None, typer.Option(help="Also write every figure there, as PNG and SVG.")] = None,
) -> None:
    """Write REPORT.md and REPORT.csv of what is kept, and print its tables."""
    from genbench.report import publish
    from genbench.runs.store import Store
    from genbench.sweeps import suite as suites

    store, only = Store(results), ""
    if suite is not None:
        loaded = suites.load(suite)
        only = loaded.name
        if not publish.publish(only, loaded.specs, store, _stdout()):
            raise ConfigError(f"{results} holds nothing of {suite}; genbench sweep {suite} runs it")
    if html is not None and html.is_dir():
        raise ConfigError(f"--html {html} is a folder; name a file in it, such as {html / 'report.html'}")
    publish.report(store, _stdout(), only, page_at=html, tex=latex, figures_in=figures)


@app.command("eval")
def eval_command(
    what: Annotated[str, typer.Argument(help="A kept run, by folder or name; or samples, and --reference.")],
    metric: Metric = None,
    set_: Set = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", "--reference", help="Data set to compare somebody's samples with.")
    ] = None,
    seed: Seed = 0,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Measure a kept model again, with other metrics or another solver, or somebody else's samples."""
    from dataclasses import replace

    import torch

    from genbench.report.formats.terminal import not_original, print_record, print_rows
    from genbench.results.external_samples import foreign
    from genbench.runs import provenance
    from genbench.runs.image_grids import keep_pages
    from genbench.runs.run import run
    from genbench.runs.spec import components, resolve
    from genbench.runs.store import Store, spec_at
    from genbench.settings import merge, parse, settings_in
    from genbench.sweeps.progress import Live

    settings = parse(set_ or [])
    path = Path(what)
    if path.suffix in (".npy", ".npz") and dataset is None:
        raise ConfigError(f"{what} is an array of samples: say with --dataset what to compare them with")
    if dataset is not None:
        data, metrics = components(dataset, metric or None, settings)
        rows, about, evaluation = foreign(path, data, metrics, seed)
        pages = keep_pages(results / "foreign" / f"{path.stem}-{about['sha256'][:8]}", evaluation, evaluation.data)
        real = dict(evaluation.data.provenance)
        if as_json:
            here = {"code": provenance.code(), "data": real, "machine": provenance.machine(torch.device("cpu"))}
            pictures = [str(page) for page in pages]
            _print_json({"data": data, "samples": about, "results": rows, "provenance": here, "pages": pictures})
        else:
            print_rows(rows, f"{about['n']} samples of {what} ({about['layout']}) against {dataset}", _stdout())
            for said in (f"samples: {about['note']}" if "note" in about else "", not_original(real), *map(str, pages)):
                if said:
                    _stdout().print(said, soft_wrap=True, highlight=False)
        return
    kept = spec_at(path if path.exists() else results / "runs" / what)
    spec = resolve(
        kept.model["name"],
        kept.data["name"],
        seed=kept.seed,
        metrics=metric or list(kept.metrics),
        settings=merge(
            {"data": settings_in(kept.data), "model": settings_in(kept.model), "plan": kept.plan},
            {"sample": kept.sample, "evaluation": kept.evaluation},
            settings,
        ),
    )
    spec = replace(spec, stack=kept.stack)
    if spec.train_key != kept.train_key:
        raise ConfigError("eval does not train: only sample, evaluation and metric can be set; use genbench run")
    store = Store(_root(path) or results)
    with Live([what], _stderr()):
        record = run(spec, store, train=False, again=metric or ())
    if as_json:
        _print_json(record)
    else:
        print_record(record, store.record_path(spec), _stdout())


@app.command()
def reference(
    dataset: Annotated[str, typer.Argument(help="Data set whose images are meant; none lists what is kept.")] = "",
    split: Annotated[str, typer.Option(help="train or test.")] = "train",
    features: Annotated[str | None, typer.Option(help="Extractor; default: the one metrics use.")] = None,
    n: Annotated[int, typer.Option(min=2, help="Images, at most.")] = 50_000,
    set_: Set = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read everything that is kept, and check it.")] = False,
) -> None:
    """Make the statistics of real images that metrics compare with, or list or verify those that are kept."""
    from genbench.cli.reference_statistics import line, listed, make
    from genbench.settings import parse

    if split not in ("train", "test"):
        raise ConfigError(f"--split {split}: it is train or test")
    if dataset:
        typer.echo(line(make(dataset, split, features, n, parse(set_ or []))))  # type: ignore[arg-type]
    if dataset and not verify:
        return
    damaged = 0
    for found, text in listed(verify=verify):
        typer.echo(text)
        damaged += found is None
    if damaged:
        raise RunFailed(f"statistics: {damaged} damaged")


def main() -> None:
    """Run the command line: exit code 0 done, 1 a run failed, 2 the request was wrong, 130 stopped."""
    logging.getLogger("genbench").addHandler(_Said())
    signal.signal(signal.SIGTERM, _stop)
    keep_freed()
    try:
        code = app(standalone_mode=False)  # typer returns the code of its exits: 130 on Ctrl-C
        if code == 130:
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(_say("stopped; finished work is kept, the same command goes on", 130))
    except (RunFailed, Busy) as error:
        sys.exit(_say(str(error), 1))
    except (ConfigError, Unsupported) as error:
        sys.exit(_say(str(error), 2))
    except OSError as error:
        code = 1 if error.errno in files.FULL else 2
        sys.exit(_say(f"{error.filename or 'a file'}: {error.strerror or error}", code))
    except UsageError as error:
        error.show()
        sys.exit(2)


def _stop(number: int, frame: object) -> None:
    """Stop as Ctrl-C does: a batch system asks so before it kills."""
    raise KeyboardInterrupt


class _Said(logging.Handler):
    """Says each warning once, on stderr."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self.said:
            self.said.add(message)
            typer.echo(f"genbench: {message}", err=True)


def _say(message: str, code: int) -> int:
    typer.echo(f"genbench: {message}", err=True)
    return code


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1))


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{what} {text}: no JSON: {error}") from error


def _stdout() -> "Console":
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160)


def _stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True)


def _root(path: Path) -> Path | None:
    """Return the results folder in which a run's folder lies."""
    return next((parent.parent for parent in path.resolve().parents if parent.name == "runs"), None)
