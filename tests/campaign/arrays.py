"""Arrays of samples, damaged or hostile; tests/storage/test_arrays.py has those that numpy writes."""

from collections.abc import Iterator

import numpy as np
from campaign.files import BYTES, PLACES, damaged
from campaign.harness import DONE, EITHER, REFUSED, Case
from helpers.array_files import POINTS, WRONG, archive, npy

EVAL = ("--dataset", "moons", "--metric", "sliced_w2")
FINE = {"npy": npy(POINTS), "npz": archive(samples=npy(POINTS), label=npy(np.arange(64) % 2))}

SQUARE = np.zeros((8, 1, 8, 8), np.uint8)
IMAGES_FINE = {"levels": SQUARE, "channels last": SQUARE.transpose(0, 2, 3, 1)}
IMAGES_WRONG = {
    "floats": SQUARE.astype(float),
    "level too high": SQUARE + 17,
    "two channels": np.zeros((8, 2, 8, 8), np.uint8),
    "other size": np.zeros((8, 1, 9, 9), np.uint8),
    "signed": SQUARE.astype(np.int16),
}


def cases() -> Iterator[Case]:
    """Yield cases of arrays of samples."""
    for suffix, sound in FINE.items():
        yield _case("sound", sound, DONE, suffix)
        for name, change in BYTES.items():
            yield _case(name, change(sound), EITHER if name in ("longer", "twice") else REFUSED, suffix)
        for name, data in damaged(sound[:128] if suffix == "npy" else sound, suffix, 25, 10):
            whole = data + sound[len(data) :] if "flipped" in name else data
            yield _case(name, whole, EITHER if "flipped" in name else REFUSED, suffix)
    for name, data in WRONG.items():
        yield _case(name, data, REFUSED, name[-3:])
    for value in (np.nan, np.inf, 1e300, 1e-300):
        points = POINTS.copy()
        points[3, 1] = value
        yield _case(f"one value is {value}", npy(points), EITHER)
    for name, make in PLACES.items():
        yield Case(f"arrays/{name}", ("eval", "x.npy", *EVAL), files=lambda folder, make=make: make(folder / "x.npy"))
    for name, array in (IMAGES_FINE | IMAGES_WRONG).items():
        expect = DONE if name in IMAGES_FINE else REFUSED
        yield _case(f"images, {name}", npy(array), expect, request=("--dataset", "digits", "--metric", "norm"))


def _case(name: str, data: bytes, expect: frozenset[str], suffix: str = "npy", request: tuple[str, ...] = EVAL) -> Case:
    command = ("eval", f"x.{suffix}", *request)
    return Case(f"arrays/{suffix}, {name}", command, expect, lambda folder: (folder / command[1]).write_bytes(data))
