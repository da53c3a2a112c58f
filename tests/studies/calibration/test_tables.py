"""Tables of a calibration state the number of samples that a fault needs."""

from genbench.report.blocks import Charts, Table
from genbench.studies.calibration import tables
from genbench.studies.calibration.power import TRUE


def row(metric, sampler, **found):
    about = {"fault": "shifted by {:g}", "size": 1} if sampler != TRUE else {}
    return {"task": "digits", "metric": metric, "sampler": sampler, **about, **found}


ROWS = [
    row(
        "a",
        TRUE,
        n=[10, 20],
        alarms=[0.04, 0.06],
        alarms_sd=[0.01, 0.01],
        mean=[2.0, 1.0],
        sd=[0.1, 0.1],
        seconds=[0.5, 1.0],
    ),
    row(
        "b",
        TRUE,
        n=[10, 20],
        alarms=[0.0, 0.0],
        alarms_sd=[0.01, 0.01],
        mean=[1.0, 1.0],
        sd=[0.0, 0.0],
        seconds=[0.5, 1.0],
    ),
    row("a", "shifted by 1", n=[10, 20], power=[0.5, 0.95], mean=[3.0, 2.0]),
    row("b", "shifted by 1", n=[10, 20], power=[0.0, 0.1], mean=[1.0, 1.0]),
]


def test_tables_and_charts_of_a_task():
    needed, true, drawn = tables.blocks(ROWS)
    assert isinstance(needed, Table)
    assert isinstance(drawn, Charts)
    assert [[cell.text for cell in r.cells] for r in needed.rows] == [["20", "> 20"]]
    assert [cell.text for cell in true.rows[0].cells] == ["5.0% ± 1.4%", "2.00 ± 0.10", "1.00 ± 0.10", "1"]
    assert "1 of 2 deviate more" in true.legend[0]
    (chart,) = drawn.charts
    assert chart.title == "shifted by 1"
    assert {series.model: [p.y for p in series.points] for series in chart.series} == {"a": [0.5, 0.95], "b": [0, 0.1]}


def test_a_folder_without_calibration_has_no_blocks(tmp_path):
    assert tables.section(tmp_path) == ()
