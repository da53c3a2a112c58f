"""Tables and paragraphs in Markdown, for the pages that benchmarks write."""

import textwrap
from collections.abc import Iterable, Sequence

ALIKE = "methods that share a letter are not separated after Holm's correction, even if an interval excludes 1"
"""What letters say. Intervals are not corrected for the number of comparisons."""


def markdown(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table, its first column aligned left, the others right.

    >>> print(markdown(("metric", "n"), [("w2", 512)]), end="")
    | metric | n |
    |---|---:|
    | w2 | 512 |
    """
    lines = [columns, ["---", *("---:" for _ in columns[1:])], *rows]
    texts = ["| " + " | ".join(map(str, line)) + " |" for line in lines]
    texts[1] = texts[1].replace(" ", "")
    return "\n".join(texts) + "\n"


def fill(text: str) -> str:
    """Return a paragraph in lines."""
    return textwrap.fill(text, width=120, break_on_hyphens=False, break_long_words=False)
