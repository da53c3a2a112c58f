"""Commands on submissions: submit, verify."""

from pathlib import Path
from typing import Annotated, Any

import typer

from genbench.cli.options import AsJson, Results, Trust, commands, print_json, print_wrapped
from genbench.errors import ConfigError, RunFailed
from genbench.storage import files
from genbench.submissions import SUFFIX

app = commands()
SHOWN = 10
"""Differing values of a record that are printed."""


@app.command()
def submit(
    what: Annotated[list[str], typer.Argument(help="Names or paths of runs, or of suites that were swept.")],
    to: Annotated[Path, typer.Option("--to", help="File to write: NAME.genbench.zip.")],
    results: Results = Path("results"),
) -> None:
    """Pack runs into one file that others can verify and rank.

    It holds records, hashes and small weights.
    """
    if not to.name.endswith(SUFFIX):
        raise ConfigError(f"--to {to}: call the file {to.name.partition('.')[0] or 'mine'}{SUFFIX}")
    files.require_folder(results, there=True)

    from genbench.runs.store import Store
    from genbench.submissions.archive import pack, records_of

    store = Store(results)
    packed = pack(dict.fromkeys(path for name in what for path in records_of(store, name)), to)
    size = to.stat().st_size / 2**20
    print_wrapped(f"written: {to}, {packed.records} records and {packed.weights} weights, {size:.1f} MiB")
    if packed.without_weights:
        names = ", ".join(packed.without_weights[:3])
        more = ", and others" if len(packed.without_weights) > 3 else ""
        print_wrapped(f"{len(packed.without_weights)} runs have no weights and cannot be replayed: {names}{more}")


@app.command("verify")
def verify_command(
    what: Annotated[Path, typer.Argument(help="A results folder, or a submission.")] = Path("results"),
    sample: Annotated[int, typer.Option(min=0, help="Number of records to measure again.")] = 3,
    retrain: Annotated[int, typer.Option(min=0, help="Of a submission: how many of these to train again.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed that selects them.")] = 0,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest relative difference (machines round differently).")
    ] = 1e-3,
    as_json: AsJson = False,
    trust: Trust = False,
) -> None:
    """Check checksums, and measure some records again.

    Of a results folder or of a submission; from the kept weights.
    """
    if not what.exists():
        raise ConfigError(f"no results folder or submission at {what}")
    if what.is_file():
        _verify_submission(what, sample, retrain, seed, tolerance, as_json)
    elif retrain:
        raise ConfigError("--retrain is for submissions (NAME.genbench.zip)")
    else:
        files.require_folder(what, there=True)
        _verify_folder(what, sample, seed, tolerance, as_json)


def _verify_folder(results: Path, sample: int, seed: int, tolerance: float, as_json: bool) -> None:
    from genbench.analysis.labels import plain
    from genbench.cli.printing import counted
    from genbench.results import verifying
    from genbench.runs.store import evaluation_name, existing_store

    store = existing_store(results)
    found = verifying.check(store)
    lines = [*found.damaged]
    measured: list[dict[str, Any]] = []
    for path in verifying.sample(store, sample, seed):
        try:
            again = verifying.remeasure(path)
        except ConfigError as error:
            lines.append(f"not measured again: {error}")
            continue
        measured.append(again._asdict() | {"path": str(again.path)})
        difference = f"largest difference {again.worst:.2g} ({again.metric})" if again.worst else "no difference"
        lines.append(f"{evaluation_name(path)}: {again.values} values measured again, {difference}")
    wrong = sum(again["worst"] > tolerance for again in measured)
    if as_json:
        print_json({"damaged": found.damaged, "measured_again": measured})
    for line in [] if as_json else lines:
        print_wrapped(plain(line))
    typer.echo(f"{results}: {counted(*found[:2])}, {len(found.damaged)} damaged files", err=True)
    if found.damaged or wrong:
        raise RunFailed(f"{len(found.damaged)} damaged files, {wrong} records with other values when measured again")


def _verify_submission(path: Path, sample: int, retrain: int, seed: int, tolerance: float, as_json: bool) -> None:
    from collections import Counter

    from genbench.analysis.labels import plain
    from genbench.submissions.entries import opened, remember
    from genbench.submissions.verdicts import judge

    with opened(path) as store:
        verdicts = list(judge(store, sample=sample, retrain=retrain, seed=seed, tolerance=tolerance))
    if as_json:
        print_json([{**verdict._asdict(), "different": list(map(str, verdict.different))} for verdict in verdicts])
    else:
        for verdict in verdicts:
            values = f", {verdict.values} values" if verdict.values else ""
            reason = f" ({verdict.reason})" if verdict.reason else ""
            print_wrapped(plain(f"{verdict.state}{values}: {verdict.name}{reason}"))
            for line in [*map(str, verdict.different[:SHOWN]), *verdict.labels]:
                print_wrapped(f"    {plain(line)}", "        ")
            if len(verdict.different) > SHOWN:
                typer.echo(f"    and {len(verdict.different) - SHOWN} other values")
    remember(path, verdicts)
    counts = Counter(verdict.state for verdict in verdicts)
    typer.echo(f"{path}: " + ", ".join(f"{number} {state}" for state, number in sorted(counts.items())), err=True)
    if counts["not replayed"] and sample < len(verdicts):
        typer.echo(f"--sample {len(verdicts)} measures all records that have weights", err=True)
    if counts["refused"] or counts["not confirmed"]:
        raise RunFailed(f"{counts['refused']} records are refused, {counts['not confirmed']} are not confirmed")
