"""Tables in Markdown, for the pages that benchmarks write."""

from collections.abc import Iterable, Sequence


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
