"""Scaling: exponents of known power laws, and their section in a report."""

import pytest
from rich.console import Console

import genbench
from genbench.report import publish
from genbench.report.blocks import Charts, Table
from genbench.runs.store import Store
from genbench.studies import scaling
from genbench.studies.sections import sections

TINY = {"plan": {"steps": 2, "batch_size": 8}, "evaluation": {"n": 8, "curve": []}}


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 3.0])
def test_the_exponent_of_a_power_law_ignores_the_overhead_of_small_sizes(power):
    sizes = [2.0**k for k in range(8)]
    exact = [3 * size**power for size in sizes]
    assert scaling.exponent(sizes, exact) == pytest.approx(power)
    flat_first = [max(value, exact[4]) for value in exact]
    assert scaling.exponent(sizes[::-1], flat_first[::-1]) == pytest.approx(power)


def test_too_few_sizes_have_no_exponent():
    assert scaling.exponent([1.0, 2.0], [1.0, 2.0]) is None
    assert scaling.exponent([1.0, 2.0, 4.0], [0.0, 0.0, 0.0]) is None


def test_a_report_has_the_measured_exponents(tmp_path):
    assert not sections(tmp_path)
    lines = [f"w2,samples,{n},{1e-6 * n**2},{n / 50}" for n in (256, 512, 1024, 2048)]
    lines += [f"tiny,samples,{n},{1e-6 * n},0.5" for n in (1, 2, 4)]
    (tmp_path / scaling.FILE).write_text("\n".join(["work,against,size,seconds,mib", *lines]) + "\n")
    (section,) = sections(tmp_path)
    table, charts = section.blocks
    assert isinstance(table, Table)
    assert isinstance(charts, Charts)
    assert [(row.label, *(cell.text for cell in row.cells)) for row in table.rows] == [
        ("w2", "samples", "256 to 2048", "2.00", "1.00", "4.19 s", "41 MiB"),
        ("tiny", "samples", "1 to 4", "1.00", "-", "4 µs", "0 MiB"),
    ]
    assert [len(chart.series[0].points) for chart in charts.charts] == [4, 3]


def test_page_and_figures_include_the_scaling_charts(tmp_path):
    genbench.run("cfm", "moons", metrics=["failed"], settings=TINY, results=tmp_path)
    lines = [f"w2,samples,{n},{1e-6 * n**2},{n}" for n in (256, 512, 1024)]
    (tmp_path / scaling.FILE).write_text("\n".join(["work,against,size,seconds,mib", *lines]) + "\n")
    paths = {"page_path": tmp_path / "report.html", "figures_folder": tmp_path / "figures"}
    publish.publish_report(Store(tmp_path), Console(quiet=True), more=sections(tmp_path), **paths)
    (page,) = (tmp_path / "report").glob("*-scaling.html")
    assert "w2: exponent 2.00" in page.read_text()
    assert (tmp_path / "figures/scaling.svg").stat().st_size > 1000
