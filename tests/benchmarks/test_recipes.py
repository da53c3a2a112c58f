"""The counted arithmetic of the recipes for GPUs."""

import pytest

from benchmarks.perf.recipes import built, flops
from genbench.sweeps import suite


def test_a_step_of_the_recipe_for_cifar10_takes_as_many_operations_as_the_pages_say():
    """Norms that switch autocast off could not be counted."""
    spec = next(spec for spec in suite.load("cifar10").specs if spec.model["name"] == "cfm")
    assert 1e-12 * flops(built(spec)) * spec.plan["batch_size"] == pytest.approx(4.4, abs=0.05)
