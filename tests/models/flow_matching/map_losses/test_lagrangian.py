"""Lagrangian self-distillation and terminal velocity matching against the flow of Gaussians."""

import pytest
from helpers.flow_maps import check_flow_matching, check_identity, check_training

NAMES = ["lagrangian", "tvm"]


@pytest.mark.parametrize("name", NAMES)
def test_the_map_of_gaussians_has_no_error(built, gaussian_flow, name):
    check_identity(built, gaussian_flow, name)


@pytest.mark.parametrize("name", NAMES)
def test_an_interval_of_length_zero_is_flow_matching(built, gaussian_flow, name):
    check_flow_matching(built, gaussian_flow, name)


@pytest.mark.parametrize("name", NAMES)
def test_training_finds_the_map_of_gaussians(trained, drawn, name):
    check_training(trained, drawn, name, ratio=0.5)
