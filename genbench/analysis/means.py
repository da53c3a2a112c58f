"""Means over seeds: their standard errors and 95 % intervals, and how they are written."""

import math
from collections.abc import Collection, Iterable

import numpy as np
from scipy import special

LEVEL = 0.05
"""Significance level of every test; intervals have confidence 1 - LEVEL."""

ROUNDING = 1e-6
"""The number after ±, relative to the mean, up to which values differ only by the rounding of processors."""


def mean_and_error(values: Iterable[float]) -> tuple[float, float | None]:
    """Return the mean and its standard error: None for one value, 0 for values that are equal up to rounding.

    >>> mean_and_error([1.0, 3.0])
    (2.0, 1.0)
    >>> mean_and_error([0.1, 0.1, 0.1])
    (0.1, 0.0)
    """
    known = list(values)
    if len(known) == 1:
        return float(known[0]), None
    low, high = min(known), max(known)
    if high - low <= 1e-12 * max(high, -low) and not any(map(math.isnan, known)):
        return float(known[0]), 0.0
    array = np.array(known, dtype=np.float64)  # sums of NumPy: its own mean and std take three times as long
    mean = np.add.reduce(array) / len(array)
    squares = np.square(array - mean)
    return float(mean), math.sqrt(np.add.reduce(squares) / (len(array) - 1)) / len(array) ** 0.5


def mean_and_half(values: Collection[float]) -> tuple[float, float | None]:
    """Return the mean and half its 95 % t interval, None for one value.

    >>> mean_and_half([1.0])
    (1.0, None)
    """
    mean, error = mean_and_error(values)
    return mean, half_width(error, len(values))


def half_width(error: float | None, n: int) -> float | None:
    """Return half the width of the 95 % t interval of a mean over n values with this standard error."""
    return None if error is None else error * float(special.stdtrit(n - 1, 1 - LEVEL / 2))


def format_mean(mean: float, error: float | None = None) -> str:
    """Write a mean with its error or half its interval, rounded to two significant digits of the error.

    Args:
        error: the number after ±; if unknown, as with a single seed, the mean is written with four digits.

    >>> format_mean(0.83127, 0.0171)
    '0.831 ± 0.017'
    >>> format_mean(0.83127, 0.0996)
    '0.83 ± 0.10'
    >>> format_mean(12345.6, 234.0)
    '12350 ± 230'
    >>> format_mean(1.234e-5, 2.1e-7)
    '(1.234 ± 0.021)e-05'
    >>> format_mean(0.83127)
    '0.8313'
    >>> format_mean(35746307.0), format_mean(8.0, 0.0)
    ('35746307', '8 ± 0')
    >>> format_mean(5.33020741, 5.4e-7)
    '5.330 ± 0'
    """
    if error is None or not math.isfinite(error):
        return _plain(mean)
    if error <= ROUNDING * abs(mean):
        return f"{_plain(mean)} ± 0"
    largest = max(abs(mean), error)
    if not 1e-3 <= largest < 1e7:
        exponent = math.floor(math.log10(largest))
        return f"({format_mean(mean / 10**exponent, error / 10**exponent)})e{exponent:+03d}"
    # Round the error first: 0.0996 becomes 0.10, with one decimal less.
    decimals = 1 - int(f"{error:.1e}".partition("e")[2])
    return f"{_fixed(mean, decimals)} ± {_fixed(error, decimals)}"


def _plain(value: float) -> str:
    if value == round(value) and abs(value) < 1e15:
        return str(round(value))
    if 1e-3 <= abs(value) < 1e7:
        return _fixed(value, 3 - math.floor(math.log10(abs(value))))
    return f"{value:.3e}"


def _fixed(value: float, decimals: int) -> str:
    text = f"{round(value, decimals):.{max(decimals, 0)}f}"
    return text.removeprefix("-") if float(text) == 0 else text
