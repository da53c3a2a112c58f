"""What losses of flow maps share."""

import pytest
import torch


def test_the_share_of_intervals_is_the_ratio(built):
    model, _ = built("lagrangian", "gaussian", ratio=0.25)
    t, end = model.draw_times(20_000, torch.Generator().manual_seed(0))
    assert (end > t).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert (end >= t).all()
