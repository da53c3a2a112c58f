"""Blocks: a section is walked in reading order, and only paths with times move."""

import numpy as np

from genbench.report.blocks import List, Panel, Section, Table


def test_a_section_is_walked_in_reading_order():
    first, second, third = (Table(title, (), ()) for title in "abc")
    points = List("points", ())
    inner = Section("inner", (third,))
    section = Section("outer", ("text", first), (Section("middle", (second, points), (inner,)),))
    assert list(section.walk()) == ["text", first, second, points, third]
    assert list(section.tables()) == [first, second, third]


def test_samples_move_where_they_have_several_times():
    for times, moves in ((1, False), (5, True)):
        panel = Panel("cfm", 0, np.zeros((times, 3, 2), np.uint8), np.zeros((times, 4, 4), np.uint8))
        assert panel.moves == moves
