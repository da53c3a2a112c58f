"""The three ways in which genbench says no, and the suggestion that goes with a misspelt name."""

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """The request is wrong: one line that says what is wrong and what would be right (exit code 2)."""


class Unsupported(Exception):
    """This model or data set lacks a capability, for the reason given: the cell of a table shows '-'."""


class RunFailed(RuntimeError):
    """A run could not be finished, for the reason given (exit code 1). Never kept as a result."""


def unknown(what: str, name: str, known: Iterable[str]) -> ConfigError:
    """Build the error for a name that is not among the known ones.

    Args:
        what: the beginning of the sentence, such as "wcfm has no setting".
        name: the name that was asked for.
        known: the names that exist.

    >>> unknown("wcfm has no setting", "kapa", ["kappa", "cost"])
    ConfigError("wcfm has no setting 'kapa'; did you mean 'kappa'?")
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known) or 'none'}"
    return ConfigError(f"{what} '{name}'; {hint}")
