"""The suites that come with genbench: where they are found, and what their files say."""

from pathlib import Path

import pytest

from genbench.errors import ConfigError
from genbench.suites import FOLDER, find, packaged
from genbench.sweeps.suite import load


def test_suites_are_found_by_name_by_path_and_where_they_used_to_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find("smoke") == find("benchmarks/smoke.toml") == find(FOLDER / "smoke.toml") == FOLDER / "smoke.toml"
    assert packaged()["smoke"].startswith("A minute of everything")
    assert load("smoke").name == "smoke"
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/smoke.toml").touch()
    assert find("benchmarks/smoke.toml") == Path("benchmarks/smoke.toml")
    with pytest.raises(ConfigError, match="no suite 'smokee'; did you mean 'smoke'"):
        find("smokee")
    with pytest.raises(ConfigError, match=r"no suite at other/smoke\.toml"):
        load("other/smoke.toml")
