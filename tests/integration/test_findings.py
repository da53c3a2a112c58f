"""Findings of tracks, from their published records, with what would refute them."""

import pytest

from genbench.report.track_board import track_board
from genbench.runs.store import Store
from genbench.suites import find

LOSSES = ("meanflow", "shortcut", "consistency", "lagrangian", "tvm", "eulerian", "progressive", "alphaflow")


def published(track, folder):
    return track_board(find(track), Store(folder))


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    return published("maps-v1", tmp_path_factory.mktemp("none"))


def contest(board, nfe):
    return board.heat(2000, nfe).contests[0]


def row(loss, coupling=""):
    return f"{loss} coupling={coupling} steps=32" if coupling else f"{loss} steps=32"


def test_semidiscrete_pairs_are_better_than_independent_pairs_for_every_loss(board):
    better = {
        nfe: [loss for loss in LOSSES if contest(board, nfe).pairs.beats(row(loss, "semidiscrete"), row(loss))]
        for nfe in (1, 2, 4)
    }
    assert [len(better[nfe]) for nfe in (1, 2, 4)] == [5, 8, 8]
    assert {*LOSSES} - {*better[1]} == {"consistency", "lagrangian", "tvm"}  # consistency has no sample of one step


def test_one_flow_map_alone_is_ahead_of_sdcfm_and_lagrangian_not_separated_from_progressive(board):
    for nfe in (1, 2, 4):
        pairs = contest(board, nfe).pairs
        assert [model for model in pairs.letters if pairs.beats(model, "sdcfm")] == [row("alphaflow", "semidiscrete")]
    pairs = contest(board, 1).pairs
    assert not pairs.beats(row("lagrangian"), row("progressive"))
    assert not pairs.beats(row("progressive"), row("lagrangian"))


def test_longer_training_takes_the_lead_from_sdcfm_and_leaves_wcfm_behind(tmp_path):
    plane = published("plane-v1", tmp_path)
    short, long = (
        next(each.pairs for each in plane.heat(steps, None).contests if each.data == "checkerboard")
        for steps in (2000, 20_000)
    )
    assert short.beats("sdcfm", "cfm")
    assert not long.beats("sdcfm", "cfm")
    assert short.beats("cfm", "wcfm")
    assert long.beats("cfm", "wcfm")
