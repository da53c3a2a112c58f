"""Progressive self-distillation against the flow of Gaussians."""

from helpers.flow_maps import check_flow_matching, check_identity, check_training


def test_the_map_of_gaussians_has_no_error(built, gaussian_flow):
    check_identity(built, gaussian_flow, "progressive")


def test_an_interval_of_length_zero_is_flow_matching(built, gaussian_flow):
    check_flow_matching(built, gaussian_flow, "progressive")


def test_training_finds_the_map_of_gaussians(trained, drawn):
    check_training(trained, drawn, "progressive", ratio=0.5)
