"""The palette: one model, one look, in every figure.

Models of one name share a colour; their variants differ by dash and by marker. Neighbours have other markers too, so
that print without colour can be read. The colours are told apart with the common colour blindnesses.
"""

from collections.abc import Iterable
from typing import NamedTuple

LIGHT = ("#114aa3", "#8f1408", "#2ca481", "#6f2d67", "#b78919", "#147788", "#977cca", "#81633e")
DARK = ("#5a9dfb", "#d05119", "#91c996", "#d878a9", "#e7a82b", "#40cdf2", "#776cc3", "#8d766b")
"""The same hues on dark paper."""
MARKERS = ("o", "s", "^", "D", "v", "P")
"""As matplotlib calls them."""
DASHES = ((), (6, 2.5), (1.5, 2), (7, 2, 1.5, 2))
"""Strokes and gaps in points; the first is a solid line."""


class Look(NamedTuple):
    """How a model is drawn: indices into the colours, the dashes and the markers."""

    colour: int
    dash: int
    marker: int


def looks(models: Iterable[str]) -> dict[str, Look]:
    """Give each model a look, in the order of their names; the first word of a label is the name of the model.

    >>> looks(["cfm", "wcfm", "wcfm kappa=0.5"])["wcfm kappa=0.5"]
    Look(colour=1, dash=1, marker=2)
    """
    families: dict[str, list[str]] = {}
    for model in models:
        family = families.setdefault(model.partition(" ")[0], [])
        if model not in family:
            family.append(model)
    return {
        model: Look(number % len(LIGHT), variant % len(DASHES), (number + variant) % len(MARKERS))
        for number, family in enumerate(families.values())
        for variant, model in enumerate(family)
    }
