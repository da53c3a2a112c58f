"""Documents: a report as Markdown, as LaTeX and as CSV."""

import re
from collections.abc import Sequence

import pandas as pd

from genbench.report.chart import Charts
from genbench.report.formats import render
from genbench.report.origins import Origin, Origins
from genbench.report.pictures import Flow, Gallery
from genbench.report.section import Aside, Block, Points, Report, Section
from genbench.report.suites import Chapter
from genbench.report.table import Table


def markdown(report: Report) -> str:
    """Return the report as Markdown: all tables and lists; charts and pictures are on the page and in the figures."""
    lines = [f"# {report.title}", "", report.summary, "", "How to read it:", ""]
    lines += [*(f"- {line}" for line in report.reading), ""]
    parts = {section.title: _section(section, 2) for section in report.sections}
    lines += ["Contents:", "", *(f"- [{title}](#{_anchor(title)})" for title, part in parts.items() if part), ""]
    lines += [line for part in parts.values() for line in part]
    return "\n".join(lines).rstrip() + "\n"


def _anchor(title: str) -> str:
    """Return what forges call a heading in links."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _section(section: Section, level: int) -> list[str]:
    blocks = [text for block in section.blocks if (text := _block(block, section.title, level))]
    below = [part for part in section.sections for part in _section(part, level + 1)]
    # Of a section that is all charts nothing is left.
    return [f"{'#' * level} {section.title}", "", *blocks, *below] if blocks or below else []


def _block(block: Block, title: str, level: int) -> str:
    match block:
        case str():
            return f"{block}\n"
        case Points():
            return "\n".join([f"{block.lead}:", "", *(f"- {item}" for item in block.items)]) + "\n"
        case Table():
            return _table(block, title, level)
        case Aside():
            return _table(block.table, title, level)
        case Origins():
            return "\n".join(_origin(origin) for origin in block.origins) + "\n"
        case Charts() | Flow() | Gallery():
            return ""


def _table(table: Table, title: str, level: int) -> str:
    head, _, body = render.markdown(table).partition("\n\n")
    return body if table.title == title else f"{'#' * level}{head.removeprefix('#')}\n\n{body}"


def _origin(origin: Origin) -> str:
    """The facts that are the same wherever the same code ran: no machine, no times."""
    seeds = ", ".join(str(seed) for seed, _ in origin.runs)
    again = f":\n  `{origin.command}`" if origin.command else ""
    return f"- {origin.model}, seeds {seeds}; the first of them{again}"


def latex(report: Report) -> str:
    """Return all tables of the report for LaTeX with the package booktabs, section by section."""
    parts = [r"% needs \usepackage{booktabs}"]
    for section in report.sections:
        parts.append(f"% {section.title}")
        for block in section.walk():
            table = block.table if isinstance(block, Aside) else block
            if isinstance(table, Table):
                parts.append(render.latex(table))
    return "\n".join(parts)


def csv(chapters: Sequence[Chapter]) -> str:
    """Return every mean in full precision, one line each, with the suite it belongs to."""
    parts = [render.means(chapter.values, chapter.failures).assign(suite=chapter.name) for chapter in chapters]
    frame = pd.concat(parts, ignore_index=True)
    return frame[["suite", *frame.columns.drop("suite")]].to_csv(index=False, lineterminator="\n")
