"""The terminal: the same numbers within its width."""

import io

from reports import cells_of, wide_table
from rich.console import Console

from genbench.report.formats.terminal import show
from genbench.report.statistics import format_mean


def test_a_terminal_shows_the_same_numbers_within_its_width():
    console = Console(width=60, file=io.StringIO(), force_terminal=False)
    show([wide_table()], console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 60
    numbers = [format_mean(cell.mean, cell.error) for cell in cells_of(wide_table(), "cfm")]
    assert all(number in text for number in numbers)
    assert f"* {numbers[0]}" in text  # marked without styles
    assert "* better than every other model of the column." in text
    assert "[1]" not in text
