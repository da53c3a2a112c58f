"""Descriptions of components and sections: what every setting is."""

import json

import pytest

from genbench.cli.descriptions import describe, describe_section
from genbench.registry import ALL


@pytest.mark.parametrize("kind", ALL)
def test_every_component_has_a_description_that_is_json(kind):
    for name in ALL[kind]:
        found = describe(name, ALL[kind])
        assert json.loads(json.dumps(found))["name"] == name
        assert found["about"], name
        for settings in found["settings"].values():
            assert all(setting["meaning"] and setting["type"] for setting in settings.values()), name


def test_a_setting_has_its_default_and_its_type():
    steps = describe_section("plan")["settings"]["plan"]["steps"]
    assert (steps["default"], steps["type"]) == (5000, "int >= 0")
    model = describe("wcfm", ALL["models"])["settings"]["model"]
    assert (model["kappa"]["default"], model["kappa"]["type"]) == ("elbow", "float > 0 | elbow | none")
    assert model["epsilon"]["default"] is None
