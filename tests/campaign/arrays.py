"""Arrays of samples in every form that numpy writes, and in forms that it does not."""

import io
import pickle
import zipfile
from collections.abc import Iterator

import numpy as np
from campaign.files import BYTES, PLACES, damaged
from campaign.harness import DONE, EITHER, REFUSED, Case

EVAL = ("--dataset", "moons", "--metric", "sliced_w2")
POINTS = np.random.default_rng(0).normal(size=(64, 2))


def _npy(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def _npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def _header(shape: str, descr: str = "'<f8'", order: str = "False") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def _encrypted(data: bytes) -> bytes:
    """Return an archive with the bit set by which its members are encrypted, in both headers."""
    changed = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = changed.find(signature)
        while at >= 0:
            changed[at + offset] |= 1
            at = changed.find(signature, at + 4)
    return bytes(changed)


NO_NUMBERS = ("U8", "S8", "?", "c16", "O")
TYPES = {kind: POINTS.astype(kind) for kind in ("f8", "f4", "f2", "g", ">f8", ">f4", *NO_NUMBERS)}
TYPES |= {kind: np.abs(np.round(POINTS)).astype(kind) for kind in ("i4", ">i4", "u8", "u2")}

FINE = {
    **{f"points of type {kind}": _npy(array) for kind, array in TYPES.items() if kind not in NO_NUMBERS},
    "Fortran order": _npy(np.asfortranarray(POINTS)),
    "version 2": b"\x93NUMPY\x02\x00" + (118).to_bytes(4, "little") + _npy(POINTS)[10:],
}

WRONG = {
    **{f"points of type {kind}": _npy(TYPES[kind], allow_pickle=True) for kind in NO_NUMBERS},
    "magic only": b"\x93NUMPY",
    "table": b"1, 2\n3, 4\n",
    "pickle": pickle.dumps(POINTS),
    "torch": b"PK\x03\x04" + bytes(200),
    "dates": _npy(np.zeros((64, 2), "datetime64[s]")),
    "records": _npy(np.zeros(64, [("x", "f8"), ("y", "f8")])),
    "scalar": _npy(np.array(1.0)),
    "no rows": _npy(np.zeros((0, 2))),
    "no columns": _npy(np.zeros((64, 0))),
    "one column": _npy(POINTS[:, :1]),
    "flat": _npy(POINTS[:, 0]),
    "three columns": _npy(np.zeros((64, 3))),
    "transposed": _npy(POINTS.T),
    "a cube": _npy(np.zeros((4, 4, 2))),
    "header of terabytes": _header("(1000000000000, 2)") + bytes(100),
    "header of overflow": _header("(4611686018427387904, 4611686018427387904)") + bytes(100),
    "header of negative size": _header("(-64, 2)") + bytes(1024),
    "header of fractions": _header("(64.5, 2)") + bytes(1024),
    "header of words": _header("('a', 2)") + bytes(1024),
    "header of code": _header("(64, 2)", "__import__('os').system('touch x')") + bytes(1024),
    "header of an unknown type": _header("(64, 2)", "'<q9'") + bytes(1024),
    "header of a deep tuple": _header("(" * 50 + ")" * 50) + bytes(100),
    "header without an end": b"\x93NUMPY\x01\x00\xff\xff{'descr'",
    "version 9": b"\x93NUMPY\x09\x00" + _npy(POINTS)[8:],
}

ARCHIVES_FINE = {
    "samples": _npz(samples=POINTS),
    "first array": _npz(arr_0=POINTS),
    "one array of any name": _npz(foo=POINTS),
    "samples and others": _npz(samples=POINTS, foo=POINTS),
    "samples and labels": _npz(samples=POINTS, label=np.arange(64) % 2),
    "stored, big-endian": _npz(samples=POINTS.astype(">f8")),
}

ARCHIVES_WRONG = {
    "empty archive": _zip({}),
    "two arrays": _npz(a=POINTS, b=POINTS),
    "text member": _zip({"samples.npy": b"hello"}),
    "text beside": _zip({"readme.txt": b"hello"}),
    "member of traversal": _zip({"../../samples.npy": b"hello"}),
    "encrypted": _encrypted(_npz(samples=POINTS)),
    "no directory": _npz(samples=POINTS)[:-22],
    "member of terabytes": _zip({"samples.npy": _header("(1000000000000, 2)") + bytes(100)}),
    "bomb": _zip({"samples.npy": _header("(268435456, 2)") + bytes(1 << 28)}),
    "objects": _npz(samples=np.array([[1, None]], dtype=object)),
    **{
        f"labels: {name}": _npz(samples=POINTS, label=label)
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
    for suffix, fine, wrong in (("npy", FINE, WRONG), ("npz", ARCHIVES_FINE, ARCHIVES_WRONG)):
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
    for value in (np.nan, np.inf, 1e300, 1e-300):
        points = POINTS.copy()
        points[3, 1] = value
        yield _case(f"one value is {value}", _npy(points), EITHER)
    for name, make in PLACES.items():
        yield Case(f"arrays/{name}", ("eval", "x.npy", *EVAL), files=lambda folder, make=make: make(folder / "x.npy"))
    for name, array in (IMAGES_FINE | IMAGES_WRONG).items():
        expect = DONE if name in IMAGES_FINE else REFUSED
        yield _case(f"images, {name}", _npy(array), expect, request=("--dataset", "digits", "--metric", "norm"))


def _case(name: str, data: bytes, expect: frozenset[str], suffix: str = "npy", request: tuple[str, ...] = EVAL) -> Case:
    command = ("eval", f"x.{suffix}", *request)
    return Case(f"arrays/{suffix}, {name}", command, expect, lambda folder: (folder / command[1]).write_bytes(data))
