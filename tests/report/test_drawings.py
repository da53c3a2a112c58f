"""Drawings: damaged ones, and those of another layout, are drawn again."""

import numpy as np
from helpers.reports import blocks, gathered

from genbench.report.blocks import Flow
from genbench.report.drawings import TRAINING, Drawings


def test_damaged_drawings_are_drawn_again(results, report):
    path = results / "tiny/drawings.npz"
    path.write_bytes(b"PK\3\4 and no more")
    again, _, drawings = gathered(results)
    (one,), (other,) = blocks(again, Flow), blocks(report, Flow)
    assert all((a.paths == b.paths).all() for a, b in zip(one.panels, other.panels, strict=True))
    assert path in drawings[0].save()
    assert gathered(results)[2][0].kept


def test_drawings_of_another_layout_are_drawn_again(tmp_path):
    drawn = Drawings(tmp_path, "none")
    for key, loss in {"good": (2, 4), "short": (2, 3), "flat": (4,)}.items():
        drawn.replace(key, {"step": np.zeros(4, np.float32), "loss": np.zeros(loss, np.float32)})
    drawn.save()
    kept, again = Drawings(tmp_path, "none"), {"step": np.ones(1), "loss": np.ones((1, 1))}
    for key in ("good", "short", "flat", "none"):
        assert (kept.get(key, lambda: again, TRAINING) is again) == (key != "good")


def test_a_replaced_drawing_is_saved_although_no_other_is_new(tmp_path):
    """The loss curves of a suite of one seed are replaced once it has three."""
    for seeds in (1, 3):
        drawings = Drawings(tmp_path, "tiny")
        losses = {"step": np.arange(4, dtype=np.float32), "loss": np.ones((seeds, 4), np.float32)}
        drawings.replace("run training", losses)
        assert drawings.get("run training", dict, TRAINING) is losses
        drawings.save()
        assert Drawings(tmp_path, "tiny").get("run training", dict, TRAINING)["loss"].shape == (seeds, 4)
