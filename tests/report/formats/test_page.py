"""The report without a browser: whole, complete, self-contained, and the same for the same records."""

import gzip
import io
import itertools
import re
import shutil
import xml.etree.ElementTree as ET

import html5lib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from reports import DIGITS, gathered, make
from rich.console import Console

import genbench
from genbench.metrics.noise import noise
from genbench.report.blocks import (
    Axis,
    Cell,
    Chart,
    Charts,
    Column,
    Flow,
    Gallery,
    List,
    Point,
    Row,
    Series,
    Table,
)
from genbench.report.formats import csv, figures, latex, markdown, palette, svg
from genbench.report.formats.page import page
from genbench.report.publish import publish_suite
from genbench.report.samples import DENSITY_SAMPLES, POINTS
from genbench.report.suites import load_suites
from genbench.runs.spec import build_data, resolve
from genbench.runs.store import Store
from genbench.seeds import derive


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return make(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def report(results):
    return gathered(results)[0]


@pytest.fixture(scope="module")
def tree(report):
    """The page, by a parser that forgives nothing."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page(report))


def text(element):
    return "".join(element.itertext())


def blocks(report, kind):
    return [block for section in report.sections for block in section.walk() if isinstance(block, kind)]


def tables(report):
    return [table for section in report.sections for table in section.tables()]


def test_the_page_is_whole_and_its_ids_are_unique_and_lead_somewhere(tree):
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    goals = {element.get("href")[1:] for element in tree.iter("a")}
    rows = {element.get("data-row") for element in tree.iter("a") if element.get("data-row")}
    assert goals <= set(ids)
    assert rows
    assert rows <= set(ids)


def test_the_page_asks_nobody_for_anything(tree, report):
    for element in tree.iter():
        for name, value in element.attrib.items():
            if (name[1] if isinstance(name, tuple) else name) in ("src", "href", "srcset", "action", "data"):
                assert value.startswith(("#", "data:")), value
    assert not re.search(r"url\((?!#)|@import|\bfetch\(|XMLHttpRequest|import\(", page(report))
    assert len(page(report)) < 1_000_000


def test_every_number_of_every_table_is_in_the_page_without_javascript(tree, report):
    drawn = {element.get("data-name"): element for element in tree.iter("table") if element.get("data-name")}
    checked = 0
    for table in tables(report):
        body = drawn[table.title].find("tbody")
        for row, shown in zip(table.rows, body, strict=True):
            assert text(shown[0]).strip() == row.label
            for cell, place in zip(row.cells, shown[1:], strict=True):
                if cell.mean is None:
                    assert cell.text in text(place)
                    continue
                number = next(e for e in place.iter("span") if e.get("class") == "n")
                said = text(number).replace(" ", "")
                mean, _, error = said.strip("(").replace(")", "").partition("±")
                power = 10 ** float(said.partition(")e")[2] or 0)
                error = error.partition("e")[0] if ")e" in said else error
                assert float(mean) * power == pytest.approx(cell.mean, abs=(cell.error or 0) / 10, rel=1e-3)
                if cell.error:
                    assert float(error) * power == pytest.approx(cell.error, rel=0.06)
                checked += 1
    assert checked > 30


def test_every_value_of_every_seed_is_in_the_page(tree, report):
    rows = {element.get("id"): element for element in tree.iter("tr") if element.get("id")}
    (table,) = [t for t in blocks(report, Table) if t.title == "moons"]
    (drawn,) = [e for e in tree.iter("table") if e.get("data-name") == "moons"]
    checked = 0
    for row, shown in zip(table.rows, drawn.find("tbody"), strict=True):
        for cell, place in zip(row.cells, shown[1:], strict=True):
            for link in place.iter("a"):
                values = [float(text(value)) for value in rows[link.get("data-row")][2:]]
                assert values == pytest.approx([value for _, value in cell.values], rel=1e-5)
                checked += 1
    assert checked >= 10


def test_the_origin_of_a_number_tells_how_to_make_it_again(tree, report):
    origin = next(e for e in tree.iter("details") if (e.get("id") or "").endswith("origin-1"))
    said = text(origin)
    for part in ("genbench run --model wcfm --dataset moons", "kappa", "seed 1", "moons, drawn", "torch", "cpu"):
        assert part in said


def test_equal_records_give_equal_bytes(results, report):
    again, chapters, _ = gathered(results)
    assert page(again) == page(report)
    assert markdown.document(again) == markdown.document(report)
    assert csv.document(chapters) == csv.document(gathered(results)[1])


def test_failed_and_unsupported_cells_say_why(report, tree):
    items = [item for points in blocks(report, List) for item in points.items]
    assert "otcfm: 1 run failed: the field is not finite at step 3" in items
    assert any("tarflow" in item and "straightness: its samples do not follow an ODE" in item for item in items)
    for item in items:
        assert item in text(tree)
        assert item in markdown.document(report)


def test_published_records_alone_give_the_same_tables_and_pictures(results, report, tmp_path):
    _, _, drawings = gathered(results)
    for kept in drawings:
        kept.save()
    shutil.copytree(results / "tiny", tmp_path / "tiny")
    alone, chapters, _ = gathered(tmp_path)
    assert [chapter.name for chapter in chapters] == ["tiny"]
    ours, theirs = report.sections[0].sections[0], alone.sections[0].sections[0]
    assert theirs.blocks == ours.blocks
    assert [type(block) for block in theirs.walk()] == [type(block) for block in ours.walk()]
    (flow,) = blocks(alone, Flow)
    for one, other in zip(flow.panels, blocks(report, Flow)[0].panels, strict=True):
        np.testing.assert_array_equal(one.paths, other.paths)
    costs = [t for t in tables(alone) if "cost" in t.title]
    assert costs == [t for t in tables(report) if "cost" in t.title and "moons" in t.title]
    (tmp_path / "tiny/drawings.npz").unlink()
    bare = markdown.document(gathered(tmp_path)[0])
    assert "weights are not kept here" in bare
    assert "training logs are not kept here" in bare


def test_published_records_of_images_name_no_folder_and_hold_where_the_images_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "home"))
    (tmp_path / "photos").mkdir()
    for i in range(20):
        Image.fromarray(np.full((8, 8, 3), 12 * i, np.uint8)).save(tmp_path / "photos" / f"{i}.png")
    store = Store(tmp_path / "results")
    settings = DIGITS | {"data": {"path": str(tmp_path / "photos"), "size": 8}}
    spec = resolve("cfm", "folder", metrics=["failed"], settings=settings)
    genbench.run("cfm", "folder", metrics=["failed"], settings=settings, results=store.root)
    (records,) = [path for path in publish_suite("photos", [spec], store, Console(quiet=True)) if path.suffix == ".gz"]
    assert str(tmp_path) not in gzip.decompress(records.read_bytes()).decode()
    for gone in (store.root / "runs", tmp_path / "photos"):
        shutil.rmtree(gone)
    (chapter,) = load_suites(store)
    assert [kept.record["results"][0]["value"] for kept in chapter.runs] == [0]


def test_damaged_drawings_are_drawn_again(results, report):
    path = results / "tiny/drawings.npz"
    path.write_bytes(b"PK\3\4 and no more")
    again, _, drawings = gathered(results)
    assert page(again) == page(report)
    assert path in drawings[0].save()
    assert gathered(results)[2][0].kept


def test_points_end_where_the_model_takes_them(results, report):
    (flow,) = blocks(report, Flow)
    panel = next(panel for panel in flow.panels if panel.label == "cfm")
    run = next(path for path in (results / "runs").glob("cfm-moons-0-*"))
    model = genbench.load(run)
    data = build_data({"name": "moons", "version": 1})
    with torch.no_grad():
        x = data.space.decode(model.sample(noise(model.source, DENSITY_SAMPLES, derive(0, "picture"))).x)[
            :POINTS
        ].numpy()
    left, right, bottom, top = flow.frame
    inside = (x[:, 0] > left) & (x[:, 0] < right) & (x[:, 1] > bottom) & (x[:, 1] < top)
    assert inside.mean() > 0.8
    drawn = panel.paths[-1] / 255 * [right - left, bottom - top] + [left, top]
    np.testing.assert_allclose(drawn[inside], x[inside], atol=0.51 * (right - left) / 255 + 1e-3)
    assert panel.moves
    assert not next(panel for panel in flow.panels if panel.label.startswith("tarflow")).moves


def test_a_density_is_where_the_points_are(report):
    (flow,) = blocks(report, Flow)
    for panel in (flow.data, *flow.panels):
        size = panel.density.shape[-1]
        for points, density in zip(panel.paths, panel.density, strict=True):
            inner = points.astype(int)[((points > 8) & (points < 247)).all(1)] * size // 256
            assert (density[inner[:, 1], inner[:, 0]] > 0).mean() > 0.95
    assert flow.data.density.max() == 255


def test_samples_of_images_are_the_kept_ones(results, report):
    (gallery,) = blocks(report, Gallery)
    sheets = dict(gallery.grids)
    (kept,) = [path for path in (results / "runs").glob("cfm-digits-*/*/samples.npz")]
    with np.load(kept) as arrays:
        image = arrays["samples"][11, 0]
    label = next(label for label in sheets if label.startswith("cfm"))
    np.testing.assert_array_equal(sheets[label][9:17, 9:17], image * 15 if image.max() <= 16 else image)
    assert sheets["data"].shape == sheets[label].shape


def test_markdown_and_latex_and_csv_have_every_table(report, results):
    md, tex = markdown.document(report), latex.document(report)
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == tex.count(r"\toprule")
    for table in tables(report):
        assert table.title in md
    assert md.count("\n#### ") >= 3
    frame = pd.read_csv(io.StringIO(csv.document(gathered(results)[1])))
    assert set(frame["suite"]) == {"tiny", "runs"}
    line = frame[(frame["model"] == "cfm") & (frame["metric"] == "sliced_w2") & (frame["point"] == "main")].iloc[0]
    (table,) = [t for t in blocks(report, Table) if t.title == "moons"]
    column = [c.title for c in table.columns].index("sliced_w2")
    assert next(row for row in table.rows if row.label == "cfm").cells[column].mean == pytest.approx(line["value"])


def test_a_grid_of_a_setting_is_drawn_against_it_beside_models_that_lack_it(report):
    (charts,) = [block for block in blocks(report, Charts) if block.title == "Quality vs. kappa"]
    (table,) = [t for t in blocks(report, Table) if t.title == "moons"]
    chart = next(chart for chart in charts.charts if chart.title == "sliced_w2")
    column = [c.title for c in table.columns].index("sliced_w2")
    means = {row.label: row.cells[column].mean for row in table.rows}
    lines = {series.model: [(point.x, point.y) for point in series.points] for series in chart.series}
    assert lines["wcfm"] == [(0.5, means["wcfm kappa=0.5"]), (1.0, means["wcfm"]), (4.0, means["wcfm kappa=4.0"])]
    assert lines["cfm"] == [(0.5, means["cfm"]), (4.0, means["cfm"])]
    assert chart.floor == pytest.approx(means["real vs. real (floor)"])


def test_figures_of_everything_are_png_and_svg_and_the_same_again(report, tmp_path):
    written = figures.write(report, tmp_path / "a")
    again = figures.write(report, tmp_path / "b")
    assert {path.suffix for path in written} == {".png", ".svg"}
    assert len(written) == 2 * len(blocks(report, (Charts, Flow, Gallery)))
    for one, other in zip(written, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
        if one.suffix == ".png":
            assert min(Image.open(one).size) > 100
        else:
            assert ET.parse(one).getroot().tag.endswith("svg")


def test_a_table_without_models_is_a_page_too(report):
    words = "a sentence that is longer than a number and has to be broken"
    table = Table("Verdicts", (Column("published"), Column("verdict")), (Row("a <b>", (Cell(1.0), Cell(text=words))),))
    drawn = page(type(report)("t", "s", (), (), (type(report.sections[0])("Published", (table,)),)))
    parsed = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(drawn)
    assert "a <b>" in text(parsed)
    assert words in text(parsed)


def test_equal_ratios_are_equal_distances_on_a_logarithmic_axis():
    points = tuple(Point(2.0**k, 10.0**-k) for k in range(4))
    drawn = svg.chart(
        Chart("t", Axis("x", True), Axis("y", True), (Series("m", points),)), {"m": palette.Style(0, 0, 0)}
    )
    line = re.search(r'class="l" d="M([^"]*)"', drawn)[1]
    places = np.array([[float(x) for x in place.split()] for place in line.split("L")])
    steps = np.diff(places, axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=0.11)
    assert (steps > 0).all()  # larger x to the right, smaller y further down


# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
BLIND = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colours):
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def oklab(rgb):
    """Ottosson (2020)."""
    cones = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566]]
    cones = np.cbrt(np.clip(rgb, 0, 1) @ np.array([*cones, [0.0883024619, 0.2817188376, 0.6299787005]]).T)
    return cones @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.793617785, -2.428592205, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.808675766],
        ]
    )


@pytest.mark.parametrize(("colours", "paper"), [(palette.LIGHT, "#fcfcfa"), (palette.DARK, "#141619")])
def test_colours_are_told_apart_by_all_eyes_and_from_the_paper(colours, paper):
    # .07 is what the six of Okabe and Ito keep apart.
    for seen in BLIND.values():
        places = oklab(linear(colours) @ np.array(seen).T)
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(places, 2)) > 0.07
    luminance = linear([*colours, paper]) @ np.array([0.2126, 0.7152, 0.0722]) + 0.05
    ratio = luminance[:-1] / luminance[-1]
    assert np.maximum(ratio, 1 / ratio).min() >= 3


def test_a_grid_over_which_nothing_changes_has_no_charts_of_it(tmp_path):
    settings = {"plan": {"steps": 2, "batch_size": 8}, "evaluation": {"n": 8, "curve": []}}
    for kappa in (0.5, 1.0, 2.0):
        chosen = {"model": {"kappa": kappa}, **settings}
        genbench.run("wcfm", "moons", metrics=["failed"], settings=chosen, results=tmp_path)
    report, _, _ = gathered(tmp_path)
    drawn = [block for section in report.sections for block in section.walk() if isinstance(block, Charts)]
    assert all(block.charts for block in drawn)
