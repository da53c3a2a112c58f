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
