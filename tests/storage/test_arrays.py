"""Arrays of others: every layout of numbers is read, and every other file is refused in one line."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from genbench.errors import ConfigError
from genbench.storage import arrays

POINTS = np.random.default_rng(0).normal(size=(64, 2))


def npy(array):
    """Return the array as a file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def npz(**members):
    """Return an archive as a file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name, data in members.items():
            opened.writestr(f"{name}.npy", data)
    return file.getvalue()


WRONG = {
    "empty.npy": b"",
    "cut.npy": npy(POINTS)[:-8],
    "objects.npy": npy(np.array([[1, None]], dtype=object)),
    "version.npy": b"\x93NUMPY\x09\x00" + npy(POINTS)[8:],
    "terabytes.npy": npy(POINTS).replace(b"(64, 2)", b"(9999999999999, 2)"),
    "foreign.npz": npz(samples=b"hello"),
    "cut.npz": npz(samples=npy(POINTS))[:200],
    "text.npz": b"hello",
    "nothing.npz": npz(),
}


@pytest.mark.parametrize("kind", [">f8", ">f4", "<f4", np.longdouble, np.float16, ">i4", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_layout_of_numbers_is_read(tmp_path, kind, order):
    written = np.asarray(np.abs(POINTS) * 10, dtype=kind, order=order)
    np.save(tmp_path / "x.npy", written)
    np.savez(tmp_path / "x.npz", other=POINTS, samples=written)
    for found in (arrays.load(tmp_path / "x.npy")[""], arrays.load(tmp_path / "x.npz")["samples"]):
        assert found.dtype.isnative
        assert found.dtype.itemsize <= 8
        assert found.flags.c_contiguous
        assert found.flags.writeable
        np.testing.assert_array_equal(found, written.astype(found.dtype))


@pytest.mark.parametrize("name", WRONG)
def test_other_files_are_refused_in_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(WRONG[name])
    with pytest.raises(ConfigError, match=name) as refused:
        arrays.load(tmp_path / name)
    assert "\n" not in str(refused.value)


def test_a_device_is_no_file():
    with pytest.raises(ConfigError, match="is not a file"):
        arrays.load(Path("/dev/zero"))
