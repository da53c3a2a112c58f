"""Tables of the literature on density estimation, prepared as the code of MAF does (Papamakarios et al., 2017).

The units are those of the published log-likelihoods: standardized, except for patches of images. Nothing is downloaded:
`path` is the archive, or the folder that it unpacks to.
"""

import hashlib
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import numpy as np
import torch

from genbench.core import Data, Event, Normal
from genbench.data.splits import Arrays, Finite
from genbench.data.vectors import DISTANCES, EVALUATION, OF_THE_MODEL, PLAN
from genbench.errors import ConfigError, first_line
from genbench.registry import datasets
from genbench.settings import OnDisk
from genbench.space import Real
from genbench.storage import arrays, cache, content_hash, memory, tensors

if TYPE_CHECKING:
    import pandas as pd

MD5 = "9b9c9b0375315ad270eba4ce80c093ab"
"""Checksum of data.tar.gz in Zenodo's record 1161203, as the record states it."""

DIMS = {"power": 6, "gas": 8, "hepmass": 21, "miniboone": 43, "bsds300": 63}
"""Coordinates of each table, as prepared."""

SPLITS = ("train", "valid", "test")


class Folder(NamedTuple):
    """The unpacked archive, and whether its checksum is the published one."""

    path: Path
    verified: bool


Parts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rows for training, validation and testing."""

Archive = Annotated[str, OnDisk(), "data.tar.gz of Zenodo's record 1161203, or the folder that it unpacks to"]


@datasets.register("power", version=1, headline="nll")
def power(*, path: Archive) -> Data:
    """POWER: 6 measurements of the electricity of a household, with uniform noise that fills their steps.

    Reference: Papamakarios et al., 2017.
    """
    return _table("power", path, ("power/data.npy",), _power)


@datasets.register("gas", version=1, headline="nll")
def gas(*, path: Archive) -> Data:
    """GAS: 8 sensors exposed to a mixture of gases.

    The archive holds a pickle, which is opened only where the archive has the published checksum. In a folder, the same
    table is read from gas/ethylene_CO.parquet or .csv.

    Reference: Papamakarios et al., 2017.
    """
    return _table("gas", path, ("gas/ethylene_CO.pickle",), _gas)


@datasets.register("hepmass", version=1, headline="nll")
def hepmass(*, path: Archive) -> Data:
    """HEPMASS: 21 features of particle collisions that produce a particle of mass 1000.

    Reference: Papamakarios et al., 2017.
    """
    return _table("hepmass", path, ("hepmass/1000_train.csv", "hepmass/1000_test.csv"), _hepmass)


@datasets.register("miniboone", version=1, headline="nll")
def miniboone(*, path: Archive) -> Data:
    """MINIBOONE: 43 features of neutrino events.

    Reference: Papamakarios et al., 2017.
    """
    return _table("miniboone", path, ("miniboone/data.npy",), _miniboone)


@datasets.register("bsds300", version=1, headline="nll")
def bsds300(*, path: Archive) -> Data:
    """BSDS300: 8 x 8 patches of natural images without their mean and last pixel, in 63 dimensions (package h5py).

    Reference: Papamakarios et al., 2017.
    """
    return _table("bsds300", path, ("BSDS300/BSDS300.hdf5",), _bsds300)


def _power(folder: Folder) -> Parts:
    random = np.random.RandomState(42)
    rows = arrays.load(folder.path / "power" / "data.npy")
    random.shuffle(rows)
    rows = np.delete(rows, [1, 3], 1)
    # Noise in the order in which the reference draws it, which is not that of the columns.
    voltage, active, meters = (scale * random.rand(len(rows), n) for scale, n in ((0.01, 1), (0.001, 1), (1.0, 3)))
    return _standardized(_split(rows + np.hstack([active, voltage, meters, np.zeros_like(active)])))


def _gas(folder: Folder) -> Parts:
    table = _read(folder, "gas/ethylene_CO.pickle", "gas/ethylene_CO.parquet", "gas/ethylene_CO.csv")
    table = table.drop(columns=["Meth", "Eth", "Time"])
    while ((alike := (table.corr() > 0.98).sum(axis=1)) > 1).any():
        table = table.drop(columns=table.columns[int((alike > 1).argmax())])
    return _split(((table - table.mean()) / table.std()).to_numpy())


def _hepmass(folder: Folder) -> Parts:
    train, test = (_read(folder, f"hepmass/1000_{part}.csv") for part in ("train", "test"))
    train, test = (part[part.iloc[:, 0] == 1].iloc[:, 1:] for part in (train, test))
    test = test.iloc[:, :-1]  # has a column more
    mean, std = train.mean(), train.std()
    train, test = ((part - mean).div(std)[train.columns].to_numpy() for part in (train, test))
    kept = [
        np.unique(column, return_counts=True)[1][0] <= 5 for column in train.T
    ]  # how often the smallest value occurs
    train, valid = _cut(train[:, kept])
    return train, valid, test[:, kept]


def _miniboone(folder: Folder) -> Parts:
    return _standardized(_split(arrays.load(folder.path / "miniboone" / "data.npy")))


def _bsds300(folder: Folder) -> Parts:
    try:
        import h5py
    except ImportError as error:
        raise ConfigError("data set bsds300 needs the package h5py: pip install 'genbench[tables]'") from error
    with h5py.File(folder.path / "BSDS300" / "BSDS300.hdf5") as file:
        parts: Any = [file[name] for name in ("train", "validation", "test")]
        memory.require(sum(part.nbytes for part in parts), file.filename)
        train, valid, test = (part[:] for part in parts)
    return train, valid, test


def _cut(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut off the last tenth of the rows, rounded down."""
    start = len(rows) - int(0.1 * len(rows))
    return rows[:start], rows[start:]


