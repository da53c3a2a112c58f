"""Conformance of data sets: purity, shapes, units, distinct samples, disjoint splits."""

import math
from collections.abc import Callable, Mapping
from itertools import combinations

import torch
from torch import Tensor

from genbench.core import Batch, Data, Split
from genbench.errors import Unsupported
from genbench.metrics.sampling import Sampling
from genbench.registry import Entry, datasets, metrics
from genbench.seeds import generator
from genbench.settings import Settings, bind, call
from genbench.space import Space, dequantize
from genbench.testing.assertions import (
    assert_documented,
    assert_equal,
    assert_finite,
    no_global_randomness,
    reason_of,
)
from genbench.training.plan import Plan

SIZE = 16
READ_WHOLE = 5000
"""Finite splits of at most this many samples are checked whole."""
COMPARED = 50_000
"""Maximum number of samples of a finite split that are compared with the other splits."""
COUNTED = 1000
"""Number of samples in which classes are counted."""
MAX_SHARED = 0.01
"""Largest share of a split that may also be in another one: real collections contain duplicates."""


def check_dataset(dataset: str | Callable[..., Data], settings: Settings | None = None) -> list[str]:
    """Check a data set, and return one line: what was checked.

    Args:
        dataset: a registered name, or a builder.

    Raises:
        AssertionError: with a sentence that says which requirement is violated.
        ConfigError: if its files do not exist.

    >>> check_dataset("moons")
    ['data set moons: meanings, units, defaults, splits']
    """
    entry = datasets[dataset] if isinstance(dataset, str) else Entry(dataset.__name__, dataset)
    assert_documented(entry.build, entry.name)
    with no_global_randomness(f"building {entry.name}"):
        data = call(entry.build, settings=bind(entry.build, settings or {}, entry.name))
    assert isinstance(data, Data), f"{entry.name} must build Data, not {type(data)}"
    _units(data)
    _defaults(data, entry.name)
    assert data.train.size != 0, "train must have samples"
    splits = {"train": data.train, "valid": data.valid, "test": data.test}
    splits = {name: split for name, split in splits.items() if split.size != 0}
    for name, split in splits.items():
        _batch(split, data, name)
        _take(split, data, name)
        _frequencies(split, data.event.classes, name)
    _disjoint(splits, data.space)
    return [f"data set {entry.name}: meanings, units, defaults, splits"]


def _units(data: Data) -> None:
    assert data.event.bin == data.space.bin, (
        f"event.bin is {data.event.bin}, but the bin of the space is {data.space.bin}"
    )
    assert data.source.shape == data.event.shape, f"the source has the shape {data.source.shape}, not the event's"
    x = data.test.take(SIZE, 0).x
    raw = data.space.decode(x)
    assert_equal(data.space.encode(raw), x, "encoding what was decoded must return the samples", 1e-6)
    # Float32 may round a point within a hundred-thousandth of a bin's edge to the wrong side.
    inside = x + 0.9999 * (dequantize(x, data.space.bin, generator(0, "dequantise")) - x)
    assert_equal(data.space.decode(inside), raw, "a dequantized sample must decode to the level it came from", 1e-6)
    noise = data.source.sample(SIZE, generator(0, "source"))
    assert noise.shape == (SIZE, *data.event.shape), f"the source draws the shape {tuple(noise.shape[1:])}"
    assert_finite(noise, "the source")
    try:
        _log_density(data.source.log_prob(noise), "the source")
    except Unsupported as reason:
        reason_of(reason, "the density of the source")
    if data.truth.log_prob is not None:
        _log_density(data.truth.log_prob(x), "the data")
    if data.truth.modes is not None:
        assert data.truth.modes.shape[1:] == data.event.shape, "modes must have the shape of the event"


def _log_density(log_prob: Tensor, name: str) -> None:
    assert log_prob.shape == (SIZE,), f"{name} must have one log-density per sample"
    assert_finite(log_prob, f"the log-density of {name} at its own samples")


def _defaults(data: Data, name: str) -> None:
    """Check the default settings of the data set: a wrong one would fail every run."""
    bind(Plan, data.plan, f"{name}.plan")
    bind(Sampling, data.evaluation, f"{name}.evaluation")
    for metric in data.metrics:
        assert metric in metrics, f"{name} has the default metric '{metric}', which does not exist"


