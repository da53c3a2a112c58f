"""The page, without a browser: whole, complete, self-contained, and safe whatever labels say."""

import base64
import hashlib
import io
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import PurePosixPath

import html5lib
import pytest
from helpers.published import RESULTS
from helpers.reports import blocks, comparison_table, gathered, text, three_seeds
from helpers.tracks import board_of, planted
from PIL import Image

from genbench.report.blocks import (
    Axis,
    Cell,
    Chart,
    Charts,
    Column,
    Method,
    Picture,
    Point,
    Report,
    Row,
    Section,
    Series,
    Table,
)
from genbench.report.formats.page import pages
from genbench.report.formats.writers import heading
from genbench.report.pictures import TOP, small
from genbench.report.publish import track_boards
from genbench.report.track_sentences import sentences
from genbench.report.track_table import track_tables
from genbench.runs.store import Store

HOSTILE = "<script>alert(1)</script> \"a' onload=x {{7*7}} $\\frac1 \x1b[31m ünïcode 中"


def parsed(page):
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)


def test_links_lead_to_pages_that_are_written(trees):
    reached = {"report.html"}
    for path, tree in trees.items():
        ids = [element.get("id") for element in tree.iter() if element.get("id")]
        assert len(ids) == len(set(ids))
        for link in tree.iter("a"):
            goal, _, anchor = link.get("href").partition("#")
            where = PurePosixPath(path).parent / goal if goal else PurePosixPath(path)
            parts = [part for part in where.parts if part != ".."]
            reached.add(to := "/".join(parts[-1:] if goal.startswith("..") else parts))
            assert not anchor or anchor in {element.get("id") for element in trees[to].iter()}
    assert reached == set(trees)


def test_pages_of_an_earlier_report_keep_their_meaning(site, report):
    """They were numbered: the page of a method that had left became another method's, and links in old pages misled."""

    def heads(pages):
        return {path: re.search("<h1>.*?</h1>", page)[0] for path, page in pages.items()}

    def without_first(section):
        return replace(section, sections=section.sections[1:], methods=section.methods[1:])

    suites = [replace(s, sections=tuple(map(without_first, s.sections))) for s in report.sections]
    for fewer in (report.sections[1:], report.sections[::-1], tuple(suites)):
        later = pages(replace(report, sections=fewer), (), "report.html")
        assert heads(later).items() <= heads(site).items()
    longest = Section("x" * 300, (), (Section("y" * 300, (), (), (Method("z" * 300, (), (), (), "", ""),)),))
    assert max(map(len, pages(replace(report, sections=(longest,)), (), "report.html"))) < 255


def test_the_policy_allows_one_style_and_one_script_by_their_hashes_and_nothing_from_elsewhere(site, trees):
    for path, tree in trees.items():
        (policy,) = [e.get("content") for e in tree.iter("meta") if e.get("http-equiv") == "Content-Security-Policy"]
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'; img-src data:;")
        for kind in ("style", "script"):
            (content,) = re.findall(rf"<{kind}>(.*?)</{kind}>", site[path], re.DOTALL)  # JSON is not executed
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert f"{kind}-src 'sha256-{digest}'" in policy
        for element in tree.iter():
            assert not [name for name in element.attrib if name == "style" or name.startswith("on")]
            for name in ("src", "srcset", "action", "data"):
                assert element.get(name, "data:").startswith("data:")
            assert element.tag == "a" or element.get("href", "data:").startswith(("#", "data:"))
        assert "//" not in "".join(e.get("href") for e in tree.iter("a"))
        assert len(site[path]) < 1_000_000


def test_every_number_of_every_table_is_on_the_page_of_its_suite(trees, report):
    checked = 0
    for section in report.sections:
        (page,) = [tree for tree in trees.values() if text(next(tree.iter("h1"))) == section.title]
        for table in section.tables():
            drawn = [e for e in page.iter("table") if e.get("data-name") == table.title]
            for column in range(len(table.columns)):
                title = heading(table.columns[column])
                shown = [
                    [row[index] for row in e.find("tbody")]
                    for e in drawn
                    for index, head in enumerate(e.find("thead")[0])
                    if text(head) == title
                ]
                assert shown
                for row, *places in zip(table.rows, *shown, strict=True):
                    cell = row.cells[column]
                    for place in places:
                        assert (
                            cell.text in text(place) if cell.mean is None else float(place.get("data-v")) == cell.mean
                        )
                    checked += cell.mean is not None
    assert checked > 30


