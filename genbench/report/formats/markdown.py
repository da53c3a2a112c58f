"""Markdown: tables aligned in the raw text, and whole reports. Charts and pictures are left to the page and figures."""

import re
from dataclasses import replace

from genbench.analysis.labels import plain, shared_words
from genbench.report.blocks import Block, Cell, Charts, Flow, Gallery, List, Origin, Report, Section, Table
from genbench.report.formats.cells import MARKS, cell_text, heading, panels, used_marks

_MARKUP = re.compile(r"[`<|\\]|!(?=\[)|\](?=[(\[:])")

LONG = 60
"""Characters of a label above which settings that all models share are stated below the table instead."""

WRAP = {"best": "**{}**", "tie": "*{}*"}


def table(drawn: Table, *, width: int = 120) -> str:
    """Write a table; columns beyond the width continue below, and settings that all of its long labels share."""
    if any(len(row.label) > LONG for row in drawn.rows):
        shared, short = shared_words(row.label for row in drawn.rows if not row.floor)
        rows = tuple(replace(row, label=short.get(row.label, row.label)) for row in drawn.rows)
        drawn = replace(drawn, rows=rows, legend=(f"All models: {shared}.", *drawn.legend) if shared else drawn.legend)
    lines = [f"## {_escape(drawn.title)}", ""]
    for columns, rows in panels(drawn, _cell, width, _escape):
        grid = [
            [_escape(drawn.head), *(_escape(heading(column)) for column in columns)],
            *([_escape(r.label), *map(_cell, r.cells)] for r in rows),
        ]
        widths = [max(len(line[i]) for line in grid) for i in range(len(grid[0]))]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        for first, *rest in [grid[0], rule, *grid[1:]]:
            cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    below = [f"- [{i}] {_escape(note)}" for i, note in enumerate(drawn.notes, 1)]
    below += [f"- {_escape(line)}" for line in drawn.legend]
    below += [f"- {WRAP[mark].format(mark.capitalize())}: {MARKS[mark]}." for mark in used_marks(drawn)]
    return "\n".join([*lines, *below]) + "\n"


def document(report: Report) -> str:
    """Write a report: all of its paragraphs, lists and tables."""
    lines = [f"# {_escape(report.title)}", "", _escape(report.summary), "", "How to read it:", ""]
    lines += [*(f"- {line}" for line in report.reading), ""]
    parts = {section.title: _section(section, 2) for section in report.sections}
    lines += [
        "Contents:",
        "",
        *(f"- [{_escape(title)}](#{_anchor(title)})" for title, part in parts.items() if part),
        "",
    ]
    lines += [line for part in parts.values() for line in part]
    return "\n".join(lines).rstrip() + "\n"


def _anchor(title: str) -> str:
    """Return the anchor that GitHub and GitLab give to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _section(section: Section, level: int) -> list[str]:
    blocks = [text for block in section.blocks if (text := _block(block, section.title, level))]
    below = [part for part in section.sections for part in _section(part, level + 1)]
    # A section of charts only is empty in Markdown.
    return [f"{'#' * level} {_escape(section.title)}", "", *blocks, *below] if blocks or below else []


def _block(block: Block, title: str, level: int) -> str:
    match block:
        case str():
            return f"{_escape(block)}\n"
        case List():
            return "\n".join([f"{_escape(block.lead)}:", "", *(f"- {_escape(item)}" for item in block.items)]) + "\n"
        case Table():
            return _titled(block, title, level)
        case tuple():
            return "\n".join(map(_origin, block)) + "\n"
        case Charts() | Flow() | Gallery():
            return ""


def _titled(drawn: Table, title: str, level: int) -> str:
    """Write a table under a heading of that level, or under that of its section if both have the same title."""
    head, _, body = table(drawn).partition("\n\n")
    return body if drawn.title == title else f"{'#' * level}{head.removeprefix('#')}\n\n{body}"


def _origin(origin: Origin) -> str:
    """Write what is the same wherever the same code ran: no machine, no times."""
    seeds = ", ".join(str(seed) for seed, _ in origin.runs)
    ticks = "`" * (1 + max(map(len, re.findall("`+", origin.command)), default=0))
    command = f"; to reproduce the first run:\n  {ticks}{plain(origin.command)}{ticks}" if origin.command else ""
    return f"- {_escape(origin.model)}, seeds {seeds}{command}"


def _cell(cell: Cell) -> str:
    return cell_text(cell, WRAP, _escape)


def _escape(text: str) -> str:
    """Return an untrusted text on one line, in which nothing is HTML, code, an image, a link, or the end of a cell."""
    return _MARKUP.sub(r"\\\g<0>", plain(text))
