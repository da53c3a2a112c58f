"""Renderers: one table as Markdown, LaTeX or in a terminal; all numbers as CSV; all of them as files."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console, Group
from rich.table import Table as RichTable
from rich.text import Text

from genbench.report.quantity import quantity
from genbench.report.statistics import mean_and_error
from genbench.report.table import Cell, Column, Row, Table
from genbench.report.tables import Value, checked, costs, grouped, lost, quality
from genbench.storage import files

ARROWS = {"lower": "↓", "higher": "↑"}
STYLES = {"best": "bold", "tie": "italic"}
SIGNS = {"best": "* {}", "tie": "~ {}"}  # for a terminal without styles, or a pipe
MARKS = {
    "best": "better than every other model of the column",
    "tie": "the best mean of the column, or not told apart from it",
}
LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "²": r"$^2$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "×": r"$\times$",
    "ε": r"$\varepsilon$",
    "κ": r"$\kappa$",
    "σ": r"$\sigma$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def markdown(table: Table, *, width: int = 120) -> str:
    """Write a table as Markdown that is aligned in the raw text; what is wider continues below."""
    wrap = {"best": "**{}**", "tie": "*{}*"}

    def text(cell: Cell) -> str:
        return _marked(cell, wrap, lambda t: t.replace("|", r"\|"), "[{}]")

    lines = [f"## {table.title}", ""]
    for columns, rows in _panels(table, text, width, gap=3):
        grid = [["model", *(_head(c) for c in columns)], *([_label(r), *map(text, r.cells)] for r in rows)]
        wide = [max(len(line[i]) for line in grid) for i in range(len(grid[0]))]
        rule = ["-" * wide[0], *("-" * (w - 1) + ":" for w in wide[1:])]
        for line in [grid[0], rule, *grid[1:]]:
            cells = [line[0].ljust(wide[0]), *(c.rjust(w) for c, w in zip(line[1:], wide[1:], strict=True))]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    below = [f"- [{i}] {note}" for i, note in enumerate(table.notes, 1)]
    below += [f"- {line}" for line in table.legend]
    below += [f"- {wrap[mark].format(mark.capitalize())}: {MARKS[mark]}." for mark in _used(table)]
    return "\n".join([*lines, *below]) + "\n"


def latex(table: Table, *, width: int = 100) -> str:
    """Write a table for LaTeX with the package booktabs; what is wider continues in a second tabular."""
    wrap = {"best": r"\textbf{{{}}}", "tie": r"\textit{{{}}}"}

    def text(cell: Cell) -> str:
        return _marked(cell, wrap, _escape, "$^{{{}}}$")

    lines = [r"\begin{table}", r"  \centering", rf"  \caption{{{_escape(table.title)}}}"]
    for columns, rows in _panels(table, _seen, width, gap=3):
        lines += [rf"  \begin{{tabular}}{{l{'r' * len(columns)}}}", r"    \toprule"]
        lines.append("    " + " & ".join(["model", *(_escape(_head(c)) for c in columns)]) + r" \\")
        lines.append(r"    \midrule")
        for row in rows:
            lines.append("    " + " & ".join([_escape(row.label), *map(text, row.cells)]) + r" \\")
            lines += [r"    \midrule"] * row.floor
        lines += [r"    \bottomrule", r"  \end{tabular}", r"  \par\medskip"]
    below = [rf"$^{{{i}}}$ {_escape(note)}" for i, note in enumerate(table.notes, 1)]
    below += [_escape(line) for line in table.legend]
    below += [f"{wrap[m].format(m.capitalize())}: {_escape(MARKS[m])}." for m in _used(table)]
    if below:
        lines += [r"  \begin{minipage}{\linewidth}\footnotesize\raggedright", "    " + " \\\\\n    ".join(below)]
        lines.append(r"  \end{minipage}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def show(tables: Sequence[Table], console: Console | None = None) -> None:
    """Print tables in a terminal; what is wider than it continues below."""
    console = console or Console()
    for table in tables:
        console.print(terminal(table, width=console.width), end="\n\n")


def terminal(table: Table, *, width: int = 120) -> Group:
    """Return what rich prints for a table in a terminal of that width."""
    parts = []
    for index, (columns, rows) in enumerate(_panels(table, _seen, width, gap=3)):
        drawn = RichTable(title=Text(table.title, "bold") if index == 0 else None, title_justify="left")
        drawn.add_column("model", no_wrap=True)
        for column in columns:
            drawn.add_column(Text(_head(column)), justify="right", no_wrap=True)
        for row in rows:
            cells = [Text(_seen(c), STYLES.get(c.mark, "")) for c in row.cells]
            drawn.add_row(Text(row.label), *cells, style="dim" if row.floor else "", end_section=row.floor)
        parts.append(drawn)
    below = [Text(f"[{i}] {note}") for i, note in enumerate(table.notes, 1)]
    below += [Text(line, "dim") for line in table.legend]
    below += [Text(SIGNS[mark].format(f"{MARKS[mark]}."), STYLES[mark]) for mark in _used(table)]
    return Group(*parts, *below)


def csv(values: pd.DataFrame, failures: pd.DataFrame | None = None) -> str:
    """Write every mean in full precision, one line each: machine-readable, with error, seeds, floor and reasons."""
    return means(values, failures).to_csv(index=False, lineterminator="\n")


def means(values: pd.DataFrame, failures: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return every mean in full precision, one row each, with error, seeds, floor and reasons.

    Args:
        values: as for `genbench.report.tables.comparisons`.
        failures: likewise; a line with no metric counts the failed runs of a model on a data set.
    """
    every, lines = checked(values), []
    groups = grouped(every, lambda v: (*v[1:3], v.metric, v.point, v.solver, v.protocol, v.n, _budget(v), v.step))
    for (model, data, metric, point, solver, protocol, n, _, step), rows in groups.items():
        line: dict[str, Any] = {"data": data, "model": model, "metric": metric, "better": rows[0].better}
        line |= {
            "point": point,
            "step": step,
            "solver": solver,
            "n": n,
            "protocol": protocol,
            "original": rows[0].original,
        }
        for name in ("nfe", "value", "floor"):
            known = [number for row in rows if (number := getattr(row, name)) is not None]
            mean, error = mean_and_error(known) if known else (None, None)
            line |= {name: mean} | ({"standard_error": error, "seeds": len(known)} if name == "value" else {})
        line["reason"] = "; ".join(dict.fromkeys(v.reason for v in rows if v.reason))
        lines.append(line | {"failed_runs": 0})
    for (data, model), failed in grouped(lost(failures), lambda f: (f.data, f.model)).items():
        reason = "; ".join(dict.fromkeys(f.reason for f in failed))
        lines.append({"data": data, "model": model, "reason": reason, "failed_runs": len(failed)})
    columns = ["data", "model", "metric", "better", "point", "step", "solver", "n", "protocol"]
    columns += ["original", "nfe", "value"]
    columns += ["standard_error", "seeds", "floor", "reason", "failed_runs"]
    return pd.DataFrame(lines, columns=columns).astype({"n": "Int64", "seeds": "Int64", "step": "Int64"})


