"""The exceptions of genbench, and the suggestion for a misspelt name."""

import difflib
import os
import traceback
from collections.abc import Iterable


class ConfigError(ValueError):
    """The request is wrong (exit code 2). The message is one line: what is wrong, and what to write instead."""


class Unsupported(Exception):
    """A model or data set lacks a capability. Tables show '-'; the record keeps the reason."""


class RunFailed(RuntimeError):
    """A run failed (exit code 1). The reason is noted, never kept as a result."""


def unknown(what: str, name: str, known: Iterable[str]) -> ConfigError:
    """Build the error for a name that is not among the known ones.

    Args:
        what: the beginning of the sentence, such as "wcfm has no setting".
        name: the unknown name.
        known: the known names.

    >>> unknown("wcfm has no setting", "kapa", ["kappa", "cost"])
    ConfigError("wcfm has no setting 'kapa'; did you mean 'kappa'?")
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known) or 'none'}"
    return ConfigError(f"{what} '{name}'; {hint}")


def reason_of(error: Exception) -> str:
    """Return in one line why something failed."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {os.path.normpath(error.filename)}"
    own = isinstance(error, (RunFailed, ConfigError, OSError))
    return str(error) if own else f"{type(error).__name__}: {str(error).strip() or 'no reason given'}"


def full_reason(error: Exception) -> str:
    """Return what is kept beside a failed run: the reason, or the traceback of an error that is a bug."""
    return reason_of(error) if isinstance(error, (RunFailed, OSError)) else traceback.format_exc()
