"""Points: vectors in a file of the user, split and standardized."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from genbench.core import Data, Event, Normal
from genbench.data import point_files
from genbench.data.point_files import Points
from genbench.data.remarks import listed, remarks
from genbench.data.rows import stratified
from genbench.data.splits import Arrays, Finite
from genbench.data.vectors import DISTANCES, EVALUATION, OF_THE_MODEL, PLAN
from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.settings import Fraction, OnDisk
from genbench.space import Standardized
from genbench.storage import content_hash


@datasets.register("points", version=2, headline="w2")
def points(
    *,
    path: Annotated[str, OnDisk()],
    valid: Fraction = 0.1,
    test: Fraction = 0.2,
    standardize: bool = True,
) -> Data:
    """Vectors of your own in a file, one per row, always split in the same way, stratified by class.

    Models see coordinates with mean 0 and standard deviation 1 over the training rows; metrics are in the units of the
    file.

    Args:
        path: .npy, .npz (array samples, or the only one), .csv or .parquet; `label` may name the class of each row.
        valid: share of the rows held out for validation.
        test: share of the rows held out for testing.
        standardize: whether models see standardized coordinates.

    Raises:
        ConfigError: if the file holds no such rows.
    """
    file = Path(path).expanduser()
    found = point_files.read(file)
    n, dims = found.values.shape
    counts = round(valid * n), round(test * n)
    if n - sum(counts) < 2 or not counts[1]:
        raise ConfigError(f"{path}: {n} rows are too few for valid={valid} and test={test}")
    rows: dict[str, Tensor] = dict(
        zip(("train", "valid", "test"), stratified(found.label, counts, seed=0), strict=True)
    )
    train = found.values[rows["train"]].double()
    mean, std = train.mean(0), train.std(0, correction=0)
    constant = [found.column(int(index)) for index in (std == 0).nonzero()]
    if standardize and constant:
        raise ConfigError(f"{path}: {constant[0]} is constant in the training rows: remove it")
    if not standardize:
        mean, std = torch.zeros(dims), torch.ones(dims)
    space = Standardized(tuple(mean.tolist()), tuple(std.tolist()))
    splits = {
        name: Finite(lambda part=part: Arrays(found.values, found.label, part), len(part), space)
        for name, part in rows.items()
    }
    classes = dict(zip(found.classes, found.label.bincount().tolist(), strict=True)) if found.classes else {}
    said = remarks(_described(file, found), classes, splits)
    said += [f"{each} is constant in the training rows" for each in constant] + _repeated(found, rows)
    return Data(
        event=Event((dims,), len(classes) if len(classes) > 1 else 0, space.bin),
        space=space,
        source=Normal((dims,)),
        train=splits["train"],
        valid=splits["valid"],
        test=splits["test"],
        plan=PLAN,
        evaluation=EVALUATION | {"n": min(EVALUATION["n"], counts[1]), "batch": min(EVALUATION["batch"], counts[1])},
        metrics=(*DISTANCES, *OF_THE_MODEL),
        provenance={"source": file.resolve().name, "sha256": content_hash.remembered(file), "original": False},
        remarks=tuple(f"{file.name}: {line}" for line in said),
    )


def _described(file: Path, found: Points) -> str:
    """Return 'N rows, D coordinates (a, b)', and whether the first line of a table was read as a row."""
    n, dims = found.values.shape
    headless = " without a header" if file.suffix == ".csv" and not found.names else ""
    names = f" ({listed(found.names)})" if found.names else ""
    return f"{n:,} rows{headless}, {dims} coordinate{'s' if dims > 1 else ''}{names}"


def _repeated(found: Points, rows: Mapping[str, Tensor]) -> list[str]:
    """Return a line if test rows are also training rows."""
    train = {row.tobytes() for row in found.values[rows["train"]].numpy()}
    repeated = sum(row.tobytes() in train for row in found.values[rows["test"]].numpy())
    return [f"{repeated:,} test rows are also training rows: values favor models that memorize"] if repeated else []
