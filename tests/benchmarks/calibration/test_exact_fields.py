"""Exact fields have the values known in closed form."""

import math

import pytest

from benchmarks.calibration.exact_fields import measure_fields


def test_exact_fields_have_the_values_known_in_closed_form():
    rows = list(measure_fields([0]))
    found = {}
    for row in rows:
        found.setdefault((row["task"], row["metric"]), []).append(row)
    mean = {key: rows[0]["value"] for key, rows in found.items()}
    # N(0, 1) to N(0, 1/4), for each of two coordinates: W2^2 is 1/4, path energy .46460184.
    assert mean["gaussian", "path_energy"] == pytest.approx(2 * 0.46460184, rel=0.05)
    assert mean["gaussian", "npe.path"] == pytest.approx(0.85840735, rel=0.05)
    entropy = 2 * (0.5 * math.log(2 * math.pi * math.e) + math.log(0.5))
    assert mean["gaussian", "nll"] == pytest.approx(entropy, abs=0.05)
    assert abs(mean["8gaussians", "npe.transport"]) < 0.01  # its samples have the law of the data
