"""Arrays of samples in every form that numpy writes, and in forms that it does not."""

import pickle
from collections.abc import Iterator

import numpy as np
from campaign.files import BYTES, PLACES, damaged
from campaign.harness import DONE, EITHER, REFUSED, Case
from helpers.array_files import POINTS, WRONG, archive, npy

EVAL = ("--dataset", "moons", "--metric", "sliced_w2")
NO_NUMBERS = ("U8", "S8", "?", "c16", "O")
TYPES = {kind: POINTS.astype(kind) for kind in ("f8", "f4", "f2", "g", ">f8", ">f4", *NO_NUMBERS)}
TYPES |= {kind: np.abs(np.round(POINTS)).astype(kind) for kind in ("i4", ">i4", "u8", "u2")}

FINE = {
    **{f"points of type {kind}": npy(array) for kind, array in TYPES.items() if kind not in NO_NUMBERS},
    "Fortran order": npy(np.asfortranarray(POINTS)),
    "version 2": b"\x93NUMPY\x02\x00" + (118).to_bytes(4, "little") + npy(POINTS)[10:],
}

WRONG_POINTS = {
    **{f"points of type {kind}": npy(TYPES[kind]) for kind in NO_NUMBERS},
    "magic only": b"\x93NUMPY",
    "table": b"1, 2\n3, 4\n",
    "pickle": pickle.dumps(POINTS),
    "torch": b"PK\x03\x04" + bytes(200),
    "dates": npy(np.zeros((64, 2), "datetime64[s]")),
    "records": npy(np.zeros(64, [("x", "f8"), ("y", "f8")])),
    "scalar": npy(np.array(1.0)),
    "no rows": npy(np.zeros((0, 2))),
    "no columns": npy(np.zeros((64, 0))),
    "one column": npy(POINTS[:, :1]),
    "flat": npy(POINTS[:, 0]),
    "three columns": npy(np.zeros((64, 3))),
    "transposed": npy(POINTS.T),
    "a cube": npy(np.zeros((4, 4, 2))),
}

ARCHIVES_FINE = {
    "samples": archive(samples=npy(POINTS)),
    "first array": archive(arr_0=npy(POINTS)),
    "one array of any name": archive(foo=npy(POINTS)),
    "samples and others": archive(samples=npy(POINTS), foo=npy(POINTS)),
    "samples and labels": archive(samples=npy(POINTS), label=npy(np.arange(64) % 2)),
    "stored, big-endian": archive(samples=npy(POINTS.astype(">f8"))),
}

ARCHIVES_WRONG = {
    "empty archive": archive(),
    "two arrays": archive(a=npy(POINTS), b=npy(POINTS)),
    "text beside": archive(readme=b"hello"),
    "member of traversal": archive(**{"../../samples": b"hello"}),
    **{
        f"labels: {name}": archive(samples=npy(POINTS), label=npy(label))
        for name, label in {
            "too few": np.zeros(3, int),
            "too large": np.full(64, 9),
            "words": np.full(64, "a"),
            "negative": np.full(64, -1),
            "matrices": np.zeros((64, 2), int),
        }.items()
    },
}

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
    for suffix, fine, wrong in (("npy", FINE, WRONG_POINTS), ("npz", ARCHIVES_FINE, ARCHIVES_WRONG)):
        sound = next(iter(fine.values()))
        for name, data in fine.items():
            yield _case(name, data, DONE, suffix)
        for name, data in wrong.items():
            yield _case(name, data, REFUSED, suffix)
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
