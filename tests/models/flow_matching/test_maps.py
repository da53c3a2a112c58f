"""The methods that are flow maps: which settings they refuse."""

import pytest

from genbench.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("consistency", {"segments": 4, "delta": 0.3}, "below the length of a segment"),
        ("shortcut", {"finest": 12}, "power of two"),
        ("shortcut", {"target_guidance": 2.0}, "conditional"),
        ("meanflow", {"target_guidance": 2.0}, "conditional"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(built, name, settings, message):
    with pytest.raises(ConfigError, match=message):
        built(name, "gaussian", **settings)
