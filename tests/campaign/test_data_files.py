"""Data files as people have them: none ends in a traceback, or in silence where something is wrong."""

import pytest
from campaign.data_files import data_files, outcome

FILES = {file.name: file for file in data_files()}


def test_there_are_120_kinds():
    assert len(FILES) == len(list(data_files())) >= 120


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_or_a_line_says_what_is_wrong(name, tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    ends, lines = outcome(FILES[name], tmp_path / "here")
    assert ends == FILES[name].ends, lines
    assert any(FILES[name].says in line for line in lines), lines
    if ends == "refused":
        assert len(lines) == 1
