"""Tables of the literature: their preparation from small files of the same form, the archive, and what is refused."""

import hashlib
import pickle
import sys
import tarfile

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from genbench.data import tables
from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.testing import check_dataset

N = 1003

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path, random):
    """All five tables with few rows, as the archive unpacks them, and that of GAS also as Parquet."""
    place = tmp_path / "data"
    for name in ("power", "gas", "hepmass", "miniboone", "BSDS300"):
        (place / name).mkdir(parents=True)
    power = random.integers(-3, 4, (N, 8)).astype(float)
    power[:, [0, 2, 4, 5, 6]] = 0  # what is left of these columns is noise
    power[:, 7] = np.arange(N)
    np.save(place / "power" / "data.npy", power)
    np.save(place / "miniboone" / "data.npy", random.normal(5, 3, (N, 43)))
    gases = sensors(random)
    gases.to_pickle(place / "gas" / "ethylene_CO.pickle")
    gases.to_parquet(place / "gas" / "ethylene_CO.parquet")
    collisions(random, 0).to_csv(place / "hepmass" / "1000_train.csv", index=False)
    collisions(random, 1).to_csv(place / "hepmass" / "1000_test.csv", index=False)
    with h5py.File(place / "BSDS300" / "BSDS300.hdf5", "w") as file:
        for part, n in (("train", 50), ("validation", 20), ("test", 30)):
            file[part] = random.normal(size=(n, 63))
    return place


def sensors(random):
    """Eight independent columns, and copies with noise of the first (before it) and of the last (two, after it)."""
    x = random.normal(3, 2, (N, 8))
    copies = x[:, [0, 7, 7]] + 0.01 * random.normal(size=(N, 3))
    names = ["Time", "Meth", "Eth", "copy", *"abcdefgh", "h2", "h3"]
    return pd.DataFrame(np.hstack([random.normal(size=(N, 3)), copies[:, :1], x, copies[:, 1:]]), columns=names)


def collisions(random, extra):
    """A class, 21 features, two that take few values, and in the test file a column more."""
    table = {"# label": np.arange(N) % 3 % 2} | {f"f{i}": random.normal(2, 3, N) for i in range(10)}
    table |= {"few": np.arange(N) % 2, "rare": np.where(np.arange(N) % 100 < 2, -9.0, random.normal(size=N))}
    table |= {f"f{i}": random.normal(2, 3, N) for i in range(10, 21)}
    return pd.DataFrame(table | {"mass": 1000.0} if extra else table)


def rows(name, path):
    data = datasets[name].build(path=str(path))
    return [split.take(split.size, 0).x for split in (data.train, data.valid, data.test)]


def tenths(n):
    test = n // 10
    valid = (n - test) // 10
    return [n - test - valid, valid, test]


def assert_standard(x, correction, dims):
    std, mean = torch.std_mean(x.double(), 0, correction=correction)
    torch.testing.assert_close(mean, torch.zeros(dims).double(), rtol=0, atol=1e-5)
    torch.testing.assert_close(std, torch.ones(dims).double(), rtol=0, atol=1e-5)


def assert_proportional(x, column):
    assert abs(np.corrcoef(x, column)[0, 1]) == pytest.approx(1, abs=1e-6)


def test_power_is_shuffled_and_gets_the_published_noise(folder):
    parts = rows("power", folder)
    assert [len(part) for part in parts] == tenths(N)
    assert_standard(torch.cat(parts[:2]), 0, 6)
    x = torch.cat(parts).double().numpy()
    random, order = np.random.RandomState(42), np.arange(N)
    random.shuffle(order)
    assert_proportional(x[:, 5], order)
    drawn = random.rand(5 * N)
    assert_proportional(x[:, 1], drawn[:N])  # voltage
    assert_proportional(x[:, 0], drawn[N : 2 * N])  # active power
    for meter in range(3):
        assert_proportional(x[:, 2 + meter], drawn[2 * N :].reshape(N, 3)[:, meter])


def test_the_noise_of_power_has_the_width_of_a_step(folder):
    """With two rows of known distance the scale of each column is known, and so is that of its noise."""
    power = np.zeros((N, 8))
    power[::2] = 1.0
    np.save(folder / "power" / "data.npy", power)
    x = torch.cat(rows("power", folder)).double()
    high = x[:, 5] > 0
    for column, width in ((0, 0.001), (1, 0.01)):
        a, b = x[high, column], x[~high, column]
        step = a.mean() - b.mean()
        for side in (a, b):
            assert (side.max() - side.min()) / step == pytest.approx(width, rel=0.02)


def test_gas_drops_the_first_of_correlated_sensors_and_standardizes_all_rows(folder):
    parts = rows("gas", folder)
    assert [len(part) for part in parts] == tenths(N)
    assert_standard(torch.cat(parts), 1, 8)
    table = pd.read_parquet(folder / "gas" / "ethylene_CO.parquet")
    for column, name in zip(torch.cat(parts).double().numpy().T, ["a", *"bcdefg", "h3"], strict=True):
        assert_proportional(column, table[name])


