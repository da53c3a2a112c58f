"""The picture of a ladder: the mean of each method at the shortest and the longest budget of each data set."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.ladder.orders import Contest, complete, mean_of, named
from genbench.analysis.labels import distinct
from genbench.report.formats.figures import INK, LIGHT, MUTED, encoded, styled

ACROSS = 2
"""Number of panels in a row."""
WIDTH, HEIGHT = 3.7, 2.9
"""Inches of a panel with its labels."""
LEFT, RIGHT, TOP, BOTTOM = 0.42, 1.42, 0.28, 0.28
"""Inches around the axes of a panel."""
LENGTH = 25
"""Characters of the name of a method."""
LINE = 0.115
"""Least distance between labels in inches."""


def slopes(found: Sequence[Contest]) -> bytes:
    """Draw one panel for each data set, with a line for each method that is compared at both budgets. Returns SVG."""
    return encoded(panels(found))


@styled
def panels(found: Sequence[Contest]) -> Any:
    """Draw the panels into one figure."""
    from matplotlib.figure import Figure

    across = min(ACROSS, len(found))
    size = across * WIDTH, -(-len(found) // across) * HEIGHT
    figure = Figure(figsize=size)
    for number, contest in enumerate(found):
        down, right = divmod(number, across)
        left, bottom = right * WIDTH + LEFT, size[1] - (down + 1) * HEIGHT + BOTTOM
        box = (left / size[0], bottom / size[1], (WIDTH - LEFT - RIGHT) / size[0], (HEIGHT - TOP - BOTTOM) / size[1])
        panel(figure.add_axes(box), contest)
    return figure


def panel(axes: Any, contest: Contest) -> None:
    """Draw a data set: a line for each method, labeled at its right end."""
    from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

    one, other = complete(contest.first.main, contest.last.main)
    turned = {method for pair in contest.order.turned for method in pair}
    ends = {method: (mean_of(one[method]), mean_of(other[method])) for method in one}
    axes.set(xlim=(0, 1), xticks=(0, 1), xticklabels=(f"{contest.short:,} steps", f"{contest.long:,}"), yscale="log")
    axes.set_title(f"{named(contest.data)}, {contest.first.headline}")
    every = np.log([value for pair in ends.values() for value in pair])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if np.ptp(every) > np.log(5) else (*range(1, 10),)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(ScalarFormatter())
    low, high = every.min() - 0.05 * np.ptp(every), every.max() + 0.05 * np.ptp(every)
    axes.set_ylim(np.exp(low), np.exp(high))
    words, names = Counter(method.partition(" ")[0] for method in ends), distinct(ends, LENGTH)
    ordered = sorted(ends, key=lambda method: ends[method][1])
    heights = [(np.log(ends[method][1]) - low) / (high - low) for method in ordered]
    for method, height, label in zip(ordered, heights, apart(heights, LINE / (HEIGHT - TOP - BOTTOM)), strict=True):
        color = LIGHT[1] if method in turned else INK
        axes.plot((0, 1), ends[method], color=color, marker="o", markersize=2.4, linewidth=0.9, clip_on=False)
        there: dict[str, Any] = {
            "xycoords": "axes fraction",
            "textcoords": "axes fraction",
            "va": "center",
            "fontsize": 6.5,
        }
        there |= {"annotation_clip": False, "color": color}
        line = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2, "relpos": (0, 0.5)}
        word = method.partition(" ")[0]
        axes.annotate(word if words[word] == 1 else names[method], (1, height), (1.09, label), arrowprops=line, **there)


def apart(heights: Sequence[float], least: float) -> list[float]:
    """Return heights in the same order, moved so that neighbors have at least a distance, and little otherwise.

    >>> [round(height, 2) for height in apart([0.5, 0.5, 0.9], 0.2)]
    [0.4, 0.6, 0.9]
    """
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and bottom(groups[-1], least) < bottom(groups[-2], least) + len(groups[-2]) * least:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [bottom(group, least) + rank * least for group in groups for rank in range(len(group))]


def bottom(group: Sequence[float], least: float) -> float:
    """Return the lowest place of evenly spaced labels around the mean of their heights, not below the axis."""
    return max(0.0, float(np.mean(group)) - (len(group) - 1) * least / 2)
