"""Lightning Fabric: what it imports."""

import subprocess
import sys

import pytest


def test_fabric_does_not_import_torchmetrics_which_works_afterwards():
    pytest.importorskip("torchmetrics")
    code = """
import sys
from genbench.training.fabric import fabric_of
from genbench.training.plan import Plan
fabric_of(Plan(), "cpu")
assert not {"torchmetrics", "torchvision", "transformers"} & set(sys.modules)
import torchmetrics
assert torchmetrics.MeanMetric
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
