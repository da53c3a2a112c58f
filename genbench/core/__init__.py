"""The nouns: samples, splits, data sets, models. Everything else is built from these."""

from genbench.core.models import CPU, Draws, Example, Learner, Model, Samples, Stage, Trainable, Transport
from genbench.core.tasks import (
    Batch,
    Captions,
    Data,
    Encode,
    Event,
    LazyRows,
    Normal,
    Rows,
    Source,
    Split,
    Truth,
    require_normal,
)

__all__ = [
    "CPU",
    "Batch",
    "Captions",
    "Data",
    "Draws",
    "Encode",
    "Event",
    "Example",
    "LazyRows",
    "Learner",
    "Model",
    "Normal",
    "Rows",
    "Samples",
    "Source",
    "Split",
    "Stage",
    "Trainable",
    "Transport",
    "Truth",
    "require_normal",
]
