"""The suites that come with genbench: where they are found, and what their files say."""

import tomllib
from pathlib import Path

import pytest

from genbench.errors import ConfigError
from genbench.suites import FOLDER, find, packaged
from genbench.sweeps.suite import load
from genbench.sweeps.suite_file import read


def test_suites_are_found_by_name_and_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find("smoke") == find(FOLDER / "smoke.toml") == FOLDER / "smoke.toml"
    assert packaged()["smoke"].startswith("A minute of everything")
    assert load("smoke").name == "smoke"
    (tmp_path / "smoke").touch()
    assert find("smoke") == Path("smoke")
    with pytest.raises(ConfigError, match="no suite 'smokee'; did you mean 'smoke'"):
        find("smokee")
    with pytest.raises(ConfigError, match=r"no suite at other/smoke\.toml"):
        load("other/smoke.toml")


EARLIER = sorted((Path(__file__).parents[1] / "benchmarks/studies/earlier").glob("*.toml"))
"""Suites that tracks have replaced, and whose records findings cite."""


@pytest.mark.parametrize("name", [*packaged(), *EARLIER], ids=lambda name: Path(name).stem)
def test_suites_name_known_components(name):
    assert read(find(name)).models


def test_suites_with_a_decoder_tuned_on_noised_latents_say_whether_a_step_along_the_score_comes_before_it():
    """By default the step is taken; STARFlow has either the step or such a decoder."""
    suites = [tomllib.loads(path.read_text()) for path in (*FOLDER.glob("*.toml"), *EARLIER)]
    models = [model for suite in suites for model in suite.get("models", []) if isinstance(model, dict)]
    tuned = [model for model in models if isinstance(model.get("encoder"), dict) and model["encoder"].get("tune")]
    assert tuned
    assert all("denoise" in model.get("sample", {}) for model in tuned)
