"""The page: a home, and in a folder beside it a page for each suite and for each method on each of its data sets.

The templates escape everything that comes from data. Pages load nothing: pictures are embedded, and the security
policy of a page allows only its own style and script, by their hashes.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from genbench.analysis.labels import shared_words, slug
from genbench.analysis.values import digest
from genbench.report.blocks import Charts, Picture, Report, Section, Table
from genbench.report.formats import figures
from genbench.report.formats.writers import cell_text, heading, main_columns, number, panels
from genbench.report.pictures import excerpt, small
from genbench.report.track_board import TrackBoard
from genbench.report.track_sentences import places, sentences
from genbench.report.track_table import track_tables
from genbench.runs.monitoring.sample_files import SCALE
from genbench.storage import files

MAX_COLUMNS = 6
"""Number of columns in the table of a data set; the full table below it is collapsed."""
STRIP = 3
"""Maximum number of data sets in the strip of samples."""
WIDTH = 120
"""Maximum width in characters of a panel of a table with all columns."""
FIRST = ("Quality vs. NFE", "Samples")
"""Sections that are open from the start."""
WIDEST_NAME = 100
"""Characters of titles in the name of a file."""


def pages(
    report: Report, boards: Sequence[TrackBoard], name: str, made: str = "", drawn: Sequence[Charts] = ()
) -> dict[str, str]:
    """Return {path: text} of all pages; equal arguments give equal bytes.

    Args:
        boards: tracks on the home page, the most important first.
        name: file name of the home page; the other pages are in a folder with the same stem.
        made: version and date, for the foot of each page.
        drawn: charts of the first of these tracks.
    """
    folder = Path(name).stem
    blocks = [block for section in report.sections for block in section.walk()]
    rows = [row.label for block in blocks if isinstance(block, Table) for row in block.rows if not row.floor]
    charts = [chart for block in (*blocks, *drawn) if isinstance(block, Charts) for chart in block.charts]
    own = [method.model for suite in report.sections for data in suite.sections for method in data.methods]
    series = [each.model for chart in charts for each in chart.series]
    looks = figures.styles([*(model for board in boards for model in board.models), *rows, *series, *own])
    environment = _environment(looks, report.headlines)

    assets = resources.files("genbench.report").joinpath("templates")
    style, script = (assets.joinpath(file).read_text(encoding="utf-8").strip() for file in ("page.css", "page.js"))
    style += _colors()
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    frame = {"policy": policy, "made": made, "style": Markup(style), "script": Markup(script)}

    def page(template: str, title: str, **context: Any) -> str:
        body = environment.get_template(template).render(report=report, title=title, **context)
        return environment.get_template("frame.html").render(title=title, body=Markup(body), **frame)

    written = {
        name: page(
            "home.html",
            report.title,
            said=places(boards[0])[:1] if boards else [],
            strip=[(data, picture.title, _inline(excerpt(picture), "png")) for data, picture in _strip(report)],
            drawn=drawn,
            tracks=[(sentences(board), list(track_tables(board))) for board in boards if _ranks(board)],
            empty=[board.name for board in boards if not _ranks(board)],
            folder=folder,
            values=[
                _values(suite, data, table, report.headlines.get(data.title, ""))
                for suite in report.sections
                for data in suite.sections
                for table in data.blocks
                if isinstance(table, Table)
            ],
        )
    }
    home = f"../{name}"
    for suite in report.sections:
        written[f"{folder}/{_file(suite.title)}"] = page("suite.html", suite.title, suite=suite, home=home)
        for data in suite.sections:
            for method in data.methods:
                title = f"{method.model} on {data.title}"
                context = {"suite": suite, "data": data, "method": method, "home": home}
                written[f"{folder}/{_file(suite.title, data.title, method.model)}"] = page(
                    "method.html", title, **context
                )
    return written


def _ranks(board: TrackBoard) -> bool:
    """Return whether any method of a track has a ratio at a budget that is shown."""
    return any(heat.effects.scored for heat in board.heats if heat.steps in board.shown)


def _file(*titles: str) -> str:
    """Return the file of a suite or method; it does not depend on other suites, data sets or methods."""
    return f"{_name(*titles)}.html"


def _files(suite: Section, data: Section) -> dict[str, str]:
    """Return {model: the file of its page} of a data set."""
    return {method.model: _file(suite.title, data.title, method.model) for method in data.methods}


def _name(*titles: str) -> str:
    """Return a part of a file name or anchor, different for each title."""
    return f"{slug(' '.join(titles))[:WIDEST_NAME]}-{digest(*titles)[:8]}".strip("-")


def _values(suite: Section, data: Section, table: Table, headline: str) -> dict[str, Any]:
    """Return a table of a data set as plain JSON, for the pickers of the home; its place names its budget."""
    shown = [i for i in range(len(table.columns)) if any(row.cells[i].mean is not None for row in table.rows)]
    columns = [(table.columns[i].title, table.columns[i].better, table.columns[i].protocol) for i in shown]
    links, rows = _files(suite, data), {}
    for row in table.rows:
        means = {at: row.cells[i] for at, i in enumerate(shown) if row.cells[i].mean is not None}
        cells = {at: [cell_text(replace(cell, notes=())), cell.mean] for at, cell in means.items()}
        rows[row.label] = {"floor": row.floor, "page": links.get(row.label), "cells": cells}
    place = {"data": data.title, "suite": f"{suite.title}{table.title.removeprefix(data.title)}"}
    place["page"] = f"{_file(suite.title)}#data-{_name(data.title)}"
    return place | {"headline": headline, "columns": columns, "rows": rows}


def _colors() -> str:
    """Return the style of legend keys, by the number of their color."""
    light, dark = (
        "".join(f".c{i}{{color:{c}}}" for i, c in enumerate(theme)) for theme in (figures.LIGHT, figures.DARK)
    )
    return f"{light}@media(prefers-color-scheme:dark){{{dark}}}"


def _strip(report: Report) -> Iterator[tuple[str, Picture]]:
    """Yield (data set, its largest picture of samples) for the first data sets that have a picture."""
    pictures: dict[str, tuple[int, Picture]] = {}
    for data in (data for suite in report.sections for data in suite.sections):
        for block in (block for part in data.sections if part.title == "Samples" for block in part.blocks):
            if isinstance(block, Picture):
                with Image.open(block.path, formats=["PNG"]) as image:
                    found = image.width, block
                if data.title not in pictures or found[0] > pictures[data.title][0]:
                    pictures[data.title] = found
    yield from [(data, block) for data, (_, block) in pictures.items()][:STRIP]


def _environment(looks: Mapping[str, figures.Style], headlines: Mapping[str, str]) -> Environment:
    """Return the templates; headlines are {data set: its headline metric}."""
    made = Environment(
        loader=PackageLoader("genbench.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {
        "heading": heading,
        "main_columns": lambda table: main_columns(table, headlines.get(table.title), MAX_COLUMNS),
        "tables": lambda blocks: [block for block in blocks if isinstance(block, Table)],
        "number": number,
        "models": lambda drawn: list(dict.fromkeys(one.model for chart in drawn.charts for one in chart.series)),
        "panels": partial(panels, text=cell_text, width=WIDTH),
        "picture": lambda picture: _inline(files.read(picture.path), "png"),
        "small": lambda picture: _inline(small(picture), "png"),
        "shared": shared_words,
        "width": _width,
    }
    made.globals |= {
        "looks": looks,
        "chart": lambda drawn: _inline(figures.encoded(figures.chart(drawn, looks)), "svg+xml"),
        "file": _file,
        "files": _files,
        "anchor": lambda data: f"data-{_name(data.title)}",
        "first": FIRST,
    }
    kinds = {"a_text": str, "a_table": Table, "charts": Charts, "a_picture": Picture}
    made.tests |= {kind: lambda block, of=of: isinstance(block, of) for kind, of in kinds.items()}
    return made


def _width(picture: Picture) -> int:
    """Return the width at which a picture is shown, in pixels of a page."""
    with Image.open(picture.path, formats=["PNG"]) as image:
        return image.width // SCALE


def _inline(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
