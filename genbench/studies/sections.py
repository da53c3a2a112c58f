"""Sections of a report on what is compared beyond suites: published numbers, calibration, scaling."""

from pathlib import Path

from genbench.report.blocks import Block, Section
from genbench.studies import calibration_tables, published, scaling


def sections(results: Path) -> tuple[Section, ...]:
    """Return the sections on the studies that a results folder has."""
    claims: tuple[Block, ...] = ()
    if any(finding.values for finding in published.findings(published.read_claims(), results)):
        claims = (published.summary(results), *published.tables(results))
    found = (
        Section("Published vs. measured", claims),
        Section("Calibration", calibration_tables.section(results)),
        Section("Scaling", scaling.blocks(scaling.load(results))),
    )
    return tuple(section for section in found if section.blocks)
