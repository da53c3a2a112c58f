"""The leaderboard as a table: real data, then a row for each method. A cell without a value says why, in words."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from genbench.analysis.dataset_board import BASELINE, Board
from genbench.analysis.effects import Effects, Summary
from genbench.analysis.labels import counted, distinct
from genbench.analysis.leaderboard import Leaderboard
from genbench.analysis.means import LEVEL, mean_and_half
from genbench.analysis.values import group_by
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.tables import compared_cell

TASKS, METHODS = 4, 9
"""Data sets and methods of the table, where neither suites nor data sets are asked for: it fits a screen."""
WIDTH = 20
"""Characters of the name of a data set, at most."""
FLOOR = "real data"
NAMED = 6
"""Things of a kind that are named below the table; others are counted."""


def leaderboard_table(found: Leaderboard, most: int | None = None) -> Table:
    """Return the table of the boards that are shown, with the effects across them.

    Args:
        most: number of methods, all by default; others are named below.
    """
    boards, summaries = found.boards[: found.shown], {summary.method: summary for summary in found.effects.summaries}
    methods, across = found.methods, len(found.effects.scored) > 1
    notes: dict[str, int] = {}
    columns = [Column(f"excess, {BASELINE} = 1", "lower")] if across else []
    curves = any(board.nfe(method) is not None for board in boards for method in methods)
    columns += [Column("NFE", "lower")] if curves else []
    columns += _task_columns(boards)
    rows = []
    for method in methods[:most]:
        cells = [_excess(summaries.get(method))] if across else []
        cells += [_nfe(boards, method)] if curves else []
        rows.append(Row(method, (*cells, *(_cell(board, method, notes) for board in boards))))
    floor = [Cell()] * (across + curves) + [_floor(board) for board in boards]
    if any(cell.mean is not None for cell in floor):
        rows.insert(0, Row(FLOOR, tuple(floor), floor=True))
    aside = any(cell.aside for row in rows for cell in row.cells)
    rest = [] if most is None else methods[most:]
    legend = (_reading(found, across, curves, aside), _tasks(found, rest)) if boards else ()
    return Table("Leaderboard", tuple(columns), tuple(rows), (*legend, *_apart(found)), tuple(notes), head="method")


def task_tables(found: Leaderboard, width: int) -> Iterator[Table]:
    """Yield tables of the boards that are not in the table, some at a time."""
    rest = iter(found.boards[found.shown :])
    while boards := tuple(islice(rest, width)):
        alone = Leaderboard(boards, len(boards), Effects((), (), ()), 0)
        yield replace(leaderboard_table(alone), title="Other data")


def _task_columns(boards: Sequence[Board]) -> list[Column]:
    short = distinct((board.data for board in boards), WIDTH)
    return [Column(short[b.data], b.better, f"{b.data}: {b.metric}, {_budget(b)}; {b.protocol}") for b in boards]


def _budget(board: Board) -> str:
    return f"{board.budget}, {counted(len(board.seeds), 'seed')}"


def _cell(board: Board, method: str, notes: dict[str, int]) -> Cell:
    entry = board.entry(method)
    if entry is None:
        return Cell(text="missing")
    settings = " ".join([entry.stated, *entry.label.removeprefix(entry.method).split()]).strip()
    if not entry.values:
        word, _, reason = entry.note.partition(": ")
        number = (notes.setdefault(reason, len(notes) + 1),) if reason else ()
        return Cell(text=word, notes=number)
    numbers = tuple(notes.setdefault(text, len(notes) + 1) for text in (entry.note, settings) if text)
    cell = compared_cell(entry.values, board.pairs, method)
    return replace(cell, notes=numbers, aside=not entry.compared)


def _floor(board: Board) -> Cell:
    values = tuple(sorted(board.floor.items()))
    return Cell(*mean_and_half([value for _, value in values]), values=values) if values else Cell()


def _excess(summary: Summary | None) -> Cell:
    if summary is None or summary.ratio is None:
        lacks = summary.lacks if summary else ()
        return Cell(text="" if not lacks else f"lacks {lacks[0] if len(lacks) == 1 else f'{len(lacks)} tasks'}")
    interval = f" ({summary.low:.2f}-{summary.high:.2f})" if summary.low != summary.high else ""
    return Cell(summary.ratio, text=f"{summary.ratio:.2f}{interval}", letters=summary.letters)


def _nfe(boards: Sequence[Board], method: str) -> Cell:
    """Return the range over tasks of the NFE at which a method reaches the target."""
    known = [nfe for board in boards if (nfe := board.nfe(method)) is not None]
    reached = [found for found in known if found.nfe < math.inf]
    ends = (min(reached), max(reached)) if reached else ()
    text = "-".join(dict.fromkeys(f"{'≤' * found.at_most}{found.nfe:.0f}" for found in ends))
    if len(reached) < len(known):
        text = f"{text}, never on {len(known) - len(reached)}" if reached else "never"
    return Cell(text=text or "-")


def _reading(found: Leaderboard, across: bool, curves: bool, aside: bool) -> str:
    """Return how to read the table, in a sentence."""
    boards, effects = found.boards[: found.shown], found.effects
    reading = "Mean ± half its 95 % interval over seeds"
    if any(len(letters) for board in boards for letters in board.pairs.letters.values()):
        reading += (
            "; methods of a column that share a letter are not separated (paired t, Holm's correction over all pairs, "
            f"{100 * LEVEL:g} %)"
        )
    elif any(len(board.pairs.order) > 1 for board in boards):
        reading += "; too few seeds to compare methods"
    if any(board.pairs.at_floor for board in boards):
        reading += "; ° at the floor or better"
    if aside:
        reading += "; in parentheses: measured otherwise, not compared"
    if across:
        reading += (
            f"; excess: value - floor as a multiple of {BASELINE}'s, geometric mean over {len(effects.scored)} tasks, "
            "95 % t interval over tasks"
        )
    if effects.unscored and across:
        reading += f", without {', '.join(effects.unscored)}, where {BASELINE} is not clearly above the floor"
    if curves:
        of = ", ".join(dict.fromkeys(board.curve for board in boards if board.curve))
        reading += f"; NFE: where a curve (of {of}) reaches {BASELINE}'s converged excess + 10 %"
        if any(nfe.at_most for board in boards for m in found.methods if (nfe := board.nfe(m))):
            reading += ", ≤: already with the fewest evaluations that were measured"
    return f"{reading}."


def _tasks(found: Leaderboard, methods: Sequence[str]) -> str:
    """Return what the tasks of the table are, and what it does not show, in a sentence."""
    boards = found.boards[: found.shown]
    short = distinct((board.data for board in boards), WIDTH)
    alike = group_by(boards, lambda b: f"{b.metric}, {_budget(b)}")
    parts = [f"{', '.join(short[b.data] for b in own)}: {text}" for text, own in alike.items()]
    files = [short[board.data] for board in boards if not board.original]
    parts += [f"files, not published originals: {', '.join(files)}"] if files else []
    numbers = {"other data set": (len(found.boards) - found.shown, "--dataset")}
    numbers["other setting"] = found.variants, "--variants"
    left = [_named(methods)] if methods else []
    left += [f"{counted(number, noun)} ({option})" for noun, (number, option) in numbers.items() if number]
    parts += [f"not shown: {', '.join(left)}"] if left else []
    return f"{'; '.join(parts)}."


def _apart(found: Leaderboard) -> list[str]:
    """Return which runs failed, and which seeds of submissions were confirmed."""
    failed = [f"{f.model} on {f.data} ({f.failed} of {counted(f.seeds, 'seed')})" for f in found.failed]
    texts = [f"Failed: {_named(failed)}."] if failed else []
    return [*texts, *(f"{each.model} on {each.data}: {each}." for each in found.submitted)]


def _named(names: Sequence[str]) -> str:
    more = [f"{len(names) - NAMED} more (--json)"] if len(names) > NAMED else []
    return ", ".join([*names[:NAMED], *more])
