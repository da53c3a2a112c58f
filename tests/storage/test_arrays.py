"""Arrays of others: every layout of numbers is read, and what is no such file is refused before memory is taken."""

import resource
from pathlib import Path

import numpy as np
import pytest
from helpers.array_files import POINTS, WRONG, npy

from genbench.errors import ConfigError
from genbench.storage import arrays


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


def test_a_device_is_no_file():
    with pytest.raises(ConfigError, match="is not a file"):
        arrays.names(Path("/dev/zero"))
