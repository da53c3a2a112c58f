"""Commands that keep and share results: verify, and genbench results status, clean, merge, submit, import."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from genbench.cli import options
from genbench.cli.options import print_json, print_wrapped
from genbench.errors import ConfigError, RunFailed
from genbench.storage import files

SUFFIX = ".genbench.zip"
SHOWN = 10
"""Differing values of a record that are printed."""


def submit(
    what: Annotated[list[str], typer.Argument(help="Runs (name or folder), or suites that were swept.")],
    to: Annotated[Path, typer.Option("--to", help="File to write: NAME.genbench.zip.")],
    results: options.Results = Path("results"),
) -> None:
    """Pack runs into one file that others can verify and compare.

    The file contains records, hashes and small weights. Paths are shortened to their last part.
    """
    if not to.name.endswith(SUFFIX):
        raise ConfigError(f"--to {to}: call the file {to.name.partition('.')[0] or 'mine'}{SUFFIX}")
    if to.exists():
        raise ConfigError(f"--to {to} exists: remove it, or choose another name")
    files.require_folder(results, there=True)

    from genbench.analysis.labels import counted
    from genbench.analysis.submitted import record_paths
    from genbench.results.archive import pack
    from genbench.runs.store import Store

    store = Store(results)
    packed = pack((path for name in what for path in record_paths(store, name)), to)
    size = to.stat().st_size / 2**20
    content = f"{counted(packed.records, 'record')}, the weights of {counted(packed.weights, 'run')}"
    print_wrapped(f"written: {to}, {content}, {size:.1f} MiB")
    if packed.without_weights:
        names = ", ".join(packed.without_weights[:3])
        more = ", and others" if len(packed.without_weights) > 3 else ""
        bare = counted(len(packed.without_weights), "run")
        print_wrapped(f"{bare} without weights, which nobody can measure again: {names}{more}")


def verify_command(
    submission: Annotated[Path | None, typer.Argument(help="NAME.genbench.zip; default: the results folder.")] = None,
    results: options.Results = Path("results"),
    sample: Annotated[int, typer.Option(min=0, help="Number of records to measure again.")] = 3,
    retrain: Annotated[int, typer.Option(min=0, help="How many of these records to train again as well.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed that selects the records.")] = 0,
    dataset: Annotated[
        list[Path] | None, typer.Option(help="A data file or folder that the submission used. Repeatable.")
    ] = None,
    as_json: options.AsJson = False,
    trust: options.Trust = False,
) -> None:
    """Check all records, and measure some of them again.

    The records, with their weights, belong to a results folder or a submission.
    """
    if submission is not None and not submission.is_file():
        hint = f": name a results folder as --results {submission}" if submission.is_dir() else ""
        raise ConfigError(f"no submission at {submission}{hint}")
    what = submission or results
    if submission is None:
        files.require_folder(results, there=True)

    from genbench.results import archive
    from genbench.results.verifying import Guest, verify
    from genbench.runs.store import Store

    chosen: dict[str, Any] = {"sample": sample, "retrain": retrain, "seed": seed}
    if what.is_file():
        with archive.opened(what) as store:
            found = verify(store, **chosen, guest=Guest(dataset or (), trust))
            verdicts = _print_verdicts(archive.remembering(what, found), as_json)
    else:
        verdicts = _print_verdicts(verify(Store(what), **chosen), as_json)
    _conclude(what, verdicts, sample)


def _print_verdicts(found: Any, as_json: bool) -> list[Any]:
    """Print each verdict as it is found, and return all of them."""
    from genbench.analysis.labels import counted, plain
    from genbench.results.verifying import NOT_SAMPLED, ONLY_TRAINED

    verdicts = []
    for verdict in found:
        verdicts.append(verdict)
        if as_json or verdict.reason in (NOT_SAMPLED, ONLY_TRAINED):
            continue
        values = f", {counted(verdict.values, 'value')}" if verdict.values else ""
        worst = f", largest difference {verdict.worst}" if verdict.worst else ", no difference"
        reason = f" ({verdict.reason})" if verdict.reason else ""
        print_wrapped(plain(f"{verdict.state}{values}{worst if values else ''}: {verdict.name}{reason}"))
        for line in [*map(str, verdict.different[:SHOWN]), *verdict.labels]:
            print_wrapped(f"    {plain(line)}", "        ")
        if len(verdict.different) > SHOWN:
            typer.echo(f"    and {counted(len(verdict.different) - SHOWN, 'other value')}")
    if as_json:
        print_json(
            [
                {**each._asdict(), "worst": each.worst and str(each.worst), "different": list(map(str, each.different))}
                for each in verdicts
            ]
        )
    return verdicts


def _conclude(what: Path, verdicts: list[Any], sample: int) -> None:
    """Print how many records are in which state.

    Raises:
        RunFailed: if a record is refused or not confirmed, or if no record of the sample could be measured.
    """
    from collections import Counter

    from genbench.analysis.labels import counted
    from genbench.results.verifying import NOT_SAMPLED

    counts = Counter(verdict.state for verdict in verdicts)
    text = ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "no records"
    options.say(f"{what}: {text}")
    if any(verdict.reason == NOT_SAMPLED for verdict in verdicts):
        options.say(f"--sample {len(verdicts)} measures all records that have weights")
        if what.is_file():
            options.say("a leaderboard compares a task once each seed of the budget is confirmed")
    if counts["refused"] or counts["not confirmed"]:
        raise RunFailed(f"{counted(counts['refused'], 'record')} refused, {counts['not confirmed']} not confirmed")
    if sample and not counts["confirmed"]:
        raise RunFailed("nothing was verified: no record could be measured again")


def status(results: options.Results = Path("results"), as_json: options.AsJson = False) -> None:
    """Show what is done, running, failed, outdated or damaged. See also: genbench sweep SUITE --dry-run."""
    files.require_folder(results, there=True)

    from genbench.cli.printing import print_folder
    from genbench.results.status import of_folder
    from genbench.runs.store import Store

    folder = of_folder(Store(results))
    if as_json:
        options.print_json(vars(folder))
    else:
        print_folder(folder, results, options.stdout())


def clean(
    results: options.Results = Path("results"),
    failed: Annotated[bool, typer.Option("--failed", help="Also remove reasons of failures.")] = False,
    dry_run: options.DryRun = False,
) -> None:
    """Remove leftovers and, on request, reasons of failures.

    Leftovers are leases of dead processes, and temporary files in their runs.
    """
    files.require_folder(results, there=True)

    from genbench.results.cleaning import clean as removals
    from genbench.runs.store import Store

    count = 0
    for line in removals(Store(results), failed=failed, remove=not dry_run):
        options.print_plain(line)
        count += 1
    options.say(f"{results}: {count} {'would be removed' if dry_run else 'removed'}")


def merge(
    sources: Annotated[list[Path], typer.Argument(help="Results folders of other machines.")],
    results: options.Results = Path("results"),
    trust: options.Trust = False,
) -> None:
    """Copy the results of other machines into --results.

    A run is not copied if it is unfinished, damaged or in use, if one of its values differs from the value in
    --results, or if it names files or downloads without --trust; the exit code is then 1.
    """
    for source in sources:
        if source.is_file() and source.name.endswith(SUFFIX):
            raise ConfigError(f"{source} is a submission, which is not merged: genbench leaderboard --add {source}")
        if source.is_file():
            raise ConfigError(f"{source} is a file: name the results folder of another machine")
        files.require_folder(source, there=True)
        if source.resolve() == results.resolve():
            raise ConfigError(f"{source} is --results itself: name the results folder of another machine")

    from collections import Counter

    from genbench.analysis.labels import counted
    from genbench.results.merging import merge as merged
    from genbench.runs.store import Store

    total: Counter[str] = Counter()
    for source in sources:
        counts = Counter()
        for run, what, why in merged(Store(results), Store(source), trusted=trust):
            counts[what.partition(" by ")[0]] += 1
            if why:
                options.print_plain(f"{'different values, not copied' if what == 'different' else what}: {run}: {why}")
        told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        typer.echo(f"{source}: {told or 'nothing that is not here'}")
        total += counts
    if lost := sum(total[what] for what in ("left out", "different", "busy")):
        raise RunFailed(f"{lost} of {counted(total.total(), 'result')} not copied")


def import_command(
    kind: Annotated[str, typer.Argument(metavar="FORMAT", help="Format of the file: torchcfm, sit, edm or meanflow.")],
    file: Annotated[Path, typer.Argument(help="Weights file. No code in it is executed.")],
    model: Annotated[
        str | None, typer.Option(help="Model that the weights were trained as; default: the published one.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set of the weights; default: the published one.")] = None,
    set_: options.Set = None,
    results: options.Results = Path("results"),
) -> None:
    """Import released weights as a run.

    To measure the run, use genbench eval.
    """
    from genbench.sweeps.set_options import parse_set_options

    settings = parse_set_options(set_ or [])

    from genbench.results.importing import import_released
    from genbench.runs.store import Store

    store = Store(results)
    spec = import_released(kind, file, store, model=model, data=dataset, settings=settings)
    run = store.folder(spec)
    print_wrapped(f"written: {run}, {spec.model_label} on {spec.data_label}")
    print_wrapped(f"measure it: genbench eval {run.name} --results {shlex.quote(str(results))}")
