"""The page, without a browser: whole, complete and self-contained."""

import re

import html5lib
import pytest
from reports import blocks, tables, text

from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.formats.page import page


def test_ids_are_unique_and_links_resolve(tree):
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    goals = {element.get("href")[1:] for element in tree.iter("a")}
    rows = {element.get("data-row") for element in tree.iter("a") if element.get("data-row")}
    assert goals <= set(ids)
    assert rows
    assert rows <= set(ids)


def test_the_page_loads_nothing_from_elsewhere(tree, report):
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
                written = text(number).replace(" ", "")
                mean, _, error = written.strip("(").replace(")", "").partition("±")
                power = 10 ** float(written.partition(")e")[2] or 0)
                error = error.partition("e")[0] if ")e" in written else error
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


def test_the_origin_of_a_number_has_the_command_that_reproduces_it(tree, report):
    origin = next(e for e in tree.iter("details") if (e.get("id") or "").endswith("origin-1"))
    written = text(origin)
    for part in ("genbench run --model wcfm --dataset moons", "kappa", "seed 1", "moons, drawn", "torch", "cpu"):
        assert part in written


def test_a_table_without_models(report):
    words = "a sentence that is longer than a number and has to be broken"
    table = Table("Verdicts", (Column("published"), Column("verdict")), (Row("a <b>", (Cell(1.0), Cell(text=words))),))
    drawn = page(type(report)("t", "s", (), (), (type(report.sections[0])("Published", (table,)),)))
    parsed = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(drawn)
    assert "a <b>" in text(parsed)
    assert words in text(parsed)
