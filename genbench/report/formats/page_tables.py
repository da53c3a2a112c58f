"""Tables on the page: sortable, each number a way to its origin, each value of each seed there without JavaScript."""

from collections.abc import Callable, Mapping, Sequence
from html import escape

from genbench.report.formats.palette import Look
from genbench.report.formats.render import ARROWS
from genbench.report.formats.svg import key
from genbench.report.quantity import quantity
from genbench.report.table import Cell, Column, Row, Table

WORDS = 24
"""Signs from which on a text is broken into lines."""


def table(drawn: Table, name: str, looks: Mapping[str, Look], origins: Mapping[str, str]) -> str:
    """Return a table as HTML.

    Args:
        drawn: the table.
        name: unique on the page; ids begin with it.
        looks: of models, whose rows show it.
        origins: {row: id of the element that says where its numbers come from}.
    """
    head = "".join(_head(column) for column in drawn.columns)
    first = "model" if any(row.label in looks for row in drawn.rows) else ""
    rows = "".join(_row(row, index, name, drawn, looks, origins) for index, row in enumerate(drawn.rows))
    numbers = (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(drawn.title)}">'
        f'<table class="numbers sortable" data-name="{escape(drawn.title)}"><thead><tr>'
        f'<th scope="col" data-title="{first}">{first or "<span class=hidden>row</span>"}</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    return numbers + _below(drawn) + _seeds(drawn, name)


def _head(column: Column) -> str:
    arrow = f" {ARROWS[column.better]}" if column.better in ARROWS else ""
    said = f' data-protocol="{escape(column.protocol)}"' if column.protocol else ""
    title = escape(column.title)
    return f'<th scope="col" data-title="{title}" data-better="{column.better}"{said}>{title}{arrow}</th>'


def _row(row: Row, index: int, name: str, drawn: Table, looks: Mapping[str, Look], origins: Mapping[str, str]) -> str:
    sign = key(looks[row.label]) if row.label in looks else ""
    # The floor is of the data alone: the runs of every model measured the same one.
    origin = next(iter(origins.values()), "") if row.floor else origins.get(row.label, "")
    cells = [
        _cell(cell, _ranked(drawn, column), f"{name}-{index}-{column}", origin) for column, cell in enumerate(row.cells)
    ]
    kind = ' class="floor"' if row.floor else ""
    label = escape(row.label)
    head = f'<th scope="row" data-label="{label}" data-v="{index}">{sign}<span class="who">{label}</span></th>'
    return f'<tr{kind} data-i="{index}">{head}{"".join(cells)}</tr>'


def _ranked(drawn: Table, column: int) -> int:
    """How many rows of a column have a rank."""
    return sum(row.cells[column].rank is not None for row in drawn.rows)


def _cell(cell: Cell, ranked: int, name: str, origin: str) -> str:
    notes = f"<sup>[{','.join(map(str, cell.notes))}]</sup>" if cell.notes else ""
    if cell.mean is None:
        kind = ' class="words"' if len(cell.text) > WORDS else ""
        return f'<td{kind} data-v="">{escape(cell.text)}{notes}</td>'
    text = quantity(cell.mean, cell.error)
    place = f"rank {cell.rank} of {ranked}" if cell.rank is not None else ""
    standing = ", ".join(part for part in (place, cell.mark) if part)
    rank = f'<span class="r" aria-hidden="true">{cell.rank}</span>' if cell.rank is not None else ""
    said = f'<span class="hidden"> ({standing})</span>' if standing else ""
    number = f'{rank}<span class="n">{_stacked(text)}</span>{said}'
    if origin:
        attributes = f'href="#{origin}" data-row="v-{name}"' + (f' data-standing="{standing}"' if standing else "")
        number = f'<a class="v" {attributes}>{number}</a>'
    else:
        number = f'<span class="v">{number}</span>'
    kind = f' class="{cell.mark}"' if cell.mark else ""
    return f'<td{kind} data-v="{cell.mean!r}">{number}{notes}</td>'


def _stacked(text: str) -> str:
    """Put the error of a quantity under its mean."""
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
    """Return every value behind the means, one column a seed."""
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
    """Return a table that can be unfolded."""
    return f"<details><summary>The numbers: {escape(drawn.title)}</summary>{render(drawn)}</details>"