def test_hepmass_keeps_one_class_and_drops_discrete_features(folder):
    train, valid, test = rows("hepmass", folder)
    signal = int((np.arange(N) % 3 == 1).sum())
    assert (len(train) + len(valid), len(valid), len(test)) == (signal, signal // 10, signal)
    assert_standard(torch.cat([train, valid]), 1, 21)
    raw = [pd.read_csv(folder / "hepmass" / f"1000_{part}.csv") for part in ("train", "test")]
    known, new = (table[table["# label"] == 1] for table in raw)
    for i in range(21):
        slope, start = np.polyfit(known[f"f{i}"], torch.cat([train, valid])[:, i].double().numpy(), 1)
        np.testing.assert_allclose(test[:, i], slope * new[f"f{i}"] + start, atol=1e-5)


def test_miniboone_is_scaled_by_its_training_and_validation_rows(folder):
    parts = rows("miniboone", folder)
    assert [len(part) for part in parts] == tenths(N)
    assert_standard(torch.cat(parts[:2]), 0, 43)
    raw = np.load(folder / "miniboone" / "data.npy")
    for i in range(43):
        assert_proportional(torch.cat(parts)[:, i].double().numpy(), raw[:, i])


def test_bsds300_is_as_stored(folder):
    with h5py.File(folder / "BSDS300" / "BSDS300.hdf5") as file:
        for part, name in zip(rows("bsds300", folder), ("train", "validation", "test"), strict=True):
            np.testing.assert_array_equal(part, file[name][:].astype(np.float32))


def test_the_sizes_of_the_splits_are_the_published_ones():
    for n, sizes in ((2_049_280, (1_659_917, 184_435, 204_928)), (36_488, (29_556, 3_284, 3_648))):
        assert tuple(map(len, tables._split(np.zeros((n, 1))))) == sizes
    assert tuple(map(len, tables._split(np.zeros((1_052_065, 1))))) == (852_174, 94_685, 105_206)
    assert tuple(map(len, tables._cut(np.zeros((350_136, 1))))) == (315_123, 35_013)


@pytest.fixture
def archive(folder, tmp_path, monkeypatch):
    path = tmp_path / "data.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        file.add(folder, "data")
    monkeypatch.setattr(tables, "MD5", hashlib.md5(path.read_bytes()).hexdigest())
    return path


@pytest.mark.parametrize("name", tables.DIMS)
def test_the_archive_has_the_same_rows_as_the_folder(name, folder, archive):
    for place in (folder, folder.parent):
        for ours, theirs in zip(rows(name, archive), rows(name, place), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    data = datasets[name].build(path=str(archive))
    assert data.event.dims == tables.DIMS[name]
    assert data.provenance["original"]
    assert not datasets[name].build(path=str(folder)).provenance["original"]
    check_dataset(name, {"path": str(archive)})


def test_another_archive_is_refused_by_its_checksum(archive):
    archive.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(ConfigError, match=r"its md5 is \w{32}, not \w{32}$"):
        datasets["gas"].build(path=str(archive))


def test_a_pickle_in_a_folder_is_not_opened(folder):
    class Touch:
        def __reduce__(self):
            return (open, (str(folder / "opened"), "w"))

    (folder / "gas" / "ethylene_CO.pickle").write_bytes(pickle.dumps(Touch()))
    datasets["gas"].build(path=str(folder))
    (folder / "gas" / "ethylene_CO.parquet").unlink()
    with pytest.raises(ConfigError, match=r"there is no gas/ethylene_CO\.parquet or gas/ethylene_CO\.csv"):
        datasets["gas"].build(path=str(folder))
    assert not (folder / "opened").exists()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("miniboone", lambda place: np.save(place / "miniboone/data.npy", np.zeros((N, 42))), "rows of 43"),
        ("miniboone", lambda place: np.save(place / "miniboone/data.npy", np.ones((N, 43))), "finite rows"),
        ("miniboone", lambda place: np.save(place / "miniboone/data.npy", np.array(["a"])), "does not hold miniboone"),
        ("miniboone", lambda place: (place / "miniboone/data.npy").unlink(), "does not exist"),
        ("power", lambda place: np.save(place / "power/data.npy", np.zeros((N, 3))), "does not hold power"),
        ("power", lambda place: np.save(place / "power/data.npy", np.random.rand(5, 8)), r"\(0, 6\)"),  # noqa: NPY002
        ("gas", lambda place: (place / "gas/ethylene_CO.parquet").write_bytes(b"PAR1"), "does not hold gas"),
        ("hepmass", lambda place: (place / "hepmass/1000_test.csv").write_text("a\n1\n"), "hepmass"),
        ("hepmass", lambda place: (place / "hepmass/1000_train.csv").write_text(""), "does not hold hepmass"),
        ("bsds300", lambda place: (place / "BSDS300/BSDS300.hdf5").write_text("no"), "does not hold bsds300"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_other_files_are_refused_in_one_line(name, change, message, folder):
    change(folder)
    with pytest.raises(ConfigError, match=message) as error:
        datasets[name].build(path=str(folder))
    assert "\n" not in str(error.value)


def test_a_missing_h5py_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ConfigError, match=r"pip install 'genbench\[tables\]'"):
        datasets["bsds300"].build(path=str(folder))


def test_parquet_with_deep_notes_of_pandas_is_refused_in_one_line(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "gas").mkdir()
    table = arrow.table({"Meth": [1.0]}).replace_schema_metadata({b"pandas": b"[" * 100_000})
    parquet.write_table(table, tmp_path / "gas/ethylene_CO.parquet")
    with pytest.raises(ConfigError, match=r"does not hold gas as the archive does: [^\n]*$"):
        datasets["gas"].build(path=str(tmp_path))