def _split(rows: np.ndarray) -> Parts:
    rest, test = _cut(rows)
    return *_cut(rest), test


def _standardized(parts: Parts) -> Parts:
    """Scale by mean and standard deviation of the training and validation rows."""
    known = np.vstack(parts[:2])
    mean, std = known.mean(0), known.std(0)
    train, valid, test = ((part - mean) / std for part in parts)
    return train, valid, test


def _read(folder: Folder, *names: str) -> "pd.DataFrame":
    """Read the first of these files that is there, a pickle out of the verified archive only."""
    import pandas as pd

    names = names if folder.verified else tuple(name for name in names if not name.endswith(".pickle"))
    path = next((folder.path / name for name in names if (folder.path / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"there is no {' or '.join(names)}")
    memory.require(path.stat().st_size, str(path))
    if path.suffix == ".csv":
        return pd.read_csv(path, index_col=False)
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_pickle(path)  # type: ignore[return-value]


@contextmanager
def _opened(path: Path, members: tuple[str, ...]) -> Iterator[Folder]:
    """Yield the folder, or one with these members of the archive.

    Raises:
        ConfigError: if the archive is not the published one.
    """
    if path.is_dir():
        yield Folder(path / "data" if (path / "data").is_dir() else path, False)
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
    if digest != MD5:
        raise ConfigError(f"{path} is not data.tar.gz of Zenodo's record 1161203: its md5 is {digest}, not {MD5}")
    with TemporaryDirectory(prefix="genbench-") as temporary, tarfile.open(path) as archive:
        for member in members:
            place = Path(temporary) / member
            place.parent.mkdir(exist_ok=True)
            with cast(IO[bytes], archive.extractfile(f"data/{member}")) as source, place.open("wb") as target:
                shutil.copyfileobj(source, target)
        yield Folder(Path(temporary), True)


def _table(name: str, path: str, members: tuple[str, ...], prepare: Callable[[Folder], Parts]) -> Data:
    place, dims = Path(path).expanduser(), DIMS[name]
    digest = content_hash.remembered(place)

    def make() -> dict[str, torch.Tensor]:
        with _opened(place, members) as folder:
            try:
                parts = [torch.from_numpy(np.asarray(part, np.float32)) for part in prepare(folder)]
            except ConfigError:
                raise
            except Exception as error:  # of NumPy, pandas, Arrow and HDF5, and of whatever a damaged file leads to
                raise ConfigError(f"{place} does not hold {name} as the archive does: {first_line(error)}") from error
        rows: dict[str, torch.Tensor] = dict(zip(SPLITS, parts, strict=True))
        for part, x in rows.items():
            if x.ndim != 2 or x.shape[1] != dims or not len(x) or not bool(x.isfinite().all()):
                shape = tuple(x.shape)
                raise ConfigError(f"{place}: {name} has {shape} {part} rows, where finite rows of {dims} are expected")
        return rows

    rows = tensors.cached("tables", f"{name}-{cache.key(content=digest, version=1)}.safetensors", make)

    def split(part: str) -> Finite:
        n = len(rows[part])
        return Finite(lambda: Arrays(rows[part], torch.zeros(n, dtype=torch.long), torch.arange(n)), n, Real())

    n = min(EVALUATION["n"], len(rows["test"]), len(rows["valid"]))
    return Data(
        event=Event((dims,)),
        space=Real(),
        source=Normal((dims,)),
        train=split("train"),
        valid=split("valid"),
        test=split("test"),
        plan=PLAN,
        evaluation=EVALUATION | {"n": n, "batch": n},
        metrics=(*DISTANCES, *OF_THE_MODEL),
        provenance={"source": f"{name}, Zenodo 1161203", "sha256": digest, "original": place.is_file()},
    )