def test_every_value_of_every_seed_is_on_the_page_of_its_method(trees, report):
    (table,) = [t for t in blocks(report, Table) if t.title == "moons"]
    pages = {text(next(tree.iter("h1"))): tree for tree in trees.values()}
    checked = 0
    for row in table.rows[1:-1]:  # but the floor and the model that failed
        shown = next(pages[f"{row.label} on moons"].iter("table"))
        assert [text(head) for head in shown.find("thead")[0]][1:5] == ["mean", "floor", "seed 0", "seed 1"]
        values = {text(r[0]).strip(): [c.get("data-v") for c in r[3:5]] for r in shown.find("tbody")}
        for column, cell in zip(table.columns, row.cells, strict=True):
            if cell.values:
                assert [float(v) for v in values[column.title]] == [v for _, v in cell.values]
                checked += 1
    assert checked >= 10


def test_the_page_of_a_method_has_its_curves_its_command_and_its_origin(trees, report):
    (page,) = [tree for tree in trees.values() if text(next(tree.iter("h1"))) == "wcfm kappa=0.5 on moons"]
    for part in ("genbench run --model wcfm --dataset moons", "kappa", "seed 1", "moons, drawn", "torch", "cpu"):
        assert part in text(page)
    names = ["Samples of wcfm kappa=0.5", "loss: training loss vs. training steps"]
    assert [e.get("alt") for e in page.iter("img")] == names
    for picture in blocks(report, Picture):
        content = base64.b64encode(small(picture)).decode()
        shown = [e for tree in trees.values() for e in tree.iter("img") if e.get("src").endswith(f",{content}")]
        assert [int(e.get("width")) > 100 for e in shown if e.get("width")] == [True]  # beside the strip
    page = next(tree for tree in trees.values() if text(next(tree.iter("h1"))) == "Suite tiny")
    heads = [text(head) for e in page.iter("table") if e.get("data-name") == "moons" for head in e.find("thead")[0]]
    assert heads[0].strip() == "model"
    assert text(page).count("Shared by every row that has the setting: ") == 1
    assert "steps 12, batch_size 32" in text(page)


def to_look_up(home):
    (content,) = [e.text for e in home.iter("script") if e.get("type") == "application/json"]
    return json.loads(content)


def test_each_budget_of_a_track_is_looked_up_apart():
    """Columns of several budgets had one title, and only the first of them was found."""
    values = {20: [2.0, 3.0], 50: [1.0, 1.5]}
    tables = [replace(comparison_table(three_seeds(cfm=v)), title=f"moons, {n} steps") for n, v in values.items()]
    suite = Section("Suite tiny", (), (Section("moons", tuple(tables)),))
    found = to_look_up(parsed(pages(Report("title", "", (), (suite,)), (), "report.html")["report.html"]))
    means = {each["suite"]: each["rows"]["cfm"]["cells"]["0"][1] for each in found}
    assert means == {"Suite tiny, 20 steps": 2.5, "Suite tiny, 50 steps": 1.25}


def test_the_home_has_every_data_set_and_every_value_to_look_up(trees, report):
    home = trees["report.html"]
    found = {(each["data"], each["suite"]): each for each in to_look_up(home)}
    assert list(found) == [(data.title, suite.title) for suite in report.sections for data in suite.sections]
    assert f"{len({data for data, _ in found})} data sets" in report.summary
    for suite in report.sections:
        for data in suite.sections:
            own = found[data.title, suite.title]
            for table in (block for block in data.blocks if isinstance(block, Table)):
                for row in table.rows:
                    means = {c.title: cell.mean for c, cell in zip(table.columns, row.cells, strict=True) if cell.mean}
                    shown = own["rows"][row.label]["cells"].items()
                    assert {own["columns"][int(i)][0]: mean for i, (_, mean) in shown if mean} == means


