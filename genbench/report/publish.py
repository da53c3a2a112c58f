"""Publishing: the tables and records of a suite, and the report of a results folder, written to files."""

import gzip
import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from genbench.analysis.leaderboard import leaderboard
from genbench.analysis.suite_results import (
    ORIGINS,
    RECORDS,
    Run,
    SuiteResults,
    load_suites,
    published_failures,
    published_records,
    suite_file,
    suite_names,
)
from genbench.analysis.values import Failure, group_by, read_costs, read_values
from genbench.errors import ConfigError
from genbench.report.blocks import Table
from genbench.report.content import gather
from genbench.report.formats.leaderboard import lines
from genbench.report.formats.terminal import print_suite, show
from genbench.report.formats.writers import (
    COLUMNS,
    csv,
    csv_report,
    latex_report,
    markdown,
    markdown_report,
    means,
)
from genbench.report.tables import cost_tables, quality_tables
from genbench.results.frames import costs, names_of
from genbench.runs.record import Record, format_published
from genbench.runs.spec import SPEC, Spec, without_folder
from genbench.runs.store import Store, run_name
from genbench.runs.versions import without_outdated
from genbench.storage import files
from genbench.storage.memory import paused_collection
from genbench.sweeps import suite as suites

log = logging.getLogger("genbench")


@paused_collection()
def publish_suite(
    name: str,
    specs: Sequence[Spec],
    store: Store,
    console: Console | None = None,
    failed: Mapping[Path, str] | None = None,
    known: Sequence[Record | None] = (),
) -> list[Path]:
    """Write the tables and records of a suite to RESULTS/NAME, and print a summary.

    A failed cell is shown as failed. A cell that has neither a record here nor failed here keeps its published record
    or failure, if there is one, and is left out otherwise. Published records of what is no cell of this suite are
    dropped, which is reported.

    Args:
        name: name of the suite.
        specs: its cells, in the order of the tables.
        store: the results folder.
        console: where to print; None prints nothing.
        failed: reasons of failures in this sweep, by the path of the missing record; the store has those of earlier
            ones.
        known: records that were read already, one per cell; None where a cell has none.

    Returns:
        The files written.
    """
    with store.lock_tables():
        published, published_failed = _earlier(store.root, name)
        cells = [(run_name(spec), spec.evaluation_key) for spec in specs]
        here = [kept or store.record(spec) for spec, kept in zip(specs, known or [None] * len(specs), strict=True)]
        earlier = [
            published[cell] for cell, record in zip(cells, here, strict=True) if not record and cell in published
        ]
        found = [record or published.get(cell) for cell, record in zip(cells, here, strict=True)]
        records = without_outdated(
            (record for record in found if record is not None),
            lambda record: any(record is other for other in earlier),
        )
        reasons = [(failed or {}).get(store.record_path(spec)) or store.failure(spec) for spec in specs]
        failures = [
            Failure(spec.model_label, spec.data_label, spec.seed, reason.splitlines()[-1])
            for spec, reason in zip(specs, reasons, strict=True)
            if reason
        ]
        open_cells = [
            spec for spec, record, reason in zip(specs, found, reasons, strict=True) if not record and not reason
        ]
        failures += _still_failed(published_failed, open_cells)
        if earlier:
            counts = name, len(earlier), len(specs)
            log.warning("%s: %d of %d cells have no record here; their published records are kept", *counts)
        if dropped := len(published.keys() - set(cells)):
            log.warning("%s: %d published records match no cell of this suite and leave its tables", name, dropped)
        if not records and not failures:
            return []
        if console is not None:  # first, in case the disk is full
            runs = (Run(record, model, None) for record, model in zip(records, names_of(records), strict=True))
            print_suite(SuiteResults(name, tuple(runs), tuple(failures)), store.root / name, console)
        return write_suite(store.root / name, records, failures)


def require_own_folder(folder: Path) -> None:
    """Refuse the folder of a suite whose table.csv is no table of genbench: it would be overwritten.

    Raises:
        ConfigError: if it is not.
    """
    path, head = folder / "table.csv", ",".join(COLUMNS[:3]).encode()
    if path.is_file() and not (folder / RECORDS).exists() and not files.read(path).startswith(head):
        raise ConfigError(f"{path} would be overwritten: rename the suite, or choose other --results")


def _earlier(root: Path, name: str) -> tuple[dict[tuple[str, str], Record], list[Failure]]:
    """Return {(run, key of the evaluation): record} and the failures of a published suite; set damaged files aside."""
    if name not in suite_names(root):
        return {}, []
    try:
        records = published_records(root, name, _set_aside).values()
    except ConfigError as error:
        _set_aside(suite_file(root, name, RECORDS), str(error))
        return {}, []
    by_cell = {(record["labels"]["run"], _evaluation_key(record)): record for record in records}
    return by_cell, published_failures(root, name, _set_aside)


