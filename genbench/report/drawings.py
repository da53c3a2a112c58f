"""Drawings: small arrays that pictures of samples are made from, cached for each suite.

RESULTS/SUITE/drawings.npz has a few kilobytes per run under the name of the run, so that a report can show the samples
of a run after its weights are gone.
"""

import logging
import os
from collections.abc import Callable, Mapping, Set
from pathlib import Path

import numpy as np

from genbench.errors import ConfigError
from genbench.storage import arrays, files

log = logging.getLogger("genbench")

DRAWINGS = "drawings.npz"
VERSION = 1
"""Drawings of another version are drawn again."""
DENSITY_SIZE = 48
"""Rows and columns of a density."""
MAX_DRAWINGS = 2**30
"""Bytes of drawings above which none are read; those of 8,000 runs have less than half."""

Arrays = Mapping[str, np.ndarray]

PANEL, SHEET, TRAINING = {"paths", "density"}, {"sheet"}, {"step", "loss"}
FLOW_DATA, IMAGE_DATA = PANEL | {"frame", "peak"}, SHEET | {"height"}
"""Arrays of each kind of drawing."""
SHAPES = {"paths": ("u", 3), "density": ("u", 3), "frame": ("f", 1), "peak": ("f", 0), "height": ("i", 0)}
SHAPES |= {"step": ("f", 1), "loss": ("f", 2), "sheet": ("u", 2)}
"""Kind and number of dimensions of each array; sheets in color have one more."""


class Drawings:
    """The drawings of a suite, cached in one file.

    Args:
        root: the results folder.
        suite: name of the suite.
    """

    def __init__(self, root: Path, suite: str) -> None:
        self.path = root / suite / DRAWINGS
        self.kept = _load(self.path)
        self.used: dict[str, Arrays] = {}

    def get(self, key: str, draw: Callable[[], Arrays], *kinds: Set[str]) -> Arrays:
        """Return the drawing of that name; it is drawn if none of these kinds is cached.

        Raises:
            Unsupported: if it cannot be drawn.
        """
        key = f"{VERSION} {key}"
        if key not in self.used:
            kept = self.kept.get(key, {})
            self.used[key] = kept if any(_is_drawing(kept, kind) for kind in kinds) else draw()
        return self.used[key]

    def replace(self, key: str, arrays: Arrays) -> None:
        """Use these arrays as the drawing of that name, in place of the cached one."""
        self.used[f"{VERSION} {key}"] = arrays

    def save(self) -> list[Path]:
        """Write the drawings that were used, if any differ from the cached ones; return the file if there is one."""
        if not self.used:
            return []
        if self.used.keys() != self.kept.keys() or any(self.used[key] is not self.kept[key] for key in self.used):
            arrays = {f"{key}|{name}": array for key in sorted(self.used) for name, array in self.used[key].items()}
            files.replace(self.path, lambda temporary: _save(temporary, arrays))
        return [self.path]


def _load(path: Path) -> dict[str, Arrays]:
    drawings: dict[str, dict[str, np.ndarray]] = {}
    if not os.path.lexists(path):
        return {}
    try:
        for name, array in arrays.load_all(path, MAX_DRAWINGS).items():
            key, _, part = name.rpartition("|")
            drawings.setdefault(key, {})[part] = array
    except ConfigError as error:  # a cache: whatever is wrong with it, it is drawn again
        log.warning("%s; its drawings are drawn again if their runs are kept", error)
        return {}
    return dict(drawings)


def _is_drawing(arrays: Arrays, parts: Set[str]) -> bool:
    """Return whether cached arrays have the layout of those that are drawn here."""
    for name, array in arrays.items():
        kind, sides = SHAPES.get(name, ("", 0))
        colored = name == "sheet" and array.ndim == 3 and array.shape[2] == 3
        if array.dtype.kind != kind or (array.ndim != sides and not colored) or 0 in array.shape:
            return False
    if arrays.keys() != parts:
        return False
    if parts >= PANEL:
        (times, _, sides), size = arrays["paths"].shape, DENSITY_SIZE
        return (
            sides == 2 and arrays["density"].shape == (times, size, size) and arrays.get("frame", np.ones(4)).size == 4
        )
    return parts != TRAINING or arrays["loss"].shape[1] == len(arrays["step"])


def _save(path: Path, arrays: Arrays) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
