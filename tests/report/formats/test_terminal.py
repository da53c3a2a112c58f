"""The terminal: the same numbers within its width; labels do not control it."""

import io
import re

import pytest
from helpers.records import run
from helpers.reports import cells_of, comparison_table, refusal, three_seeds, wide_table
from rich.console import Console

from genbench.analysis.means import format_mean, mean_and_half
from genbench.analysis.values import load_suites
from genbench.report.formats.terminal import print_rows, print_runs, print_suite, show
from genbench.runs.store import Store


def test_a_terminal_shows_the_same_numbers_within_its_width():
    console = Console(width=60, file=io.StringIO(), force_terminal=False)
    show([wide_table()], console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 60
    numbers = [format_mean(cell.mean, cell.half).replace(" ", "") for cell in cells_of(wide_table(), "cfm")]
    assert all(number in text for number in numbers)
    assert "[1]" not in text


def test_a_run_names_the_setting_that_decides_most_about_its_method_once():
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    for settings in ({}, {"kappa": 0.25}):
        print_runs([run("wcfm", 0, 1.0, settings=settings).record], console)
    print_runs([run("cfm", 0, 1.0).record], console)
    titles = [line.strip() for line in console.file.getvalue().splitlines() if "seed 0" in line]
    assert titles == [f"{model} on moons, seed 0" for model in ("wcfm kappa=elbow", "wcfm kappa=0.25", "cfm")]
    print_runs([run("cfm", seed, value).record for seed, value in enumerate((1.0, 2.0, 4.0))], console)
    printed = console.file.getvalue().partition("cfm on moons, seeds 0-2")[2]
    assert format_mean(*mean_and_half([1.0, 2.0, 4.0])).replace(" ", "") in printed
    assert printed.count("w2 ↓") == 1


def row(value, error, floor, **others):
    details = {} if error is None else {"standard_error": error}
    usual = {"metric": "w2", "n": 100, "protocol": "exact", "better": "lower", "point": "main", "nfe": None}
    return usual | {"value": value, "floor": floor, "details": details, "solver": None} | others


@pytest.mark.parametrize(
    ("better", "value", "verdict"),
    [("lower", 2.0, "worse"), ("lower", 0.0, "better"), ("higher", 2.0, "better"), ("higher", 0.0, "worse")]
    + [(better, 1.1, "not separated") for better in ("lower", "higher")],
)
def test_a_value_is_judged_against_the_floor_by_its_interval(better, value, verdict):
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    print_rows([row(value, 0.1, 1.0, better=better)], "title", console)
    assert console.file.getvalue().splitlines()[3].rstrip().endswith(f"1  {verdict:>17}")


def test_protocols_and_the_curve_are_printed_on_request():
    short, long = (Console(width=80, file=io.StringIO(), force_terminal=False) for _ in range(2))
    rows = [row(2.0, None, 1.0), row(3.0, None, 1.0, point="curve", nfe=4.0, solver="euler")]
    print_rows(rows, "title", short)
    print_rows(rows, "title", long, full=True)
    assert not [text for text in ("exact", "NFE") if text in short.file.getvalue()]
    assert all(text in long.file.getvalue() for text in ("w2: exact, n=100", "(euler)", "NFE"))


EVIL = "cfm\x1b[31m\x1b]0;title\x07\r\nx\x9b2J\u202e[bold]"


def test_no_label_reaches_the_terminal_as_a_command():
    console = Console(width=200, file=io.StringIO(), force_terminal=False)
    rows = [*three_seeds(**{EVIL: [1, 2, 3]}), *(refusal("b", seed, EVIL, EVIL) for seed in range(3))]
    show([comparison_table(rows)], console)
    point = {"metric": EVIL, "value": 1.0, "floor": None, "n": 2, "protocol": EVIL, "better": "lower", "nfe": 2.0}
    rows = [point | {"point": "main", "solver": EVIL}, point | {"point": "curve", "solver": EVIL}]
    print_rows(rows, EVIL, console, full=True)
    printed = console.file.getvalue()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", printed)
    assert printed.count("cfm x[bold]") >= 5


def test_a_suite_fits_a_screen(finished_sweep):
    (suite,) = load_suites(Store(finished_sweep / "r"))
    out = io.StringIO()
    print_suite(suite, finished_sweep / "r/tiny", Console(file=out, width=80))
    *lines, where, compare, report = out.getvalue().splitlines()
    assert len(lines) < 37
    assert all(len(line) <= 80 for line in lines)
    assert where.endswith("table.md")
    assert compare.startswith("next: genbench compare cfm 'wcfm kappa=0.5' --dataset moons --results ")
    assert report.startswith("next: genbench report --results ")
