"""Metrics: one kind of question a file, each a function of an `Evaluation`.

Metrics of image features are also modules of torchmetrics, importable from here without the rest of genbench.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genbench.metrics.feature_metrics import (
        DensityCoverage,
        FrechetDistance,
        KernelDistance,
        MongeDistance,
        PrecisionRecall,
        VendiScore,
    )

__all__ = ["DensityCoverage", "FrechetDistance", "KernelDistance", "MongeDistance", "PrecisionRecall", "VendiScore"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # importing torchmetrics takes a second, which listing and 2D runs do not need
        from genbench.metrics import feature_metrics

        return getattr(feature_metrics, name)
    raise AttributeError(f"module 'genbench.metrics' has no attribute '{name}'")
