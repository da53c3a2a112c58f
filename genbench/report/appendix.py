"""Appendices: the sections of a report that are of no one suite."""

from pathlib import Path

from genbench.report.section import Section
from genbench.report.studies import calibration, published, scaling


def appendices(results: Path) -> tuple[Section, ...]:
    """Return what there is to say beyond the suites of a results folder."""
    calibrated = Section("Calibration", tuple(calibration.tables(calibration.load(results))))
    scaled = Section("Scaling", scaling.blocks(scaling.load(results)))
    return tuple(section for section in (_published(results), calibrated, scaled) if section.blocks)


def _published(results: Path) -> Section:
    """Published numbers beside measured ones, where any of them was measured here."""
    blocks = ()
    if any(finding.values for finding in published.findings(published.claims(), results)):
        blocks = (published.counted(results), *published.tables(results))
    return Section("Published against measured", blocks)
