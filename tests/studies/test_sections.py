"""Sections on studies: those that a results folder has, in their order."""

import json
import os
import shutil
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("name", ["calibration.json", "scaling.csv"])
@pytest.mark.parametrize("damage", ["pipe", "folder", "link", "cut", "text", "deep", "other rows"])
def test_a_damaged_or_foreign_file_is_left_out_with_one_line(tmp_path, caplog, name, damage):
    path, content = tmp_path / name, (RESULTS / name).read_bytes()
    kept = json.loads((RESULTS / "calibration.json").read_bytes())
    make = {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "link": lambda: path.symlink_to("/dev/zero"),
        "cut": lambda: path.write_bytes(content[: len(content) // 2 + 3]),
        "text": lambda: path.write_bytes(b"a,b\n\xff\n1"),
        "deep": lambda: path.write_bytes(b"[" * 100_000),
        "other rows": lambda: path.write_text(json.dumps({"versions": kept["versions"], "rows": [3], "fields": "x"})),
    }
    make[damage]()
    assert sections(tmp_path) == ()
    assert len(caplog.messages) <= 1
    assert all(name in message and "\n" not in message for message in caplog.messages)
