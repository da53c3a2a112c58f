"""Remarks: what is said about data of the user."""

import pytest

from genbench.data.remarks import remarks
from genbench.data.splits import Finite
from genbench.space import Real


def splits(*sizes):
    return {name: Finite(list, n, Real()) for name, n in zip(("train", "valid", "test"), sizes, strict=True)}


@pytest.mark.parametrize(
    ("classes", "sizes", "said"),
    [
        ({}, (4800, 600, 600), ["x, no classes; 4,800 train, 600 validation, 600 test"]),
        ({"a": 10, "b": 120}, (20, 10, 100), ["x, 2 classes (a, b); 20 train, 10 validation, 100 test"]),
        (
            {"a": 9, "b": 100},
            (10, 0, 99),
            [
                "x, 2 classes (a, b); 10 train, 0 validation, 99 test",
                "99 test samples are few: differences between models will hardly show",
                "classes with fewer than 10 samples: a (9)",
            ],
        ),
    ],
)
def test_what_was_read_comes_first_and_then_each_reason_of_doubt(classes, sizes, said):
    assert remarks("x", classes, splits(*sizes)) == said
