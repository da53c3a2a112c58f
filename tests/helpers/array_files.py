"""Files of arrays as bytes: sound ones, and what is no such file."""

import io
import zipfile

import numpy as np

POINTS = np.random.default_rng(0).normal(size=(64, 2))


def npy(array):
    """Return the array as a file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def header(shape, descr="'<f8'"):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def archive(compression=zipfile.ZIP_DEFLATED, **members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as opened:
        for name, data in members.items():
            opened.writestr(f"{name}.npy", data)
    return file.getvalue()


def encrypted(data):
    """Return an archive with the bits set by which its first member is encrypted."""
    changed = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        changed[changed.find(signature) + offset] |= 1
    return bytes(changed)


def damaged(data):
    return data[:100] + bytes(20) + data[120:]


WRONG = {
    "empty.npy": b"",
    "header of terabytes.npy": header("(1000000000000, 2)") + bytes(100),
    "longer than its header says.npy": header("(3, 2)") + bytes(1000),
    "cut.npy": npy(POINTS)[:-8],
    "negative.npy": header("(-64, 2)") + bytes(1024),
    "code.npy": header("(64, 2)", "__import__('os').system('touch x')") + bytes(1024),
    "objects.npy": npy(np.array([[1, None]], dtype=object)),
    "version.npy": b"\x93NUMPY\x09\x00" + npy(POINTS)[8:],
    "foreign.npz": archive(samples=b"hello"),
    "encrypted.npz": encrypted(archive(samples=npy(POINTS))),
    "terabytes.npz": archive(samples=header("(1000000000000, 2)") + bytes(100)),
    "bomb.npz": archive(samples=header("(268435456, 2)") + bytes(2**24)),
    "cut.npz": archive(samples=npy(POINTS))[:200],
    "text.npz": b"hello",
    "no type.npy": header("(64, 2)", "()") + bytes(1024),
    "deep.npy": header("-" * 9_000 + "1") + bytes(1024),
    "header bomb.npz": archive(samples=b"\x93NUMPY\x02\x00" + (2**28).to_bytes(4, "little") + b" " * 2**28),
    "damaged lzma.npz": damaged(archive(zipfile.ZIP_LZMA, samples=npy(POINTS))),
    "overflow.npy": header("(4611686018427387904, 4611686018427387904)") + bytes(100),
    "fractions.npy": header("(64.5, 2)") + bytes(1024),
    "words.npy": header("('a', 2)") + bytes(1024),
    "unknown type.npy": header("(64, 2)", "'<q9'") + bytes(1024),
    "deep tuple.npy": header("(" * 50 + ")" * 50) + bytes(100),
    "without an end.npy": b"\x93NUMPY\x01\x00\xff\xff{'descr'",
    "no directory.npz": archive(samples=npy(POINTS))[:-22],
}
