"""Transforms of images, each on pixels for which the result is known."""

import numpy as np
import torch
from PIL import Image
from torch.testing import assert_close

from genbench.data.transforms import TRANSFORMS


def test_transforms_do_what_their_names_say():
    stroke = torch.zeros(1, 1, 3, 8, dtype=torch.uint8)
    stroke[..., 3] = 16
    thick = TRANSFORMS["thick"](stroke, 16)
    assert thick[0, 0, 0].tolist() == [0, 0, 16, 16, 16, 0, 0, 0]
    assert TRANSFORMS["inverted"](stroke, 16)[0, 0, 0].tolist() == [16, 16, 16, 0, 16, 16, 16, 16]
    colours = torch.randint(256, (4, 3, 5, 5), dtype=torch.uint8)
    for transform in TRANSFORMS.values():
        assert transform(colours, 255).dtype == torch.uint8
    assert_close(TRANSFORMS["inverted"](TRANSFORMS["inverted"](colours, 255), 255), colours)
    theirs = [np.asarray(Image.fromarray(c.permute(1, 2, 0).numpy()).convert("L")) for c in colours]
    ours = TRANSFORMS["grey"](colours, 255)
    assert (ours[:, 0].int() - torch.from_numpy(np.stack(theirs)).int()).abs().max() <= 1
    assert_close(ours[:, 0], ours[:, 2])
