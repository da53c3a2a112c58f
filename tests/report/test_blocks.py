"""Blocks: a section is walked in reading order."""

from genbench.report.blocks import Section, Table


def test_a_section_is_walked_in_reading_order():
    first, second, third = (Table(title, (), ()) for title in "abc")
    section = Section("outer", ("text", first), (Section("middle", (second, "points"), (Section("in", (third,)),)),))
    assert list(section.walk()) == ["text", first, second, "points", third]
    assert list(section.tables()) == [first, second, third]
