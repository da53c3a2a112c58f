"""Quantities as text: the standard error decides how many digits a mean deserves."""

import math


def quantity(mean: float, error: float | None = None) -> str:
    """Write a mean with its standard error, to two significant digits of the error.

    Args:
        mean: the number.
        error: its standard error; None where it is not known, as with one seed, which leaves four digits.

    >>> quantity(0.83127, 0.0171)
    '0.831 ± 0.017'
    >>> quantity(0.83127, 0.0996)
    '0.83 ± 0.10'
    >>> quantity(12345.6, 234.0)
    '12350 ± 230'
    >>> quantity(1.234e-5, 2.1e-7)
    '(1.234 ± 0.021)e-05'
    >>> quantity(0.83127)
    '0.8313'
    >>> quantity(35746307.0), quantity(8.0, 0.0)
    ('35746307', '8 ± 0')
    """
    if error is None or not math.isfinite(error):
        return _plain(mean)
    if error == 0:
        return f"{_plain(mean)} ± 0"
    largest = max(abs(mean), error)
    if not 1e-3 <= largest < 1e7:
        exponent = math.floor(math.log10(largest))
        return f"({quantity(mean / 10**exponent, error / 10**exponent)})e{exponent:+03d}"
    # The leading digit is read off the rounded error: .0996 is .10, with one decimal less.
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
