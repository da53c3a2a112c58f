"""Events and sources."""

import torch

from genbench.core import Normal


def test_the_normal_source_has_the_density_of_its_samples():
    source = Normal((2, 3, 4))
    x = source.sample(5000, torch.Generator().manual_seed(0))
    expected = torch.distributions.MultivariateNormal(torch.zeros(24), torch.eye(24)).log_prob(x.flatten(1))
    torch.testing.assert_close(source.log_prob(x), expected)
    torch.testing.assert_close(x.flatten(1).T.cov(), torch.eye(24), rtol=0, atol=0.1)
    assert torch.isnan(source.log_prob(torch.full((1, 2, 3, 4), torch.nan)))  # a check of values would make a GPU wait
