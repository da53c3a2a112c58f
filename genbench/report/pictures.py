"""Pictures: the paths and densities of flows in two dimensions, and samples of images, as arrays ready to be drawn."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True, eq=False)
class Panel:
    """How one model carries noise to data. Positions and densities are in 255 steps of the frame of its flow.

    Args:
        label: the model.
        seed: of the run that is drawn.
        paths: where points are at equally spaced times from 0 to 1; a single time, 1, where they follow no path.
        density: of many more points at the same times, rows from the top; square root of the density, 255 the
            highest of the data.
    """

    label: str
    seed: int
    paths: UInt8[np.ndarray, "times points 2"]
    density: UInt8[np.ndarray, "times size size"]

    @property
    def moves(self) -> bool:
        """Whether there are times to move between."""
        return len(self.paths) > 1


@dataclass(frozen=True, eq=False)
class Flow:
    """The paths and densities of all models on one data set, side by side.

    Args:
        name: for files and anchors, unique within a report.
        frame: left, right, bottom and top of every panel, in raw units.
        data: the data themselves.
        panels: the models.
        caption: what is seen.
        missing: models that could not be drawn, each with the reason.
    """

    name: str
    frame: tuple[float, float, float, float]
    data: Panel
    panels: tuple[Panel, ...]
    caption: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Gallery:
    """Samples of images, one sheet a model, the data first.

    Args:
        name: for files and anchors, unique within a report.
        sheets: labels, and grey or RGB sheets of images.
        zoom: screen pixels a pixel.
        caption: what is seen.
        missing: models without samples, each with the reason.
    """

    name: str
    sheets: tuple[tuple[str, UInt8[np.ndarray, "height width *channels"]], ...]
    zoom: int
    caption: str
    missing: tuple[str, ...] = ()
