"""Conformance: the requirements on every model, data set and metric, as checks that plug-ins can run too."""

from genbench.testing.conformance import check_module
from genbench.testing.datasets import check_dataset
from genbench.testing.metrics import check_metric
from genbench.testing.models import check_model

__all__ = ["check_dataset", "check_metric", "check_model", "check_module"]
