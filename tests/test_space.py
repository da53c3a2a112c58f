import numpy as np
import pytest
import torch

from genbench.space import Pixels, dequantize


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_every_level_returns_from_every_point_of_its_bin(levels):
    space = Pixels(levels)
    raw = torch.arange(levels).repeat(50)
    spread = dequantize(space.encode(raw), space.bin, torch.Generator().manual_seed(0))
    assert torch.equal(space.decode(space.encode(raw)).long(), raw)
    assert torch.equal(space.decode(spread).long(), raw)
    assert spread.min() >= -1
    assert spread.max() <= 1
    with pytest.raises(ValueError, match="NaN"):
        space.decode(torch.tensor([float("nan")]))
    bits = torch.log2(torch.tensor(float(levels))).item()  # of a uniform density, 1/2 on [-1, 1]
    nats = torch.log(torch.tensor(2.0)).item()
    assert (nats + space.log_scale) / nats == pytest.approx(bits, abs=1e-6)


@pytest.mark.parametrize("levels", [2, 17, 256, 1000])
def test_levels_are_shown_as_gray_values_from_black_to_white(levels):
    gray = Pixels(levels).gray(np.arange(levels).astype(np.uint8 if levels <= 256 else np.int64))
    assert gray.dtype == np.uint8
    assert gray[0] == 0
    assert gray[-1] >= 240  # equal steps of whole gray values
    assert (np.diff(gray.astype(int)) >= 0).all()
