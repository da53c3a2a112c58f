import torch

from genbench.metrics.image.inception_score import split_scores


def test_the_score_counts_classes():
    certain = 100 * torch.eye(10).repeat(30, 1)
    torch.testing.assert_close(split_scores(certain, 1, 0), torch.tensor([10.0]).double())
    torch.testing.assert_close(split_scores(certain[::10], 3, 0), torch.ones(3).double())
    torch.testing.assert_close(split_scores(torch.zeros(40, 10), 2, 0), torch.ones(2).double())
    assert split_scores(certain, 10, 0).max() < 10  # a split of 30 has not every class equally often
