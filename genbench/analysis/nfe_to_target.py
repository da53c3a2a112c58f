"""The NFE at which a method's excess over real data falls to a target."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Reach(NamedTuple):
    """The NFE at which a method reaches a target.

    Args:
        at_most: whether no measured NFE of the curve suffices, so that the NFE of the own sampler is an upper bound.
    """

    nfe: float
    at_most: bool = False

    @property
    def text(self) -> str:
        """The NFE as tables show it."""
        return f"{'≤' if self.at_most else ''}{round(self.nfe, 1 if self.nfe < 10 else 0):g}"


def first_crossing(points: Sequence[tuple[float, float]], target: float) -> float | None:
    """Return the NFE at which a curve first falls to a target; None if no measured NFE suffices.

    log(excess) is linear in log(NFE) between measured points, so an excess of c NFE^-p is interpolated exactly. An
    excess that is not positive has no logarithm: its own NFE counts.

    Args:
        points: (NFE, excess), from few to many NFE.
    """
    before = None
    for nfe, excess in points:
        if excess <= target:
            if before is None or excess <= 0:
                return float(nfe)
            share = math.log(before[1] / target) / math.log(before[1] / excess)
            return before[0] * (nfe / before[0]) ** share
        before = nfe, excess
    return None
