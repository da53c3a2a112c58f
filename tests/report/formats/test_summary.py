"""The summary of a suite: the best model by each metric, within a screen."""

import io

from helpers.reports import row, three_seeds, wide_table
from rich.console import Console

from genbench.analysis.suite_results import load_suites
from genbench.report.formats.summary import METRICS, best_by_metric, print_suite
from genbench.report.tables import comparison_tables
from genbench.runs.store import Store


def measured(metric, better="lower", **values):
    return [row(model, seed, v, metric, better=better) for model, own in values.items() for seed, v in enumerate(own)]


def test_the_best_mean_of_each_metric_but_the_headline_is_named_with_a_star_where_it_is_better():
    values = measured("w2", cfm=[1.0, 1.1, 1.2], otcfm=[2.0, 2.1, 2.3])
    values += measured("mmd", cfm=[1.0, 1.1, 1.2], otcfm=[9.0, 9.1, 9.3])
    values += measured("score", "higher", cfm=[1.0, 2.0, 3.0], otcfm=[3.5, 1.0, 2.0])
    found = best_by_metric(comparison_tables(values, ()), {"moons": "w2"}, 80)
    assert {line.label: line.cells[0].text for line in found.rows} == {"mmd ↓": "cfm 1.1*", "score ↑": "otcfm 2.17"}
    assert found.legend == ("*: better than every other model by paired tests.",)


def test_what_does_not_fit_is_counted():
    found = best_by_metric([wide_table()], {}, 80)
    assert len(found.rows) == METRICS
    assert any("1 other metrics" in line or "2 other metrics" in line for line in found.legend)
    assert best_by_metric(comparison_tables(three_seeds(cfm=[1.0, 1.1, 1.2]), ()), {"moons": "w2"}, 80) is None


def test_a_suite_fits_a_screen(finished_sweep):
    (suite,) = load_suites(Store(finished_sweep / "r"))
    out = io.StringIO()
    print_suite(suite, finished_sweep / "r/tiny", Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert len(lines) < 40
    assert all(len(line) <= 80 for line in lines[:-1])
    assert lines[-1].endswith("cost.md")
