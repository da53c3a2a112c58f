"""LaTeX: tables for the package booktabs."""

import unicodedata

from genbench.analysis.labels import plain
from genbench.report.blocks import Cell, Report, Table
from genbench.report.formats.cells import MARKS, cell_text, heading, panels, used_marks

PREAMBLE = r"% needs \usepackage{booktabs}"
WRAP = {"best": r"\textbf{{{}}}", "tie": r"\textit{{{}}}"}
PLAIN = {"best": "* {}", "tie": "~ {}"}  # the width of a panel is that of its text in a terminal
ESCAPES = {
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
    "µ": r"$\mu$",
    "–": "--",
    "…": r"\dots{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
ACCENTS = dict(zip("\u0300\u0301\u0302\u0303\u0308\u030a\u030c\u0327\u0304\u0306\u0307", "`'^~\"rvc=u.", strict=True))
"""Combining characters, and the commands of LaTeX."""
GREEK = " alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi chi psi omega "


def table(drawn: Table, *, width: int = 100) -> str:
    """Write a table; columns beyond the width, in characters, continue in a second tabular."""
    lines = [r"\begin{table}", r"  \centering", rf"  \caption{{{_escape(drawn.title)}}}"]
    for columns, rows in panels(drawn, lambda cell: cell_text(cell, PLAIN), width):
        lines += [rf"  \begin{{tabular}}{{l{'r' * len(columns)}}}", r"    \toprule"]
        lines.append("    " + " & ".join([_escape(drawn.head), *(_escape(heading(c)) for c in columns)]) + r" \\")
        lines.append(r"    \midrule")
        for row in rows:
            lines.append("    " + " & ".join([_escape(row.label), *map(_cell, row.cells)]) + r" \\")
            lines += [r"    \midrule"] * row.floor
        lines += [r"    \bottomrule", r"  \end{tabular}", r"  \par\medskip"]
    below = [rf"$^{{{i}}}$ {_escape(note)}" for i, note in enumerate(drawn.notes, 1)]
    below += [_escape(line) for line in drawn.legend]
    below += [f"{WRAP[m].format(m.capitalize())}: {_escape(MARKS[m])}." for m in used_marks(drawn)]
    if below:
        lines += [r"  \begin{minipage}{\linewidth}\footnotesize\raggedright", "    " + " \\\\\n    ".join(below)]
        lines.append(r"  \end{minipage}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def document(report: Report) -> str:
    """Write all tables of a report, section by section."""
    parts = [PREAMBLE]
    for section in report.sections:
        parts += [f"% {section.title}", *map(table, section.tables())]
    return "\n".join(parts)


def _cell(cell: Cell) -> str:
    return cell_text(cell, WRAP, _escape, "$^{{{}}}$")


def _escape(text: str) -> str:
    return "".join(map(_sign, plain(text)))


def _sign(sign: str) -> str:
    """Write a character so that every LaTeX compiles it; one that plain LaTeX lacks by its number."""
    if sign in ESCAPES or sign.isascii():
        return ESCAPES.get(sign, sign)
    name, parts = unicodedata.name(sign, ""), unicodedata.normalize("NFD", sign)
    letter = name.removeprefix("GREEK SMALL LETTER ").lower().replace("lamda", "lambda")
    if f" {letter} " in GREEK:
        return rf"$\{letter}$"
    if len(parts) == 2 and parts[0].isascii() and parts[1] in ACCENTS:
        return rf"\{ACCENTS[parts[1]]}{{{parts[0]}}}"
    compatible = unicodedata.normalize("NFKC", sign)
    return compatible if compatible.isascii() and compatible.isalnum() else rf"\texttt{{U+{ord(sign):04X}}}"
