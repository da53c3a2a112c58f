"""Conformance of data sets: the built-in data sets pass, and each broken one fails with the sentence of its fault."""

from dataclasses import replace

import pytest
import torch

from genbench.core import Batch, Data, Event, Normal
from genbench.data.splits import Arrays, Finite
from genbench.errors import Unsupported
from genbench.registry import datasets
from genbench.space import Real
from genbench.testing import check_dataset
from genbench.testing.toys import Blobs, toy_tasks

NEEDS_FILES = {"cifar10", "mnist", "folder", "points"}


@pytest.mark.parametrize("name", sorted(set(datasets) - NEEDS_FILES))
def test_every_dataset_conforms(name):
    assert check_dataset(name)


class Faulty(Blobs):
    """`Blobs` with a fault."""

    fault = ""
    table = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))

    def batch(self, step, size, seed):
        batch = super().batch(0 if self.fault == "repeats" else step, size, seed)
        if self.fault == "is impure":
            return batch._replace(x=batch.x + torch.rand(1))
        if self.fault == "labels":
            return batch._replace(label=batch.label + 7)
        if self.size is not None:
            return Batch(self.table[torch.arange(step * size, (step + 1) * size) % 30], batch.label)
        return batch._replace(x=batch.x.double()) if self.fault == "dtype" else batch

    def take(self, n, seed):
        if self.size is None:
            return super().take(n, seed)
        if n > self.size and self.fault != "takes too many":
            raise Unsupported("there are 40")
        order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
        if self.fault == "takes twice":
            order = order[torch.arange(40) // 2]
        return Batch(self.table[order.repeat(2)[:n]], torch.zeros(n, dtype=torch.int64))


@pytest.mark.parametrize(
    ("fault", "finite", "sentence"),
    [
        ("repeats", False, "two steps must see different batches of train"),
        ("is impure", False, "must not draw from the global random state"),
        ("labels", False, r"must lie in 0\.\.0"),
        ("dtype", False, "must be float32"),
        ("", True, "an epoch must visit every sample of train once"),  # batches see 30 of the 40
        ("takes twice", True, "must return each once, whatever the seed"),
        ("takes too many", True, r"take\(41\) must raise Unsupported"),
    ],
)
def test_a_broken_data_set_fails_with_the_violated_requirement(fault, finite, sentence):
    def broken() -> Data:
        """Violate one requirement."""
        split = type("Now", (Faulty,), {"fault": fault})
        if fault in ("takes twice", "takes too many"):
            split.batch = lambda self, step, size, seed: Batch(
                self.table[torch.arange(step * size, (step + 1) * size).add(seed) % 40],
                torch.zeros(size, dtype=torch.int64),
            )
        train, valid, test = (split(part, (2,), 0, 40 if finite else None) for part in ("train", "valid", "test"))
        return Data(Event((2,)), Real(), Normal((2,)), train, valid, test)

    with pytest.raises(AssertionError, match=sentence):
        check_dataset(broken)


def finite(numbers):
    """Return a split of vectors that hold their number twice."""
    raw = torch.tensor([*numbers]).float()[:, None].repeat(1, 2)
    return Finite(lambda: Arrays(raw, torch.zeros(len(raw)).long(), torch.arange(len(raw))), len(raw), Real())


class Fixed(Blobs):
    """`Blobs` that are always taken alike."""

    def take(self, n, seed):
        return super().take(n, 0)


class Unequal(Blobs):
    """`Blobs` whose first class is said to be more frequent."""

    def frequencies(self, classes):
        return torch.tensor([2.0, 1.0, 1.0]).double()


FINITE = {"train": finite(range(15_050)), "valid": finite(range(-2100, 0)), "test": finite(range(-4200, -2100))}

SPLITS = {
    "test in train": ({"test": toy_tasks()["vectors"].train}, "5000 of 5000 samples of test lie in train"),
    "valid in train": ({"valid": toy_tasks()["vectors"].train}, "5000 of 5000 samples of valid lie in train"),
    "test in valid": ({"valid": toy_tasks()["vectors"].test}, "5000 of 5000 samples of test lie in valid"),
    "some of test in train": (
        FINITE | {"test": finite([*range(-4200, -2250), *range(150)])},
        "150 of 2100 samples of test lie in train",
    ),
    "no train": (FINITE | {"train": finite([])}, "train must have samples"),
    "fixed": ({"valid": Fixed("valid", (2,), 0)}, "two seeds must take different samples of valid"),
    "frequencies": ({"test": Unequal("test", (2,), 3)}, "test.frequencies must agree with the labels of test"),
}


@pytest.mark.parametrize("name", SPLITS)
def test_splits_that_share_samples_or_are_not_what_they_say_fail(name):
    def broken() -> Data:
        """Have splits that are wrong together."""
        return replace(toy_tasks()["labeled vectors" if name == "frequencies" else "vectors"], **SPLITS[name][0])

    with pytest.raises(AssertionError, match=SPLITS[name][1]):
        check_dataset(broken)


def test_large_finite_splits_that_share_nothing_conform():
    def sound() -> Data:
        """Have other numbers in each split."""
        return replace(toy_tasks()["vectors"], **FINITE)

    assert check_dataset(sound)