def hostile(folder):
    """Return a report in which every text tries to be something else."""
    table = Table(
        HOSTILE,
        (Column(HOSTILE, "lower", HOSTILE),),
        (
            Row(HOSTILE, (Cell(1.0, 0.1, "", (1,), "a", values=((0, 0.9), (1, 1.1))),)),
            Row("b", (Cell(text=HOSTILE),)),
        ),
        (HOSTILE,),
        (HOSTILE,),
    )
    series = (Series(HOSTILE, (Point(1, 2), Point(2, 1))),)
    chart = Chart(HOSTILE, Axis(HOSTILE), Axis(HOSTILE, True), series)
    Image.new("L", (9, 9)).save(folder / "a.png")
    parts = (
        Section(HOSTILE, (Charts(HOSTILE, (chart,), HOSTILE),)),
        Section("Samples", (Picture(folder / "a.png", HOSTILE, HOSTILE),)),
    )
    method = Method(HOSTILE, (table,), ((0, HOSTILE),), ((HOSTILE, HOSTILE),), HOSTILE, HOSTILE)
    data = Section(HOSTILE, (HOSTILE, table), parts, (method,))
    return Report(HOSTILE, HOSTILE, (HOSTILE,), (Section(HOSTILE, (HOSTILE,), (data,)),))


def test_labels_are_text_whatever_they_say(tmp_path):
    site = pages(hostile(tmp_path), (), "report.html")
    assert all(re.fullmatch(r"report(\.html|/[0-9a-z-]+\.html)", path) for path in site)
    for page in site.values():
        tree = parsed(page.replace("\x1b", ""))
        assert Counter(e.get("type") for e in tree.iter("script"))[None] == 1
        assert not [e for e in tree.iter() if e.get("onload")]
        assert "{{7*7}}" in text(tree)
        assert "<script>alert(1)</script>" in text(tree)


def test_every_curve_of_a_group_is_on_the_page_of_its_suite():
    series = (Series("cfm", (Point(1, 2), Point(2, 1))),)
    group = Charts("Quality vs. NFE", tuple(Chart(f"metric {i}", Axis("NFE"), Axis(""), series) for i in range(8)), "")
    data = Section("moons", (), (Section("Quality vs. NFE", (group,)),))
    site = pages(Report("title", "", (), (Section("Suite tiny", (), (data,)),)), (), "report.html")
    page = next(parsed(page) for path, page in site.items() if "tiny" in path)
    assert [e.get("alt").partition(":")[0] for e in page.iter("img")] == [chart.title for chart in group.charts]


def test_the_strip_shows_small_pictures(tmp_path):
    Image.new("LA", (3000, 900), (90, 255)).save(tmp_path / "a.png")
    samples = Section("Samples", (Picture(tmp_path / "a.png", "Samples of all models", ""),))
    datas = tuple(Section(data, (), (samples,)) for data in ("moons", "mixture", "8gaussians", "circles"))
    site = pages(Report("title", "", (), (Section("Suite tiny", (), datas),)), (), "report.html")
    shown, *others = [e.get("src") for e in parsed(site["report.html"]).iter("img")]
    assert others == [shown] * 2
    with Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2]))) as image:
        assert image.size == TOP[2:]


def test_the_overview_of_a_track_has_its_sentences_and_its_tables(tmp_path):
    board = board_of(tmp_path, planted())
    site = pages(Report("title", "", (), ()), (board,), "report.html")
    overview = parsed(site["report.html"])
    assert all(sentence in text(overview) for sentence in sentences(board))
    methods = [re.sub(r"^\W+", "", text(row[0])) for row in next(overview.iter("tbody"))]  # without their keys
    assert methods[:4] == ["real data", "otcfm", "cfm", "nsf"]
    assert len(list(overview.iter("table"))) == len(list(track_tables(board)))


@pytest.mark.slow
def test_the_pages_of_the_committed_results_are_small(tmp_path):
    for name in ("plane-v1", "digits"):  # a large suite of points and one of images; all would take over a minute
        shutil.copytree(RESULTS / name, tmp_path / name)
    report, _ = gathered(tmp_path)
    site = pages(report, track_boards(Store(tmp_path)), "report.html")
    assert len(site["report.html"]) < 600_000
    assert max(map(len, site.values())) < 2_500_000
    assert len(list(parsed(site["report.html"]).iter())) < 5_000