def _set_aside(path: Path, reason: str) -> None:
    """Rename a damaged file in whose place a new one is written, and report it."""
    aside, number = path.with_name(f"{path.name}.damaged"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged{number}")
    path.replace(aside)
    log.warning("%s is damaged, and is now %s: %s", files.shown(path), files.shown(aside), reason)


def _still_failed(published: Iterable[Failure], cells: Iterable[Spec]) -> Iterator[Failure]:
    """Yield the published failures of cells that have neither a record nor failed here; tables do not state seeds."""
    waiting = group_by(cells, lambda spec: (spec.model_label, spec.data_label))
    for failure in published:
        if rest := waiting.get((failure.model, failure.data)):
            yield failure._replace(seed=rest.pop(0).seed)


def _evaluation_key(record: Record) -> str:
    """Return the key of an evaluation, or nothing for a model that is not here."""
    try:
        return SPEC.validate_python(record["spec"]).evaluation_key  # `restore_spec` would open data that it names
    except (ConfigError, ValidationError):
        return ""


def refresh_suite(suite: Path, store: Store) -> str:
    """Write the tables of a suite again from the records that are kept; return the name of the suite.

    Published tables of which nothing is kept, as in a fresh checkout, are left as they are.

    Raises:
        ConfigError: if there is no such suite, or no record of it.
    """
    published = suite_names(store.root)
    if str(suite) in published and not suite.exists() and not store.record_paths():
        return str(suite)
    loaded = suites.load(suite)
    if loaded.name in published and not any(store.record(spec) for spec in loaded.specs):
        return loaded.name
    if not publish_suite(loaded.name, loaded.specs, store):
        raise ConfigError(f"{store.root} has no record of {suite}: run genbench sweep {suite}")
    return loaded.name


@paused_collection()
def publish_report(
    store: Store, page: Path, console: Console, only: str = "", *, also: Collection[str] = (), full: bool = False
) -> list[Path]:
    """Write the page of a results folder, draw the pictures that it lacks, and print the leaderboard.

    Args:
        store: the results folder.
        page: where to write the page; a folder of the same name beside it has the pages of the suites.
        console: where to print.
        only: name of a suite to report alone.
        also: other formats to write beside the page: md, tex, csv.
        full: whether to print all tables as well.

    Returns:
        The files written, the page first.

    Raises:
        ConfigError: if there is nothing to report.
    """
    from genbench.report.formats.page import pages

    suites = load_suites(store, [only] if only else [])
    ranked = leaderboard(suites)
    with store.lock_tables():
        report = gather(suites, store.root)
    texts = {page.parent / name: text for name, text in pages(report, ranked, page.name).items()}
    others = {
        "md": lambda: markdown_report(report),
        "tex": lambda: latex_report(report),
        "csv": lambda: csv_report(suites),
    }
    texts |= {page.with_suffix(f".{kind}"): others[kind]() for kind in also}
    for path, text in texts.items():
        files.write(path, text)
    if full:
        show((table for section in report.sections for table in section.tables()), console)
    if ranked.boards:
        console.print("\n".join(lines(ranked)), highlight=False, markup=False)
    shown = ", ".join(str(path) for path in texts if path.parent == page.parent)
    console.print(f"written: {shown}", soft_wrap=True, highlight=False)
    return list(texts)


def write_suite(folder: Path, records: Sequence[Record], failures: Sequence[Failure]) -> list[Path]:
    """Write tables, costs, records and origins to the folder of a suite.

    Tables and records are a pure function of code and seeds. Costs and origins are not, so they are separate files.
    """
    values, spent = read_values(records), read_costs(records)
    content: dict[str, str | bytes] = {
        "table.md": _document(folder.name, quality_tables(values, failures)),
        "table.csv": csv(means(values, failures)),
    }
    if spent:
        content["cost.md"] = _document(f"{folder.name}-cost", cost_tables(spent, values))
        content["cost.csv"] = csv(costs(records))
    content[RECORDS] = _published(records)
    if origins := _origins(records):
        content[ORIGINS] = json.dumps(origins, indent=1) + "\n"
    files.drop_temporary(folder)
    for name, text in content.items():
        files.write(folder / name, text)
    return [folder / name for name in content]


def _document(title: str, tables: Sequence[Table]) -> str:
    return f"# {title}\n\n" + "\n".join(map(markdown, tables))


def _published(records: Iterable[Record]) -> bytes:
    """Return records without provenance as compressed JSON lines: equal results give equal bytes."""
    lines = []
    for record in records:
        spec = record["spec"]
        lines.append(format_published({**record, "spec": {**spec, "data": without_folder(spec["data"])}}))
    return gzip.compress("".join(lines).encode(), mtime=0)


def _origins(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return each combination of code, data and machine with the names of its runs; unknown ones are left out."""
    origins: dict[str, dict[str, Any]] = {}
    for record in records:
        origin = {name: dict(record["provenance"].get(name) or {}) for name in ("code", "data", "machine")}
        origin["code"].pop("sources", None)  # they differ between components; the commit implies them
        if origin["code"]:
            key = json.dumps(origin, sort_keys=True)
            origins.setdefault(key, {**origin, "runs": []})["runs"].append(record["labels"]["run"])
    return list(origins.values())
