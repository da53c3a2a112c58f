"""Progressive self-distillation against the flow of Gaussians."""

from helpers.flow_maps import check_map


def test_the_map_of_gaussians_has_no_error_and_is_found_by_training(built, trained, drawn, gaussian_flow):
    check_map(built, trained, drawn, gaussian_flow, "progressive")
