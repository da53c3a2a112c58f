"""Tracks of the package with their published records, and their tests of pairs."""

from functools import cache

from genbench.report.track_board import track_board
from genbench.runs.store import Store
from genbench.suites import FOLDER, find


@cache
def published(track, settings="default"):
    """Return the board of a track, without results of this checkout."""
    return track_board(find(track), Store(FOLDER / "no results"), settings)


def pairs_of(board, data, nfe=None, steps=2000):
    return next(each.pairs for each in board.heat(steps, nfe).contests if each.data == data)


def with_heat(board, heat, **changes):
    """Return the board with a changed heat."""
    return board._replace(heats=tuple(each._replace(**changes) if each is heat else each for each in board.heats))


def with_cell(board, heat, data, model, **changes):
    """Return the board with a changed cell of a heat."""
    contests = [
        each._replace(cells=each.cells | {model: each.cells[model]._replace(**changes)}) if each.data == data else each
        for each in heat.contests
    ]
    return with_heat(board, heat, contests=tuple(contests))
