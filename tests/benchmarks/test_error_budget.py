"""Biases of couplings: against distances of Gaussians, and their limits."""

import json

import pytest
import torch
from helpers.published import RESULTS
from helpers.toy_flows import stream

from benchmarks.error_budget import energy, gibbs_bias, page, plan_excess, theory


def test_the_excess_of_plans_of_one_point_is_the_distance_of_independent_pairs(monkeypatch):
    """E|x - y|^2 - W2^2 = d (1 + s^2) - d (1 - s)^2 = 2 d s."""
    monkeypatch.setattr("benchmarks.error_budget.PLANNED", 1000)
    assert plan_excess(3, 1, stream()) == pytest.approx(2 * 3 * 0.5, rel=0.15)
    few, many = (plan_excess(2, n, stream()) for n in (16, 128))
    assert many < few / 2
    assert theory(8) == "-0.25"


def test_weights_select_and_equal_samples_have_no_distance():
    x = torch.randn(300, 1, generator=stream())
    weight = (x[:, 0] > 0).double()
    assert energy(x, x, torch.ones(300)) == pytest.approx(0, abs=1e-6)
    # Half-normal X and normal Y: E|X - Y| = E|Y - Y'| = 2 / sqrt(pi), E|X - X'| = (2 - sqrt(2)) 2 / sqrt(pi).
    assert energy(x, x, weight) == pytest.approx((2**0.5 - 1) * 2 / torch.pi**0.5, abs=0.08)


def test_the_tilt_falls_with_kappa_as_its_inverse_square():
    near, far = (gibbs_bias(kappa, 256, stream()) for kappa in (8.0, 16.0))
    for of in near:
        assert near[of] / far[of] == pytest.approx(4, rel=0.4)


def test_the_page_agrees_with_its_numbers():
    rows = json.loads((RESULTS / "error_budget.json").read_text("utf-8"))
    assert page(rows, RESULTS) == (RESULTS / "error_budget.md").read_text("utf-8")
