"""Descriptions of components and sections: what every setting is."""

import io
import json
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Le
from rich.console import Console

from genbench.cli import descriptions
from genbench.cli.descriptions import describe, describe_section, print_description
from genbench.registry import ALL


@pytest.mark.parametrize("kind", ALL)
def test_every_component_has_a_description_that_is_json(kind):
    for name in ALL[kind]:
        found = describe(name, ALL[kind])
        assert json.loads(json.dumps(found))["name"] == name
        assert found["about"], name
        for settings in found["settings"].values():
            assert all(setting["meaning"] and setting["type"] for setting in settings.values()), name


def test_meanings_and_defaults_are_wrapped_and_never_cut():
    for name in ("wcfm", "cfm"):
        console, found = Console(file=io.StringIO(), width=80), describe(name, ALL["models"])
        print_description(found, console)
        lines = console.file.getvalue().splitlines()
        assert max(map(len, lines)) <= 80
        words = {word for line in lines for word in line.split()}
        for settings in found["settings"].values():
            assert all({*setting["meaning"].split()} <= words for setting in settings.values())
        assert not any("…" in line for line in lines)


def test_a_setting_has_its_default_and_its_type():
    steps = describe_section("plan")["settings"]["plan"]["steps"]
    assert (steps["default"], steps["type"]) == (5000, "int >= 0")
    assert describe("wcfm", ALL["models"])["settings"]["model"]["kappa"]["type"] == "float > 0 | elbow | none"


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
