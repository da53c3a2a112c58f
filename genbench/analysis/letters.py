"""Letters: two items share one exactly if they were not told apart (compact letter display)."""

import string
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def letters(order: Sequence[T], apart: Iterable[tuple[T, T]]) -> dict[T, str]:
    """Return the letters of items by insertion and absorption (Piepho, 2004).

    Args:
        order: the items, in the order in which letters are given.
        apart: the pairs that were told apart.

    >>> letters("xyz", [("x", "z")])
    {'x': 'a', 'y': 'ab', 'z': 'b'}
    """
    groups = [frozenset(order)]
    for a, b in apart:
        split = [part for group in groups for part in ((group - {a}, group - {b}) if {a, b} <= group else (group,))]
        groups = [group for group in dict.fromkeys(split) if not any(group < other for other in split)]
    groups.sort(key=lambda group: sorted(map(order.index, group)))
    short = len(groups) <= len(string.ascii_letters)
    names = string.ascii_letters if short else [f"({number})" for number in range(len(groups))]
    return {item: "".join(name for name, group in zip(names, groups, strict=False) if item in group) for item in order}
