"""Sections of a report on the studies: published numbers, calibration, scaling."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from genbench.errors import first_line
from genbench.report.blocks import Block, Section
from genbench.storage import files
from genbench.studies import published, scaling
from genbench.studies.calibration import results_file, tables

log = logging.getLogger("genbench")


def sections(results: Path) -> tuple[Section, ...]:
    """Return the sections on the studies that a results folder has."""
    claims: tuple[Block, ...] = ()
    compared = published.findings(published.read_claims(), results)
    if any(finding.values for finding in compared):
        claims = (published.summary(compared), *published.tables(compared))
    studies = (
        Section("Published vs. measured", claims),
        _section("Calibration", results / results_file.FILE, lambda: tables.section(results)),
        _section("Scaling", results / scaling.FILE, lambda: scaling.blocks(scaling.load(results))),
    )
    return tuple(section for section in studies if section.blocks)


def _section(title: str, path: Path, make: Callable[[], Iterable[Block]]) -> Section:
    """Return the section of a file; one that others made, or that is damaged, may hold anything."""
    try:
        return Section(title, tuple(make()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:  # Damaged included
        log.warning("%s is left out: %s", files.shown(path), first_line(error))
        return Section(title, ())