def _batch(split: Split, data: Data, name: str) -> None:
    size = SIZE if split.size is None else min(SIZE, split.size)
    with no_global_randomness(f"{name}.batch"):
        first, later, other = split.batch(0, size, 0), split.batch(3, size, 0), split.batch(0, size, 1)
    for batch in (first, later, other):
        _shapes(batch, size, data, f"{name}.batch")
    again = split.batch(0, size, 0)
    assert_equal(again.x, first.x, f"{name}.batch must depend on step, size and seed only")
    assert_equal(again.label, first.label, f"the labels of {name}.batch must depend on step, size and seed only")
    if split.size is None or split.size > 4 * size:
        assert not torch.equal(later.x, first.x), f"two steps must see different batches of {name}"
        assert not torch.equal(other.x, first.x), f"two seeds must see different batches of {name}"
    if split.size is not None and split.size <= READ_WHOLE:
        steps = split.size // size
        visited = _distinct(torch.cat([split.batch(step, size, 0).x for step in range(steps)]))
        least = _distinct(split.take(split.size, 0).x) - (split.size - steps * size)
        assert visited >= least, f"an epoch must visit every sample of {name} once, it visits {visited}"


def _take(split: Split, data: Data, name: str) -> None:
    n = SIZE if split.size is None else min(SIZE, split.size)
    with no_global_randomness(f"{name}.take"):
        first = split.take(n, 0)
    _shapes(first, n, data, f"{name}.take")
    assert_equal(split.take(n, 0).x, first.x, f"{name}.take must depend on n and seed only")
    if split.size is None or split.size > 2 * n:
        assert not torch.equal(split.take(n, 1).x, first.x), f"two seeds must take different samples of {name}"
    if split.size is None:
        assert _distinct(first.x) == n, f"{name}.take must return distinct samples"
        return
    if split.size <= READ_WHOLE:
        one, other = split.take(split.size, 0).x, split.take(split.size, 1).x
        sentence = f"{name}.take of all samples must return each once, whatever the seed"
        assert_equal(_counted(other), _counted(one), sentence)
    try:
        split.take(split.size + 1, 0)
    except Unsupported as reason:
        reason_of(reason, f"{name}.take")
    else:
        raise AssertionError(f"{name} has {split.size} samples; take({split.size + 1}) must raise Unsupported")


def _frequencies(split: Split, classes: int, name: str) -> None:
    if classes:
        n = COUNTED if split.size is None else min(COUNTED, split.size)
        counted, stated = split.take(n, 0).label.bincount(minlength=classes), split.frequencies(classes)
        error = float((stated / stated.sum() - counted / n).abs().max())
        # 5 standard errors of a share of 1/2.
        assert error <= 2.5 / math.sqrt(n), f"{name}.frequencies must agree with the labels of {name}"


def _disjoint(splits: Mapping[str, Split], space: Space) -> None:
    seen = {name: _hashes(split, space) for name, split in splits.items()}
    for one, other in combinations(seen, 2):
        shared, n = sum(map({*seen[one]}.__contains__, seen[other])), len(seen[other])
        assert shared <= MAX_SHARED * n, f"{shared} of {n} samples of {other} lie in {one}"


def _hashes(split: Split, space: Space) -> list[int]:
    """Return the hash of each sample; of large splits, of some samples."""
    n = READ_WHOLE if split.size is None else min(COMPARED, split.size)
    raw = split.raw(n, 0)
    parts = torch.arange(n).split(256)
    batches = split.take(n, 0).x.split(256) if raw is None else (space.encode(raw[part]) for part in parts)
    return [hash(row.numpy().tobytes()) for batch in batches for row in batch]


def _shapes(batch: Batch, n: int, data: Data, what: str) -> None:
    assert batch.x.shape == (n, *data.event.shape), f"{what} has the shape {tuple(batch.x.shape)} for {n} samples"
    assert batch.x.dtype == torch.float32, f"{what} must be float32 in model space, it is {batch.x.dtype}"
    assert_finite(batch.x, what)
    assert batch.label.shape == (n,), f"{what} must have one label per sample, its shape is {tuple(batch.label.shape)}"
    assert batch.label.dtype == torch.int64, f"the labels of {what} must be int64, they are {batch.label.dtype}"
    top = max(data.event.classes, 1)
    inside = bool(((batch.label >= 0) & (batch.label < top)).all())
    assert inside, f"the labels of {what} must lie in 0..{top - 1}"


def _distinct(x: Tensor) -> int:
    return len(x.unique(dim=0))


def _counted(x: Tensor) -> Tensor:
    """Return the distinct samples in order, each with its count."""
    rows, counts = x.flatten(1).unique(dim=0, return_counts=True)
    return torch.cat([rows, counts[:, None].to(rows)], 1)
