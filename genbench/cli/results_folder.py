"""Commands on a results folder: genbench results status, clean, merge."""

from pathlib import Path
from typing import Annotated

import typer

from genbench.cli import options
from genbench.storage import files
from genbench.suites import find


def status(
    results: options.Results = Path("results"),
    suite: Annotated[Path | None, typer.Option(metavar="SUITE", help="The cells of this suite.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show what is done, running, failed, outdated or damaged."""
    if suite is not None:
        find(suite)  # an unknown name is refused before torch is imported
    files.require_folder(results, there=suite is None)

    from genbench.cli.printing import print_cells, print_folder
    from genbench.results import status
    from genbench.runs.store import Store, existing_store
    from genbench.sweeps import suite as suites

    if suite is not None:
        cells = status.of_suite(suites.load(suite).specs, Store(results))
        if as_json:
            options.print_json([vars(cell) for cell in cells])
        else:
            print_cells(cells, 1, options.stdout())
        return
    folder = status.of_folder(existing_store(results))
    if as_json:
        options.print_json(vars(folder))
    else:
        print_folder(folder, results, options.stdout())


def clean(
    results: options.Results = Path("results"),
    stale: Annotated[
        bool, typer.Option("--stale", help="Remove outdated records and what they were made from.")
    ] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Remove notes of failures.")] = False,
    dry_run: options.DryRun = False,
) -> None:
    """Remove leftovers and, on request, outdated or failed runs.

    Leftovers are leases and temporary files of dead processes.
    """
    files.require_folder(results, there=True)

    from genbench.results.cleaning import clean as removals
    from genbench.runs.store import Store

    count = 0
    for line in removals(Store(results), outdated=stale, failed=failed, remove=not dry_run):
        options.print_plain(line)
        count += 1
    typer.echo(f"{results}: {count} {'would be removed' if dry_run else 'removed'}", err=True)


def merge(
    sources: Annotated[list[Path], typer.Argument(help="Results folders of other machines.")],
    results: options.Results = Path("results"),
    trust: options.Trust = False,
) -> None:
    """Copy the results of other machines into --results.

    Nothing is copied of a run with a value that differs from the one here. Records that name files or downloads need
    --trust.
    """
    for source in sources:
        files.require_folder(source, there=True)

    from collections import Counter

    from genbench.results.merging import merge as merged
    from genbench.runs.store import Store

    for source in sources:
        counts = Counter()
        for run, what, why in merged(Store(results), Store(source), trusted=trust):
            counts[what.partition(" by ")[0]] += 1
            if what == "different":
                options.print_plain(f"different values, not copied: {run}: {why}")
        typer.echo(f"{source}: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
