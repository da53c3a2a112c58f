"""Labels: make names and reasons from records by others safe to print, and short enough for tables."""

import re
from collections import Counter
from collections.abc import Iterable

_CONTROL = re.compile(
    r"\x1b\][^\x07\x1b]*(\x07|\x1b\\)?"  # a command to the terminal, such as a new title
    r"|(\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b.?"  # colors, movements of the cursor
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # other controls, reading directions
)


def plain(text: str) -> str:
    """Return a text that cannot control a terminal: on one line, without escapes and other control characters.

    >>> plain("cfm\\x1b[31m red\\x1b]0;title\\x07\\nnext")
    'cfm red next'
    """
    return _CONTROL.sub("", re.sub(r"[\t\n\v\f\r\x85\u2028\u2029]+", " ", text))


_FORMULA = re.compile(r"\s*[=+\-@].|[\t\r]", re.DOTALL)


def guarded(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: an apostrophe precedes = + - @.

    >>> guarded("=1+1"), guarded("cfm"), guarded("-")
    ("'=1+1", 'cfm', '-')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def slug(text: str) -> str:
    """Return a text as part of a file name or anchor: lower-case letters and digits of ASCII, with hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def shared_words(labels: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Return the settings that all labels share, and {label: what remains of it}; a single label stays whole.

    >>> shared_words(["cfm sigma=1 steps=9", "wcfm steps=9"])
    ('steps=9', {'cfm sigma=1 steps=9': 'cfm sigma=1', 'wcfm steps=9': 'wcfm'})
    """
    split = {label: label.split() for label in labels}
    first = next(iter(split.values()), [])
    settings = [word for word in first[1:] if "=" in word]  # other words are part of a name
    shared = [word for word in settings if len(split) > 1 and all(word in parts[1:] for parts in split.values())]
    short = {label: [*parts[:1], *(p for p in parts[1:] if p not in shared)] for label, parts in split.items()}
    return " ".join(shared), {label: " ".join(parts) for label, parts in short.items()}


def distinct(labels: Iterable[str], width: int) -> dict[str, str]:
    """Return {label: short label}; a label over the width keeps its name and the settings that make it unique.

    >>> list(distinct(["gaussian dims=8 std=1", "cfm", "cfm lr=1 steps=9", "cfm lr=2 steps=9"], 8).values())
    ['gaussian', 'cfm', 'cfm lr=1', 'cfm lr=2']
    >>> list(distinct(["cfm net=dit", "cfm net=dit lr=1", "cfm net=unet"], 12).values())
    ['cfm net=dit', 'cfm lr=1', 'cfm net=unet']
    >>> list(distinct(["a long name", "a long game"], 7).values())
    ['a long…', 'a lon…2']
    """
    same: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        same.setdefault(" ".join(word for word in label.split() if "=" not in word) or label, []).append(label)
    short = {}
    for name, labels_of_name in same.items():
        settings = {
            label: [w for w in text.split() if "=" in w] for label, text in shared_words(labels_of_name)[1].items()
        }
        counts = Counter(word for words in settings.values() for word in words)
        settings = {
            label: sorted(words, key=counts.__getitem__) for label, words in settings.items()
        }  # rare ones first
        for label, mine in settings.items():
            others = [words for other, words in settings.items() if other != label]
            needed = next((k for k in range(len(mine)) if all(mine[:k] != w[:k] for w in others)), len(mine))
            short[label] = " ".join([name, *(mine[:needed] if others else [])])
    unique: dict[str, str] = {}
    for label, text in short.items():
        indent = label[: len(label) - len(label.lstrip())]
        text = label if len(label) <= width else indent + text
        cut, number = text if len(text) <= width else f"{text[: width - 1]}…", 1
        while cut in unique.values():
            number += 1
            cut = f"{text[: width - 1 - len(str(number))]}…{number}"
        unique[label] = cut
    return unique


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "seed"), counted(3000, "seed")
    ('1 seed', '3,000 seeds')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Iterable[str], word: str = "and") -> str:
    """Return names as a list in a sentence; at least one.

    >>> listed(["a"]), listed("abc"), listed("ab", "or")
    ('a', 'a, b and c', 'a or b')
    """
    *most, last = names
    return f"{', '.join(most)} {word} {last}" if most else last
