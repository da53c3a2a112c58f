"""Plots: charts have the means of the tables."""

import pytest
from helpers.reports import blocks, gathered, row

import genbench
from genbench.analysis.values import Cost
from genbench.report.blocks import Charts, Table
from genbench.report.plots import quality_vs_time


def test_a_grid_of_a_setting_is_drawn_with_level_lines_of_models_without_it(report):
    (charts,) = [block for block in blocks(report, Charts) if block.title == "Quality vs. kappa"]
    (table,) = [t for t in blocks(report, Table) if t.title == "moons"]
    chart = next(chart for chart in charts.charts if chart.title == "sliced_w2")
    column = [c.title for c in table.columns].index("sliced_w2")
    means = {row.label: row.cells[column].mean for row in table.rows}
    lines = {series.model: [(point.x, point.y) for point in series.points] for series in chart.series}
    assert lines["wcfm"] == [(0.5, means["wcfm kappa=0.5"]), (1.0, means["wcfm"]), (4.0, means["wcfm kappa=4.0"])]
    assert lines["cfm"] == [(0.5, means["cfm"]), (4.0, means["cfm"])]
    assert chart.floor == pytest.approx(means["real vs. real (floor)"])


def test_a_grid_of_constant_values_has_no_charts(tmp_path):
    settings = {"plan": {"steps": 2, "batch_size": 8}, "evaluation": {"n": 8, "curve": []}}
    for kappa in (0.5, 1.0, 2.0):
        chosen = {"model": {"kappa": kappa}, **settings}
        genbench.run("wcfm", "moons", metrics=["failed"], settings=chosen, results=tmp_path)
    assert all(block.charts for block in blocks(gathered(tmp_path)[0], Charts))


def test_evaluations_of_one_run_are_drawn_at_their_own_times():
    values = [row("cfm", 0, 3.0, run="cfm-0"), row("cfm guidance=1.0", 0, 2.0, run="cfm-0"), row("vp", 0, 1.0)]
    cost = {"data": "moons", "seed": 0, "peak_mib": 1.0, "steps_per_second": 1.0, "sample_seconds": 1.0}
    cost |= {"parameters": 9.0, "device": "cpu", "run": "cfm-0"}
    costs = [Cost(model=v.model, train_seconds=v.value, **cost) for v in values]
    (chart,) = quality_vs_time(values, costs, "w2").charts
    assert {one.model: one.points[0].x for one in chart.series} == {"cfm": 3.0, "cfm guidance=1.0": 2.0}
    assert quality_vs_time(values, [], "w2") is None
