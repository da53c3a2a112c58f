"""Arrays of samples in every form that numpy writes, and in forms that it does not."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from campaign.harness import Case

EVAL = ("eval", "{}/x.npy", "--dataset", "moons", "--metric", "sliced_w2")
REFUSED = frozenset({"refused"})
DONE = frozenset({"done"})

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


def _flipped(data: bytes, position: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)


def _encrypted(data: bytes) -> bytes:
    """Return an archive with the bit set by which its members are encrypted, in both headers."""
    changed = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = changed.find(signature)
        while at >= 0:
            changed[at + offset] |= 1
            at = changed.find(signature, at + 4)
    return bytes(changed)


FINE = {
    "float64": _npy(POINTS),
    "float32": _npy(POINTS.astype(np.float32)),
    "float16": _npy(POINTS.astype(np.float16)),
    "longdouble": _npy(POINTS.astype(np.longdouble)),
    "big-endian float64": _npy(POINTS.astype(">f8")),
    "big-endian float32": _npy(POINTS.astype(">f4")),
    "integers": _npy(np.round(POINTS).astype(np.int32)),
    "big-endian integers": _npy(np.round(POINTS).astype(">i4")),
    "unsigned": _npy(np.abs(np.round(POINTS)).astype(np.uint64)),
    "unsigned, short": _npy(np.abs(np.round(POINTS)).astype(np.uint16)),
    "Fortran order": _npy(np.asfortranarray(POINTS)),
    "version 2": b"\x93NUMPY\x02\x00" + (118).to_bytes(4, "little") + _npy(POINTS)[10:],
}

WRONG = {
    "empty file": b"",
    "one byte": b"\x93",
    "magic only": b"\x93NUMPY",
    "text": b"1, 2\n3, 4\n",
    "zeros": bytes(1000),
    "random": np.random.default_rng(1).bytes(5000),
    "pickle": pickle.dumps(POINTS),
    "torch": b"PK\x03\x04" + bytes(200),
    "bool": _npy(POINTS > 0),
    "complex": _npy(POINTS.astype(complex)),
    "strings": _npy(POINTS.astype("U8")),
    "bytes": _npy(POINTS.astype("S8")),
    "dates": _npy(np.zeros((64, 2), "datetime64[s]")),
    "objects": _npy(np.array([[1, None]] * 64, dtype=object), allow_pickle=True),
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
    "data cut": _npy(POINTS)[:-100],
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
    "empty": b"",
    "empty archive": _zip({}),
    "two arrays": _npz(a=POINTS, b=POINTS),
    "text member": _zip({"samples.npy": b"hello"}),
    "text beside": _zip({"readme.txt": b"hello"}),
    "member of traversal": _zip({"../../samples.npy": b"hello"}),
    "encrypted": _encrypted(_npz(samples=POINTS)),
    "cut": _npz(samples=POINTS)[:200],
    "half": _npz(samples=POINTS)[: len(_npz(samples=POINTS)) // 2],
    "no directory": _npz(samples=POINTS)[:-22],
    "checksum wrong": _flipped(_npz(samples=POINTS), 600, 3),
    "member of terabytes": _zip({"samples.npy": _header("(1000000000000, 2)") + bytes(100)}),
    "bomb": _zip({"samples.npy": _header("(268435456, 2)") + bytes(1 << 28)}),
    "objects": _npz(samples=np.array([[1, None]], dtype=object)),
    "labels too few": _npz(samples=POINTS, label=np.zeros(3, int)),
    "labels too large": _npz(samples=POINTS, label=np.full(64, 9)),
    "labels are words": _npz(samples=POINTS, label=np.full(64, "a")),
    "labels are negative": _npz(samples=POINTS, label=np.full(64, -1)),
    "labels of matrices": _npz(samples=POINTS, label=np.zeros((64, 2), int)),
}


def _written(data: bytes, name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data) and None


def cases() -> Iterator[Case]:
    """Yield cases of arrays of samples."""
    for name, data in FINE.items():
        yield Case(f"arrays/{name}", EVAL, DONE, _written(data, "x.npy"))
    for name, data in WRONG.items():
        yield Case(f"arrays/{name}", EVAL, REFUSED, _written(data, "x.npy"))
    whole = _npy(POINTS)
    for position in range(0, 80, 4):
        flipped = _flipped(whole, position, position % 7)
        yield Case(f"arrays/bit {position} of the header flipped", EVAL, REFUSED | DONE, _written(flipped, "x.npy"))
    for length in range(1, 130, 12):
        yield Case(f"arrays/cut after {length} bytes", EVAL, REFUSED, _written(whole[:length], "x.npy"))
    archive = ("eval", "{}/x.npz", *EVAL[2:])
    for name, data in ARCHIVES_FINE.items():
        yield Case(f"arrays/npz, {name}", archive, DONE, _written(data, "x.npz"))
    for name, data in ARCHIVES_WRONG.items():
        yield Case(f"arrays/npz, {name}", archive, REFUSED, _written(data, "x.npz"))
    packed = _npz(samples=POINTS)
    for position in range(0, len(packed), len(packed) // 24):
        flipped = _flipped(packed, position, 2)
        yield Case(f"arrays/npz, bit of byte {position} flipped", archive, REFUSED | DONE, _written(flipped, "x.npz"))
    for value, name in ((np.nan, "nan"), (np.inf, "infinity"), (1e300, "huge"), (1e-300, "tiny")):
        points = POINTS.copy()
        points[3, 1] = value
        yield Case(f"arrays/one value is {name}", EVAL, REFUSED | DONE, _written(_npy(points), "x.npy"))
    for name, make in {
        "absent": lambda folder: None,
        "folder": lambda folder: (folder / "x.npy").mkdir(),
        "FIFO": lambda folder: os.mkfifo(folder / "x.npy"),
        "dangling link": lambda folder: (folder / "x.npy").symlink_to("nowhere"),
        "link to itself": lambda folder: (folder / "x.npy").symlink_to("x.npy"),
        "endless device": lambda folder: (folder / "x.npy").symlink_to("/dev/zero"),
        "random device": lambda folder: (folder / "x.npy").symlink_to("/dev/urandom"),
        "empty device": lambda folder: (folder / "x.npy").symlink_to("/dev/null"),
    }.items():
        yield Case(f"arrays/{name}", EVAL, REFUSED, make)
    images = ("eval", "{}/x.npy", "--dataset", "digits", "--metric", "norm")
    square = np.zeros((8, 1, 8, 8), np.uint8)
    yield Case("arrays/images, levels", images, DONE, _written(_npy(square), "x.npy"))
    yield Case("arrays/images, channels last", images, DONE, _written(_npy(square.transpose(0, 2, 3, 1)), "x.npy"))
    for name, array in {
        "floats": square.astype(float),
        "level too high": square + 17,
        "two channels": np.zeros((8, 2, 8, 8), np.uint8),
        "other size": np.zeros((8, 1, 9, 9), np.uint8),
        "signed": square.astype(np.int16),
    }.items():
        yield Case(f"arrays/images, {name}", images, REFUSED, _written(_npy(array), "x.npy"))
