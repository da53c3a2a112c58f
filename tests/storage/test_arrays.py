"""Arrays of others: every layout of numbers is read, and what is no such file is refused before memory is taken."""

import io
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from genbench.errors import ConfigError
from genbench.storage import arrays, memory

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


@pytest.mark.parametrize("kind", [">f8", ">f4", "<f4", np.longdouble, np.float16, ">i4", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_layout_of_numbers_is_read(tmp_path, kind, order):
    written = np.asarray(np.abs(POINTS) * 10, dtype=kind, order=order)
    (tmp_path / "x.npy").write_bytes(npy(written))
    np.savez(tmp_path / "x.npz", other=POINTS, samples=written)
    for found in (arrays.load(tmp_path / "x.npy"), arrays.load(tmp_path / "x.npz", "samples")):
        assert found.dtype.isnative
        assert found.dtype.itemsize <= 8
        assert found.flags.c_contiguous
        assert found.flags.writeable
        np.testing.assert_array_equal(found, written.astype(found.dtype))
    assert arrays.names(tmp_path / "x.npz") == ["other", "samples"]


@pytest.mark.parametrize("name", WRONG)
def test_other_files_are_refused_in_one_line_and_take_no_memory(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(WRONG[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigError, match=name) as refused:
        _ = [arrays.load(path, found) for found in arrays.names(path)]
    assert "\n" not in str(refused.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
    assert not (tmp_path / "x").exists()


def test_a_device_and_an_archive_that_unpacks_to_more_than_the_memory_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="is not a file"):
        arrays.names(Path("/dev/zero"))
    np.savez_compressed(tmp_path / "zeros.npz", samples=np.zeros((2**16, 2)))
    monkeypatch.setattr(memory, "total", lambda: 2.0**20 - 1)
    with pytest.raises(ConfigError, match=r"zeros\.npz needs at least .* of memory"):
        arrays.load(tmp_path / "zeros.npz", "samples")


def test_samples_beside_objects_are_read_and_labels_in_any_case(tmp_path):
    label = np.arange(64)
    np.savez(tmp_path / "x.npz", samples=POINTS, meta=np.array([{"a": 1}]), LABEL=label)
    for found, expected in zip(arrays.samples(tmp_path / "x.npz"), (POINTS, label), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.savez(tmp_path / "x.npz", samples=POINTS, Label=label, label=label)
    with pytest.raises(ConfigError, match="holds Label, label; give one array of labels"):
        arrays.samples(tmp_path / "x.npz")
