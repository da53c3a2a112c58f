"""Descriptions of components: what every setting is, where components come from, and which sections they share."""

import json
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Le

from genbench.cli import descriptions
from genbench.cli.descriptions import describe, describe_section
from genbench.errors import ConfigError
from genbench.registry import ALL


@pytest.mark.parametrize("kind", ALL)
def test_every_component_has_a_description_that_is_json(kind):
    for name in ALL[kind]:
        found = describe(name, kind)
        assert json.loads(json.dumps(found))["name"] == name
        assert found["about"], name
        for settings in found["settings"].values():
            assert all(setting["meaning"] and setting["type"] for setting in settings.values()), name


def test_a_name_that_two_kinds_share_is_described_by_its_kind():
    assert describe("digits")["kind"] == "data set"
    assert describe("wcfm", "models")["settings"]["model"]["kappa"]["type"] == "float > 0 | none"
    with pytest.raises(ConfigError, match="nothing called 'wcfn'; did you mean 'wcfm'"):
        describe("wcfn")
    with pytest.raises(ConfigError, match="nothing called 'w2'"):
        describe("w2", "models")


def test_settings_of_a_section_name_the_components_that_have_them():
    sample = describe_section("sample")["settings"]["sample"]
    assert "cfm" in sample["method"]["of"]
    assert "nsf" not in sample["method"]["of"]
    assert "mixture" in describe_section("data")["settings"]["data"]["modes"]["of"]
    assert describe_section("plan")["settings"]["plan"]["steps"]["default"] == 5000


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Annotated[int, Ge(0), Le(3)], "int >= 0 <= 3"),
        (tuple[float, float], "list of float"),
        (tuple[int, str], "list (int, str)"),
        (Literal["a"] | None, "a | none"),
        (dict[str, int], "table"),
    ],
)
def test_types_are_written_for_readers(annotation, text):
    assert descriptions._type(annotation) == text
