"""Publishing: the tables of a sweep and its records, and reports of what is kept, written and printed."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from genbench.report.appendix import appendices
from genbench.report.content import gather
from genbench.report.formats import document, figures, render
from genbench.report.formats.page import page
from genbench.report.samples import Drawings
from genbench.report.section import Aside
from genbench.report.suites import ORIGINS, RECORDS, chapters
from genbench.report.table import Table
from genbench.report.tables import quality
from genbench.results.frames import costs, frame
from genbench.runs.record import Record, format_published
from genbench.runs.spec import Spec
from genbench.runs.store import Store
from genbench.runs.versions import without_stale
from genbench.storage import files


def publish(
    name: str, specs: Sequence[Spec], store: Store, console: Console, failed: Mapping[Path, str] | None = None
) -> list[Path]:
    """Write the tables and the records of these cells to RESULTS/NAME/, and print the tables.

    A cell that failed is shown as failed; one that never ran is left out.

    Args:
        name: of the suite.
        specs: the cells, in the order of the tables.
        store: where their records are.
        console: where to print.
        failed: reasons of failures that just happened, by the path of the record that is missing; reasons of earlier
            ones are kept in the store.

    Returns:
        The files written.
    """
    records = without_stale(record for spec in specs if (record := store.read(spec)) is not None)
    reasons = [(failed or {}).get(store.record_path(spec)) or store.failure(spec) for spec in specs]
    failures = pd.DataFrame(
        [
            {
                "run": store.folder(spec).name,
                "model": spec.model_label,
                "data": spec.data_label,
                "seed": spec.seed,
                "reason": reason.splitlines()[-1],
            }
            for spec, reason in zip(specs, reasons, strict=True)
            if reason
        ]
    )
    if not records and not len(failures):
        return []
    with store.publishing():
        return tabulate(store.root / name, records, failures if len(failures) else None, console)


def report(
    store: Store,
    console: Console,
    only: str = "",
    *,
    page_at: Path | None = None,
    tex: bool = False,
    figures_in: Path | None = None,
) -> list[Path]:
    """Write RESULTS/REPORT.md and RESULTS/REPORT.csv, and print their tables.

    Args:
        store: what is reported.
        console: where to print.
        only: name of the one suite that is reported, to RESULTS/SUITE/REPORT.*; its tables are not printed again.
        page_at: where to write the page; nowhere if it is not said.
        tex: whether RESULTS/REPORT.tex is written too.
        figures_in: where to write every figure as PNG and SVG; nowhere if it is not said.

    Returns:
        The files written.

    Raises:
        ConfigError: if there is nothing to report.
    """
    found = chapters(store, [only] if only else [])
    with store.publishing():
        drawings = [Drawings(store.root, chapter.name) for chapter in found]
        gathered = gather(found, drawings, () if only else appendices(store.root))
        texts = {"REPORT.md": document.markdown(gathered), "REPORT.csv": document.csv(found)}
        texts |= {"REPORT.tex": document.latex(gathered)} if tex else {}
        written = {store.root / only / name: text for name, text in texts.items()}
        written |= {page_at: page(gathered)} if page_at else {}
        for path, text in written.items():
            files.write(path, text)
        paths = [*written, *(path for kept in drawings for path in kept.save())]
    drawn = figures.write(gathered, figures_in) if figures_in else []
    if not only:
        blocks = [block for section in gathered.sections for block in section.walk()]
        tables = [block.table if isinstance(block, Aside) else block for block in blocks]
        render.show([table for table in tables if isinstance(table, Table)], console)
    said = [*map(str, paths), *([f"{len(drawn)} figures in {figures_in}"] if drawn else [])]
    console.print("written: " + ", ".join(said), soft_wrap=True, highlight=False)
    return [*paths, *drawn]


def tabulate(folder: Path, records: Sequence[Record], failures: pd.DataFrame | None, console: Console) -> list[Path]:
    """Write the tables of these records to the folder of a suite, and print them."""
    files.drop_temporary(folder)
    values, spent = frame(records), costs(records)
    render.show(quality(values, failures), console)  # first, for the disk may be full
    written = render.write(folder, values, spent, failures)
    written.append(folder / RECORDS)
    files.write(written[-1], _lines(records))
    origins = _origins(records)
    if origins:
        written.append(folder / ORIGINS)
        files.write(written[-1], json.dumps(origins, indent=1) + "\n")
    console.print("written: " + ", ".join(str(path) for path in written), soft_wrap=True, highlight=False)
    return written


def _lines(records: Iterable[Record]) -> bytes:
    """Return what is a pure function of code and seeds, one compressed line a run: equal bytes for equal results."""
    text = "".join(format_published({**record, "spec": _anywhere(record["spec"])}) for record in records)
    return gzip.compress(text.encode(), mtime=0)


def _origins(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return each code, data and machine that made runs, and which runs; nothing of records that do not know."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        origin = {name: dict(record["provenance"].get(name) or {}) for name in ("code", "data", "machine")}
        origin["code"].pop("sources", None)  # of each component; the commit has them all
        if origin["code"]:
            key = json.dumps(origin, sort_keys=True)
            found.setdefault(key, {**origin, "runs": []})["runs"].append(record["labels"]["run"])
    return list(found.values())


def _anywhere(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a spec without the folders of the machine that it ran on: a path is known by its last name."""
    path = spec["data"].get("path")
    return spec if path is None else {**spec, "data": {**spec["data"], "path": Path(path).name}}
