"""The exceptions of genbench, and the suggestion for a misspelt name."""

import difflib
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

USER_MODULE = "genbench_file_"
"""Beginning of the names of modules that are Python files of the user."""


class ConfigError(ValueError):
    """The request is wrong (exit code 2). The message is one line: what is wrong, and what to write instead."""


class Unsupported(Exception):
    """A model or data set lacks a capability. Tables show '-'; the record keeps the reason."""


class TooFewSamples(Unsupported):
    """A metric asks for more samples than there are."""

    def __init__(self, n: int, available: int, where: str = "there are") -> None:
        super().__init__(n, available, where)  # all of them, so that another process can raise it again
        self.available = available
        self._text = f"it needs {n} samples; {where} {available}"

    def __str__(self) -> str:
        return self._text


class RunFailed(RuntimeError):
    """A run failed (exit code 1). The failure is stored with its reason, never as a result."""


def unknown(what: str, name: str, known: Iterable[str]) -> ConfigError:
    """Build the error for a name that is not among the known ones.

    Args:
        what: the beginning of the sentence, such as "wcfm has no setting".

    >>> unknown("wcfm has no setting", "kapa", ["kappa", "cost"])
    ConfigError("wcfm has no setting 'kapa'; did you mean 'kappa'?")
    >>> unknown("no metric", "FID", ["w2", "fid-legacy", "fid-clean"])
    ConfigError("no metric 'FID'; did you mean 'fid-clean' or 'fid-legacy'?")
    """
    known = sorted(known)
    *most, last = [f"'{other}'" for other in _close(name, known)] or [""]
    close = f"{', '.join(most)} or {last}" if most else last
    hint = f"did you mean {close}?" if close else f"known: {', '.join(known) or 'none'}"
    return ConfigError(f"{what} '{name}'; {hint}")


def _close(name: str, known: Iterable[str]) -> list[str]:
    """Return the name that differs little, else those with the same letters or beginning, else the most similar one."""
    folded, wanted = {other.casefold(): other for other in known}, name.casefold()
    close = difflib.get_close_matches(wanted, folded, n=1, cutoff=0.86)
    close = close or [text for text in folded if sorted(text) == sorted(wanted)]
    close = close or [text for text in folded if wanted and text.startswith(wanted)]
    return [folded[text] for text in close or difflib.get_close_matches(wanted, folded, n=1)]


class ProcessesEnded(SystemExit):
    """The processes that torchrun started for this command have ended, with this exit code."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def reason_of(error: BaseException) -> str:
    """Return in one line why something failed: the first line of the error's message."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {os.path.normpath(error.filename)}"
    if isinstance(error, (RunFailed, ConfigError, OSError)):
        return first_line(error)
    return f"{type(error).__name__}: {first_line(error) if str(error).strip() else 'no reason given'}"


def place_of(error: BaseException) -> str:
    """Return where in a Python file of the user an error arose, as `mine.py:19, in loss`; empty if elsewhere.

    A SystemExit is always of a component, perhaps of a package, as `package.loops:26, in step`: it arises outside of
    the standard library, whose `exit` and `argparse` end the process.
    """
    traced = traceback.walk_tb(error.__traceback__)
    places = [(str(frame.f_globals.get("__name__")), frame.f_code, line) for frame, line in traced]
    own = [each for each in places if each[0].startswith(USER_MODULE)]
    if not own and isinstance(error, SystemExit):
        own = [each for each in places if each[0].partition(".")[0] not in sys.stdlib_module_names]
    if not own:
        return ""
    module, code, line = own[-1]
    where = Path(code.co_filename).name if module.startswith(USER_MODULE) else module
    return f"{where}:{line}, in {code.co_name}"


def described(error: BaseException) -> str:
    """Return in one line what failed in the code of a component, and where, if it was in a file of the user."""
    place = place_of(error)
    return f"{place}: {reason_of(error)}" if place else reason_of(error)


def full_reason(error: BaseException) -> str:
    """Return the text stored with a failed run: the reason, after the traceback if the error was a bug."""
    reason = reason_of(error)
    return reason if isinstance(error, (RunFailed, OSError)) else f"{traceback.format_exc()}\n{reason}"


def why_training_failed(step: int) -> str:
    """Return why a training failed at a step; a negative step means that nothing was learned until then."""
    if step > 0:
        return f"the loss is not finite at step {step}"
    why = "its loss is zero to rounding, or the weights of its samples vanish (no finite effective sample size)"
    return f"it learned nothing in {-step} steps: {why}"
