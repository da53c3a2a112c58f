"""What losses of flow maps share."""

import pytest
import torch

from genbench.errors import ConfigError


def test_the_share_of_intervals_is_the_ratio(built):
    model, _ = built("lagrangian", "gaussian", ratio=0.25)
    t, end = model.draw_times(20_000, torch.Generator().manual_seed(0))
    assert (end > t).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert (end >= t).all()


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