def write(
    folder: Path, values: pd.DataFrame, spent: pd.DataFrame | None = None, failures: pd.DataFrame | None = None
) -> list[Path]:
    """Write table.md, table.tex and table.csv, and the same of the cost as cost.*; return the paths.

    Results are a pure function of code and seeds, costs are not: so they are files of their own.

    Args:
        folder: of the suite, such as results/synthetic; its name is the title.
        values: as for `genbench.report.tables.comparisons`.
        spent: as for `genbench.report.tables.costs`.
        failures: as for `genbench.report.tables.comparisons`.
    """
    content = _files("table", folder.name, quality(values, failures), csv(values, failures))
    if spent is not None and len(spent):
        content |= _files("cost", f"{folder.name}-cost", costs(spent, values), spent.to_csv(index=False))
    for name, text in content.items():
        files.write(folder / name, text)
    return [folder / name for name in content]


def _files(stem: str, title: str, tables: Sequence[Table], numbers: str) -> dict[str, str]:
    return {
        f"{stem}.md": f"# {title}\n\n" + "\n".join(map(markdown, tables)),
        f"{stem}.tex": "% needs \\usepackage{booktabs}\n" + "\n".join(map(latex, tables)),
        f"{stem}.csv": numbers,
    }


def _panels(
    table: Table, text: Callable[[Cell], str], width: int, gap: int
) -> Iterator[tuple[list[Column], list[Row]]]:
    """Cut a table into as many side-by-side parts as keep each within the width, at least one column in each."""
    label = max([len("model"), *(len(_label(row)) for row in table.rows)]) + gap
    wide = [
        max([len(_head(column)), *(len(text(row.cells[i])) for row in table.rows)]) + gap
        for i, column in enumerate(table.columns)
    ]
    start = 0
    while start < len(wide):
        stop = start + 1
        while stop < len(wide) and label + sum(wide[start : stop + 1]) + 1 <= width:
            stop += 1
        yield list(table.columns[start:stop]), [Row(r.label, r.cells[start:stop], r.floor) for r in table.rows]
        start = stop


def _budget(value: Value) -> float | None:
    return value.nfe if value.point == "curve" else None


def _used(table: Table) -> list[str]:
    return [mark for mark in MARKS if any(cell.mark == mark for row in table.rows for cell in row.cells)]


def _label(row: Row) -> str:
    return row.label.replace("|", r"\|")


def _head(column: Column) -> str:
    return f"{column.title} {ARROWS[column.better]}" if column.better in ARROWS else column.title


def _seen(cell: Cell) -> str:
    return _marked(cell, SIGNS, str, "[{}]")


def _marked(cell: Cell, wrap: dict[str, str], escape: Callable[[str], str], note: str) -> str:
    text = escape(cell.text if cell.mean is None else quantity(cell.mean, cell.error))
    marked = wrap.get(cell.mark, "{}").format(text)
    return f"{marked} {note.format(','.join(map(str, cell.notes)))}".strip() if cell.notes else marked


def _escape(text: str) -> str:
    return re.sub(".", lambda sign: LATEX.get(sign[0], sign[0]), text)
