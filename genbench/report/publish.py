"""Publishing: the records and tables of a suite, and the report of a results folder, written to files."""

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import cast

from rich.console import Console

from genbench.analysis.values import SuiteResults, load_suites
from genbench.errors import ConfigError
from genbench.report.blocks import Charts
from genbench.report.content import gather
from genbench.report.formats.terminal import print_suite, show
from genbench.report.formats.writers import csv, markdown, means
from genbench.report.plots import budget_curves, track_curves
from genbench.report.tables import quality_tables
from genbench.report.track_board import TrackBoard, track_board
from genbench.report.track_table import across_table
from genbench.results.comparing import compare
from genbench.results.names import named
from genbench.results.reader import RECORDS, Run, standing, suite_names
from genbench.runs import provenance
from genbench.runs.record import failure_line, format_published, identity, read_kept, read_published
from genbench.runs.record_types import Place, Record, SpecJson, same_component
from genbench.runs.spec import Spec, without_folders
from genbench.runs.store import Store, failed_record, labels_of
from genbench.runs.versions import LeftOut, log_left_out
from genbench.storage import files
from genbench.storage.files import Damaged
from genbench.storage.memory import paused_collection
from genbench.suites import find, packaged
from genbench.sweeps import suite_file

log = logging.getLogger("genbench")

VIEWS = ("table.md", "table.csv")
"""Files of a suite that are written from its records and never read. They contain no times: they are a pure function of
code and seeds."""


@paused_collection()
def publish_suite(
    name: str,
    specs: Sequence[Spec],
    store: Store,
    console: Console | None = None,
    failed: Mapping[Path, str] | None = None,
    places: Sequence[list[Place]] = (),
) -> list[Path]:
    """Write the records and tables of a suite to RESULTS/NAME, print a summary, and return the files.

    A cell shows its record in the store, plus the metrics that only its published record has. Without a record in the
    store, the cell shows its published record. A cell without either is shown as failed if it failed, and is left out
    otherwise. Warnings report replaced published values, and published records that match no cell of this suite. If
    metrics of a published record leave the tables, and its record in the store lacks them, a copy of the published
    records is kept.

    Args:
        specs: cells of the suite, in the order of the tables.
        console: where to print the summary of a suite that is not a track; None prints nothing.
        failed: reasons of failures in this sweep, by the path of the missing record. Reasons from earlier sweeps are
            read from the store.
        places: places of each cell in a track.
    """
    with store.lock_tables():
        folder = store.root / name
        published, damaged = _published(folder)
        earlier = {identity(record): record for record in published if "failure" not in record}
        earlier_failed = {identity(record): record for record in published if "failure" in record}
        records: list[Record] = []
        failed_here: list[Record] = []
        left_out: list[LeftOut] = []
        kept, replaced, cells = 0, 0, set()
        for spec, its_places in zip(specs, places or [None] * len(specs), strict=True):
            labels = labels_of(spec)
            cell = labels["run"], labels["evaluation"]
            cells.add(cell)
            here, before = store.record(spec), earlier.get(cell)
            chosen, parts = standing(here, before)
            left_out += parts
            if chosen is not None:
                records.append(_placed(chosen, its_places))
                kept += here is None
                replaced += before is not None and bool(compare(before, chosen).different)
            elif reason := (failed or {}).get(store.record_path(spec)) or store.failure(spec):
                failed_here.append(_placed(failed_record(spec, reason), its_places))
            elif here is None and cell in earlier_failed:
                failed_here.append(_placed(earlier_failed[cell], its_places))
        log_left_out(left_out)
        if kept:
            counts = name, kept, len(specs)
            log.warning("%s: %d of %d cells have no record here; their published records are kept", *counts)
        if replaced:
            log.warning("%s: values of %d of %d cells replace published ones that differ", name, replaced, len(specs))
        dropped = [record for cell, record in earlier.items() if cell not in cells]
        if dropped:
            log.warning("%s: %d published records match no cell of this suite and leave its tables", name, len(dropped))
        if not records and not failed_here:
            return []
        if damaged is not None:  # its tables may be the last that is known of its records
            log.warning("%s", damaged)
            for path in (folder / file for file in (*VIEWS, RECORDS)):  # a sweep refuses views without records
                if path.exists():
                    files.set_aside(path)
        written = {identity(record): record["spec"]["metrics"].keys() for record in records}
        if any(_lost(record, written.get(cell, ()), store) for cell, record in earlier.items()):
            files.set_aside(folder / RECORDS, keep=True)  # the kept records are nowhere else until they are written
        return write_suite(folder, records, failed_here, None if places else console)


