"""Remarks on data of the user: what was read, and what makes numbers on it less certain than they look."""

from collections.abc import Iterable, Mapping

from genbench.core import Split

FEW_TEST, FEW_IN_CLASS = 100, 10
"""Numbers of test samples, and of samples of a class, below which the user is warned."""

LISTED = 6
"""Largest number of names that are listed."""


def remarks(what: str, classes: Mapping[str, int], splits: Mapping[str, Split]) -> list[str]:
    """Return 'WHAT, no classes; 480 train, 60 validation, 60 test', and a line for each reason of doubt.

    Args:
        what: such as '600 rows, 3 coordinates (a, b, c)'.
        classes: {name: number of its samples}; empty without classes.
    """
    labels = f"{len(classes)} classes ({listed(classes)})" if classes else "no classes"
    sizes = {
        called: splits[name].size or 0
        for name, called in (("train", "train"), ("valid", "validation"), ("test", "test"))
    }
    lines = [f"{what}, {labels}; {', '.join(f'{size:,} {called}' for called, size in sizes.items())}"]
    if sizes["test"] < FEW_TEST:
        lines.append(f"{sizes['test']} test samples are few: differences between models will hardly show")
    small = [f"{name} ({size})" for name, size in classes.items() if size < FEW_IN_CLASS]
    if small:
        lines.append(f"classes with fewer than {FEW_IN_CLASS} samples: {listed(small)}")
    return lines


def listed(names: Iterable[str]) -> str:
    """Return the first names, separated by commas.

    >>> listed("abcdefgh"), listed("ab")
    ('a, b, c, d, e, f, ...', 'a, b')
    """
    names = list(names)
    return ", ".join([*names[:LISTED], *(["..."] if len(names) > LISTED else [])])
