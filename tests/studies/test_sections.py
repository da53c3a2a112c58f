"""Sections on studies: those that a results folder has, in their order."""

import shutil
from pathlib import Path

from genbench.studies.sections import sections

RESULTS = Path(__file__).parents[2] / "results"


def test_a_folder_has_the_sections_of_its_studies(tmp_path):
    assert sections(tmp_path) == ()
    order = ["Published vs. measured", "Calibration", "Scaling"]
    found = [section.title for section in sections(RESULTS)]
    assert found == [title for title in order if title in found]
    assert {"Published vs. measured", "Scaling"} <= {*found}
    shutil.copy(RESULTS / "scaling.csv", tmp_path)
    (only,) = sections(tmp_path)
    assert only.title == "Scaling"
    assert only.blocks
