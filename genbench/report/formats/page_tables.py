"""Tables on the page: sortable, with links from numbers to their origin; all values by seed work without JavaScript."""

from collections.abc import Callable, Mapping, Sequence
from html import escape

from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.formats.cells import heading
from genbench.report.formats.palette import Style
from genbench.report.formats.svg import key
from genbench.report.statistics import format_mean

MAX_LINE = 24
"""Characters of a cell; longer texts are broken into lines."""


def table(drawn: Table, name: str, styles: Mapping[str, Style], origins: Mapping[str, str]) -> str:
    """Return a table as HTML.

    Args:
        drawn: the table.
        name: unique on the page; prefix of ids.
        styles: of the models, for their legend keys.
        origins: {row: id of the element with the origin of its numbers}.
    """
    head = "".join(_head(column) for column in drawn.columns)
    first = "model" if any(row.label in styles for row in drawn.rows) else ""
    rows = "".join(_row(row, index, name, drawn, styles, origins) for index, row in enumerate(drawn.rows))
    numbers = (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(drawn.title)}">'
        f'<table class="numbers sortable" data-name="{escape(drawn.title)}"><thead><tr>'
        f'<th scope="col" data-title="{first}">{first or "<span class=hidden>row</span>"}</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    return numbers + _below(drawn) + _seeds(drawn, name)


def _head(column: Column) -> str:
    protocol = f' data-protocol="{escape(column.protocol)}"' if column.protocol else ""
    data = f'data-title="{escape(column.title)}" data-better="{column.better}"{protocol}'
    return f'<th scope="col" {data}>{escape(heading(column))}</th>'


def _row(row: Row, index: int, name: str, drawn: Table, styles: Mapping[str, Style], origins: Mapping[str, str]) -> str:
    legend_key = key(styles[row.label]) if row.label in styles else ""
    # The floor depends on the data only: every model measured the same one.
    origin = next(iter(origins.values()), "") if row.floor else origins.get(row.label, "")
    cells = [
        _cell(cell, _ranked(drawn, column), f"{name}-{index}-{column}", origin) for column, cell in enumerate(row.cells)
    ]
    kind = ' class="floor"' if row.floor else ""
    label = escape(row.label)
    head = f'<th scope="row" data-label="{label}" data-v="{index}">{legend_key}<span class="who">{label}</span></th>'
    return f'<tr{kind} data-i="{index}">{head}{"".join(cells)}</tr>'


def _ranked(drawn: Table, column: int) -> int:
    """Return the number of ranked rows of a column."""
    return sum(row.cells[column].rank is not None for row in drawn.rows)


def _cell(cell: Cell, ranked: int, name: str, origin: str) -> str:
    notes = f"<sup>[{','.join(map(str, cell.notes))}]</sup>" if cell.notes else ""
    if cell.mean is None:
        kind = ' class="words"' if len(cell.text) > MAX_LINE else ""
        return f'<td{kind} data-v="">{escape(cell.text)}{notes}</td>'
    text = format_mean(cell.mean, cell.error)
    place = f"rank {cell.rank} of {ranked}" if cell.rank is not None else ""
    standing = ", ".join(part for part in (place, cell.mark) if part)
    rank = f'<span class="r" aria-hidden="true">{cell.rank}</span>' if cell.rank is not None else ""
    spoken = f'<span class="hidden"> ({standing})</span>' if standing else ""
    number = f'{rank}<span class="n">{_stacked(text)}</span>{spoken}'
    if origin:
        attributes = f'href="#{origin}" data-row="v-{name}"' + (f' data-standing="{standing}"' if standing else "")
        number = f'<a class="v" {attributes}>{number}</a>'
    else:
        number = f'<span class="v">{number}</span>'
    kind = f' class="{cell.mark}"' if cell.mark else ""
    return f'<td{kind} data-v="{cell.mean!r}">{number}{notes}</td>'


def _stacked(text: str) -> str:
    """Put the error of a mean below it."""
    mean, sign, error = text.partition(" ± ")
    if not sign or text.startswith("("):
        return f'<span class="m">{escape(text)}</span>'
    return f'<span class="m">{escape(mean)}</span> <span class="e">± {escape(error)}</span>'


def _below(drawn: Table) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in drawn.notes)
    parts = [f'<ol class="notes">{notes}</ol>'] if notes else []
    if drawn.legend:
        lines = "".join(f"<li>{escape(line)}</li>" for line in drawn.legend)
        parts.append(f'<details><summary>How it was measured</summary><ul class="small">{lines}</ul></details>')
    return "".join(parts)


def _seeds(drawn: Table, name: str) -> str:
    """Return every value behind the means, one column per seed."""
    seeds = sorted({seed for row in drawn.rows for cell in row.cells for seed, _ in cell.values})
    if not seeds:
        return ""
    rows = [
        _values(row.label, column.title, f"v-{name}-{i}-{j}", dict(row.cells[j].values), seeds)
        for i, row in enumerate(drawn.rows)
        for j, column in enumerate(drawn.columns)
        if row.cells[j].values
    ]
    head = "".join(f'<th scope="col">{seed}</th>' for seed in seeds)
    return (
        f'<details><summary>Every value, by seed</summary><div class="scroll" role="region" tabindex="0" '
        f'aria-label="{escape(drawn.title)}, by seed"><table class="seeds"><thead><tr><th scope="col">model</th>'
        f'<th scope="col">value</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div></details>'
    )


def _values(model: str, column: str, place: str, found: Mapping[int, float], seeds: Sequence[int]) -> str:
    cells = "".join(f"<td>{found[seed]:.6g}</td>" if seed in found else "<td></td>" for seed in seeds)
    return f'<tr id="{place}"><th scope="row">{escape(model)}</th><td>{escape(column)}</td>{cells}</tr>'


def folded(drawn: Table, render: Callable[[Table], str]) -> str:
    """Return a collapsed table."""
    return f"<details><summary>The numbers: {escape(drawn.title)}</summary>{render(drawn)}</details>"