def _lost(published: Record, written: Collection[str], store: Store) -> set[str]:
    """Return the metrics of a published record that are not written now, and that its record in the store lacks."""
    metrics = published["spec"]["metrics"]
    try:
        saved = read_kept(store.runs / Path(*identity(published)) / "record.json")["spec"]["metrics"]
    except (FileNotFoundError, Damaged):
        saved = {}
    return {name for name in metrics.keys() - written if not same_component(saved.get(name), metrics[name])}


def _placed(record: Record, places: list[Place] | None) -> Record:
    return record if places is None else {**record, "track": places}


def require_own_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written, or has tables but no records: a sweep would overwrite tables of others.

    Raises:
        ConfigError: if it is such a folder.
    """
    if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise ConfigError(f"{folder} is no folder that can be written: rename the suite, or choose another --results")
    found = [path for name in VIEWS if (path := folder / name).exists()]
    if found and not (folder / RECORDS).exists():
        raise ConfigError(f"{found[0]} would be overwritten: rename the suite, or choose another --results folder")


def _published(folder: Path) -> tuple[list[Record], Damaged | None]:
    """Return the published records of a suite, or why they cannot be read."""
    try:
        return read_published(folder / RECORDS) if (folder / RECORDS).exists() else [], None
    except Damaged as error:
        return [], error


def publish_report(store: Store, page: Path, console: Console, only: str = "", *, full: bool = False) -> None:
    """Write the page of a results folder, and print the tables of its tracks.

    Args:
        page: where to write the page; a folder of the same name beside it has the pages of the suites.
        only: name of a suite to report alone.
        full: whether to print all tables as well.
    """
    from genbench.report.formats.page import pages

    suites = load_suites(store, [only] if only else [])
    boards = track_boards(store, only)
    report = gather(suites, store.root)
    code = provenance.code()
    commit = f", commit {code['commit'][:8]}" if code.get("commit") else ""
    made = f"version {code['genbench']}{commit}, on {date.today().isoformat()}"
    drawn = track_charts(boards[0], store) if boards else []
    texts = {page.parent / name: text for name, text in pages(report, boards, page.name, made, drawn).items()}
    for path, text in texts.items():
        files.write(path, text, durable=False)
    if full:
        show((table for section in report.sections for table in section.tables()), console)
    show(map(across_table, boards), console)
    console.print(f"written: {page}", soft_wrap=True, highlight=False)


def track_boards(store: Store, only: str = "") -> list[TrackBoard]:
    """Return the boards of the tracks of genbench that a results folder published or adds a row to, fullest first."""
    published = suite_names(store.root)
    paths = (find(name) for name in packaged() if only in ("", name))
    boards = [track_board(path, store) for path in paths if suite_file.read(path).track is not None]
    shown = [board for board in boards if board.further or board.name in published]
    return sorted(shown, key=lambda board: -max(counts.get("", 0) for counts in board.lacking.values()))


def track_charts(board: TrackBoard, store: Store) -> list[Charts]:
    """Return the charts of a track: against NFE, and against training steps with default settings at every budget."""
    default = board if board.settings == "default" else track_board(find(board.name), store, "default")
    return [charts for charts in (track_curves(board), budget_curves(default)) if charts is not None]


def write_suite(
    folder: Path, records: Sequence[Record], failures: Sequence[Record], console: Console | None = None
) -> list[Path]:
    """Write the records of a suite, failures last, and the tables made from the records to the suite's folder.

    Args:
        console: where to print a summary; None prints nothing.
    """
    shown = named([*records, *failures])
    runs = tuple(Run(each, each["labels"]["model"], None) for each in shown[: len(records)])
    suite = SuiteResults(folder.name, runs, tuple(shown[len(records) :]))
    try:
        if console is not None:  # first, in case the disk is full
            print_suite(suite, folder, console)
    finally:  # also if nobody reads the summary
        written = _write_tables(folder, suite, [*records, *failures])
    return written


def _write_tables(folder: Path, suite: SuiteResults, records: Sequence[Record]) -> list[Path]:
    content: dict[str, str | bytes] = {
        RECORDS: format_published(map(_portable, records)),
        "table.md": f"# {folder.name}\n\n" + "\n".join(map(markdown, quality_tables(suite.values, suite.failures))),
        "table.csv": csv(means(suite.values, suite.failures)),
    }
    for name, text in content.items():
        for leftover in folder.glob(f".{name}.*.tmp"):  # of a killed publication; others may write here too
            leftover.unlink(missing_ok=True)
        files.write(folder / name, text)
    return [folder / name for name in content]


def _portable(record: Record) -> Record:
    """Return a record without names of folders in its spec and, if it failed, in its traceback."""
    shown: Record = {**record, "spec": cast(SpecJson, without_folders(record["spec"]))}
    return {**shown, "failure": failure_line(record)} if "failure" in record else shown
