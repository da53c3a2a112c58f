import torch
from helpers.pixel_features import measured, normal_images


def test_the_kernel_distance_is_unbiased_with_a_standard_error(data):
    values = [measured("kid", data, normal_images(400, seed), subsets=20, size=100)["kid"] for seed in range(30, 46)]
    spread = torch.tensor([row["value"] for row in values])
    error = values[0]["details"]["standard_error"]
    assert abs(spread.mean()) < 4 * spread.std() / 4
    assert 1 < error / spread.std() < 4
    shifted = [normal_images(400, seed, mean=140.0) for seed in range(16)]
    far = [measured("kid", data, raw, subsets=20, size=100)["kid"] for raw in shifted]
    assert far[0]["value"] > 10 * error
    assert far[0]["protocol"].endswith("20 subsets of 100")
    spread = torch.tensor([row["value"] for row in far]).std()
    assert 0.5 < far[0]["details"]["standard_error"] / spread < 2
    few = measured("kid", data, normal_images(150, 0))["kid"]
    assert "100 subsets of 150" in few["protocol"]
    assert "standard_error" not in few["details"]
