"""Self-distillation and terminal velocity matching against the flow of Gaussians."""

import pytest
from helpers.flow_maps import check_map


@pytest.mark.parametrize("name", ["lagrangian", "tvm", "eulerian", "progressive"])
def test_the_map_of_gaussians_has_no_error_and_is_found_by_training(built, trained, drawn, gaussian_flow, name):
    check_map(built, trained, drawn, gaussian_flow, name)
