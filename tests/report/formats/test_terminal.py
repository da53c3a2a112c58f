"""The terminal: the same numbers within its width; labels do not control it."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.records import run
from helpers.reports import cells_of, comparison_table, printed, refusal, three_seeds, wide_table
from helpers.reports import row as measured

from genbench.analysis.means import format_mean, mean_and_half
from genbench.analysis.values import load_suites
from genbench.report.formats.terminal import print_rows, print_runs, print_suite, show
from genbench.runs.store import Store


def test_a_terminal_shows_the_same_numbers_within_its_width():
    text = printed(show, [wide_table()], width=60)
    assert max(map(len, text.splitlines())) <= 60
    numbers = [format_mean(cell.mean, cell.half).replace(" ", "") for cell in cells_of(wide_table(), "cfm")]
    assert all(number in text for number in numbers)
    assert "[1]" not in text


def test_a_run_names_the_setting_that_decides_most_about_its_method_once():
    for label, model, settings in (
        ("wcfm kappa=elbow", "wcfm", {}),
        ("wcfm kappa=0.25", "wcfm", {"kappa": 0.25}),
        ("cfm", "cfm", {}),
    ):
        text = printed(print_runs, [run(model, 0, 1.0, settings=settings).record])
        assert [line.strip() for line in text.splitlines() if "seed 0" in line] == [f"{label} on moons, seed 0"]
    text = printed(print_runs, [run("cfm", seed, value).record for seed, value in enumerate((1.0, 2.0, 4.0))])
    assert "cfm on moons, seeds 0-2" in text
    assert format_mean(*mean_and_half([1.0, 2.0, 4.0])).replace(" ", "") in text
    assert text.count("w2 ↓") == 1


def test_the_training_of_a_run_includes_its_prerequisites():
    """A row said "trained in 10 s" of a model whose teacher had taken four minutes."""
    runs = [run("reflow", seed, 1.0).record for seed in range(2)]
    for record, total in zip(runs, (180.0, 300.0), strict=True):
        record["provenance"]["training"]["cost"]["total_train_seconds"] = total
    assert "trained in 3 min with its prerequisites, measured in" in printed(print_runs, runs[:1])
    assert "trained in 4 min each with its prerequisites, measured in" in printed(print_runs, runs)
    assert "trained in 2 s, measured in" in printed(print_runs, [run("cfm", 0, 1.0).record])
    runs[1]["provenance"]["training"]["cost"] = {}
    assert "trained in 3 min with its prerequisites" in printed(print_runs, runs)


def row(value, error, floor, **others):
    details = {} if error is None else {"standard_error": error}
    usual = {"metric": "w2", "n": 100, "protocol": "exact", "better": "lower", "point": "main", "nfe": None}
    return usual | {"value": value, "floor": floor, "details": details, "solver": None} | others


@pytest.mark.parametrize(
    ("better", "value", "verdict"),
    [("lower", 2.0, "worse"), ("lower", 0.0, "better"), ("higher", 2.0, "better"), ("higher", 0.0, "worse")]
    + [(better, 1.001, "not separated") for better in ("lower", "higher")],
)
def test_a_mean_is_judged_against_the_floor_by_its_interval(better, value, verdict):
    rows = [row(value + spread, None, 1.0, better=better) for spread in (-0.1, 0.0, 0.1)]
    assert printed(print_rows, rows, "title").splitlines()[3].rstrip().endswith(f"1  {verdict:>17}")


def test_a_single_run_is_not_judged_against_the_floor():
    """A perfect sampler was "worse" or "better" in 16 % of runs: the floor is one draw, with an error of its own."""
    text = printed(print_rows, [row(2.0, 0.1, 1.0), row(0.0, 0.1, 1.0, metric="nll")], "title")
    assert not [word for word in ("gainst the floor", "worse", "better") if word in text]
    several = [row(value, 0.1, 1.0, metric="nll") for value in (2.0, 2.1)]
    assert "against the floor" in printed(print_rows, [row(2.0, 0.1, 1.0), *several], "title")


@pytest.mark.parametrize(("spread", "verdict"), [(0.001, "worse"), (1.0, "not separated")])
def test_values_of_several_seeds_are_judged_by_their_differences_from_their_own_floors(spread, verdict):
    """Values and floors vary with the real data of a seed: their difference varies less."""
    rows = [row(9.0 * s + 0.1, None, 9.0 * s + spread * (s - 2)) for s in range(5)]
    assert printed(print_rows, rows, "title").splitlines()[3].rstrip().endswith(verdict)
    assert "by value - floor of each seed" in " ".join(printed(print_rows, rows, "title").split())
    rows[0]["floor"] = None
    assert not [word for word in (verdict, "gainst the floor") if word in printed(print_rows, rows, "title")]


def test_protocols_and_the_curve_are_printed_on_request():
    rows = [row(2.0, None, 1.0), row(3.0, None, 1.0, point="curve", nfe=4.0, solver="euler")]
    short, long = (printed(print_rows, rows, "title", full=full) for full in (False, True))
    assert not [text for text in ("exact", "NFE") if text in short]
    assert all(text in long for text in ("w2: exact, n=100", "(euler)", "NFE"))


def test_seeds_without_a_value_are_counted_with_their_reason_beside_the_mean_of_the_others():
    """A reason was printed only if the first seed had no value, and the mean was judged against the floor."""
    why = "7 of 64 samples are not finite"
    rows = [row(2.0 + s / 99, None, 1.0) if s in (0, 2) else row(None, None, None, reason=why) for s in range(4)]
    text = printed(print_rows, rows, "title")
    assert f"w2: without 2 of 4 seeds: {why}" in text
    assert "(2.01±" in text
    assert "worse" not in text


EVIL = "cfm\x1b[31m\x1b]0;title\x07\r\nx\x9b2J\u202e[bold]"


def test_no_label_reaches_the_terminal_as_a_command():
    rows = [*three_seeds(**{EVIL: [1, 2, 3]}), *(refusal("b", seed, EVIL, EVIL) for seed in range(3))]
    text = printed(show, [comparison_table(rows)], width=200)
    point = {"metric": EVIL, "value": 1.0, "floor": None, "n": 2, "protocol": EVIL, "better": "lower", "nfe": 2.0}
    rows = [point | {"point": "main", "solver": EVIL}, point | {"point": "curve", "solver": EVIL}]
    text += printed(print_rows, rows, EVIL, width=200, full=True)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert text.count("cfm x[bold]") >= 5


def test_a_suite_is_shown_with_notes_on_its_columns_only():
    """The notes below the table were on columns that were not there."""
    names = ("w2", "sliced_w2", "mmd", "energy_distance", "npe")
    values = [measured(model, s, 1 + s / 9, name, half=0.1) for name in names for model in ("a", "b") for s in range(3)]
    values += [refusal("a", 0, "it took too long", "detour")]
    suite = SimpleNamespace(values=values, failures=[], runs=[run("cfm", 0, 1.0)])
    text = printed(print_suite, suite, Path("results/tiny"))
    assert not [part for part in ("single evaluation", "took too long", "npe", "detour") if part in text]
    suite.values = [value for value in values if value.metric in names[:4]]
    text = printed(print_suite, suite, Path("results/tiny"))
    assert "single evaluation" in text  # with all columns, it is the only error of a suite with one seed


def test_a_suite_fits_a_screen(finished_sweep):
    (suite,) = load_suites(Store(finished_sweep / "r"))
    *lines, where, report = printed(print_suite, suite, finished_sweep / "r/tiny").splitlines()
    assert len(lines) < 37
    assert all(len(line) <= 80 for line in lines)
    assert where == f"all columns and tables: {finished_sweep / 'r/tiny/table.md'}"
    assert report.startswith("next: genbench report --results ")
