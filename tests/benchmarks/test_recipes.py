"""Counted arithmetic of a training step, against the closed form."""

from itertools import pairwise

import pytest
import torch

from benchmarks.perf.recipes import flops
from genbench.core import Event, Normal
from genbench.registry import models
from genbench.settings import build_component


def test_a_perceptron_costs_three_products_a_layer_and_the_first_one_two():
    """Forward, and the gradients of weights and inputs; those of the inputs of the first layer are not needed."""
    event, width, depth = Event((10,)), 32, 3
    part = {"name": "cfm", "net": {"name": "mlp", "width": width, "depth": depth}}
    with torch.device("meta"):
        model = build_component(models, part, event, Normal(event.shape))
    sizes = [weight.shape for name, weight in model.named_parameters() if name.endswith("weight")]
    products = [2 * rows * columns for rows, columns in sizes]
    assert len(products) == depth + 1
    assert all(a[0] == b[1] for a, b in pairwise(sizes))
    assert flops(model) == pytest.approx(3 * sum(products) - products[0])
