import pytest
import torch

from genbench.metrics.image.vendi_score import vendi_score


@pytest.mark.parametrize("repeats", [1, 30])
def test_the_score_is_the_number_of_different_images(repeats):
    kinds = torch.eye(12)[:7] * torch.arange(1, 8)[:, None]
    assert vendi_score(kinds.repeat(repeats, 1)) == pytest.approx(7)
