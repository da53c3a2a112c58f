"""Tracks of the package with their published records, and their tests of pairs."""

from genbench.report.track_board import track_board
from genbench.runs.store import Store
from genbench.suites import find


def published(track, folder, settings="default"):
    return track_board(find(track), Store(folder), settings)


def pairs_of(board, data, nfe=None, steps=2000):
    return next(each.pairs for each in board.heat(steps, nfe).contests if each.data == data)
