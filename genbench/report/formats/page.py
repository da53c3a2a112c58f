"""The page: an overview, and for each suite a page with its results and a page with all numbers, in a folder beside it.

Everything from data is escaped by the templates. Pages load nothing: pictures are part of them, and the policy of each
allows its own style and script by their hashes, and nothing else.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib import resources
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from genbench.analysis.labels import shared_words, slug
from genbench.report.blocks import Charts, Picture, Report, Section, Table
from genbench.report.formats import figures
from genbench.report.formats.writers import cell_text, heading, main_columns, number, panels
from genbench.report.plots import track_curves
from genbench.report.track_board import TrackBoard
from genbench.report.track_table import sentences, track_tables
from genbench.runs.monitoring.drawing import SCALE
from genbench.storage import files

MAX_COLUMNS = 6
"""Number of columns of the table of a data set; the others are on the page of all numbers."""
STRIP, WIDE = 3, 320
"""Data sets in the strip of samples, and pixels of a page of each of its pictures."""
SHADES = 48
"""Colors of a picture of the strip, which keep its file small."""
MAX_CHARTS = 6
"""Number of charts of a group."""
WIDTH = 120
"""Characters of a panel of a table of all numbers, at most."""
FIRST = ("Quality vs. NFE", "Samples")
"""Sections that are open from the start."""
LOSS_WIDTH = 320
"""Pixels of a page of a picture in SVG."""
TYPES = {".png": "png", ".svg": "svg+xml"}


class SuitePage(NamedTuple):
    """A suite, and the files with its results and with all numbers."""

    section: Section
    file: str
    numbers: str


def pages(report: Report, boards: Sequence[TrackBoard], name: str, made: str = "") -> dict[str, str]:
    """Return {path: text} of all pages; equal arguments give equal bytes.

    Args:
        boards: the tracks, for the overview.
        made: version and date, for the foot of each page.
        name: file name of the overview; the folder of the others has the same name, without its ending.
    """
    folder, suites = Path(name).stem, []
    for index, section in enumerate(report.sections, 1):
        stem = f"{index:02}-{slug(section.title)}".strip("-")
        suites.append(SuitePage(section, f"{stem}.html", f"{stem}-numbers.html"))
    blocks = [block for section in report.sections for block in section.walk()]
    drawn = track_curves(boards[0]) if boards else None
    rows = [row.label for block in blocks if isinstance(block, Table) for row in block.rows if not row.floor]
    charts = [chart for block in (*blocks, drawn) if isinstance(block, Charts) for chart in block.charts]
    series = [each.model for chart in charts for each in chart.series]
    looks = figures.styles([*(model for board in boards for model in board.models), *rows, *series])
    environment = _environment(looks, report.headlines)

    assets = resources.files("genbench.report").joinpath("templates")
    style, script = (assets.joinpath(file).read_text(encoding="utf-8").strip() for file in ("page.css", "sort.js"))
    style += _colors()

    def page(template: str, title: str, **context: Any) -> str:
        body = environment.get_template(template).render(report=report, suites=suites, **context)
        policy = (
            f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
            "base-uri 'none'; form-action 'none'"
        )
        whole = {"style": Markup(style), "script": Markup(script), "body": Markup(body)}
        return environment.get_template("frame.html").render(title=title, policy=policy, made=made, **whole)

    home = {
        "tracks": [(sentences(board), list(track_tables(board))) for board in boards],
        "strip": [(data, _inline(png, "png")) for data, png in _strip(report)],
    }
    written = {name: page("overview.html", report.title, drawn=drawn, folder=folder, **home)}
    for suite in suites:
        for file, template in ((suite.file, "suite.html"), (suite.numbers, "numbers.html")):
            written[f"{folder}/{file}"] = page(template, suite.section.title, suite=suite, overview=f"../{name}")
    return written


def _colors() -> str:
    """Return the style of legend keys, by the number of their color."""
    light, dark = (
        "".join(f".c{i}{{color:{c}}}" for i, c in enumerate(theme)) for theme in (figures.LIGHT, figures.DARK)
    )
    return f"{light}@media(prefers-color-scheme:dark){{{dark}}}"


def _strip(report: Report) -> Iterator[tuple[str, bytes]]:
    """Yield small pictures of samples, PNG, of the first data sets that have one: (data set, file)."""
    pictures = {
        data.title: block
        for suite in report.sections
        for data in suite.sections
        for part in data.sections
        for block in part.blocks
        if isinstance(block, Picture) and part.title == "Samples" and block.path.suffix == ".png"
    }
    for data, picture in islice(pictures.items(), STRIP):
        with Image.open(picture.path, formats=["PNG"]) as image:
            whole = image.convert("RGBA")
        whole.thumbnail((WIDE * SCALE, 2 * WIDE * SCALE))
        file = BytesIO()
        whole.quantize(SHADES).save(file, format="PNG", optimize=True)
        yield data, file.getvalue()


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
        "number": number,
        "models": lambda drawn: list(dict.fromkeys(one.model for chart in drawn.charts for one in chart.series)),
        "panels": partial(panels, text=cell_text, width=WIDTH),
        "picture": lambda picture: _inline(files.read(picture.path), TYPES[picture.path.suffix]),
        "shared": shared_words,
        "width": _width,
    }
    made.globals |= {
        "looks": looks,
        "chart": lambda drawn, small: _inline(figures.encoded(figures.chart(drawn, looks, small=small))),
        "shown": {"charts": MAX_CHARTS, "open": FIRST},
    }
    kinds = {"a_text": str, "a_table": Table, "charts": Charts, "a_picture": Picture, "origins": tuple}
    made.tests |= {kind: lambda block, of=of: isinstance(block, of) for kind, of in kinds.items()}
    return made


def _width(picture: Picture) -> int:
    """Return the width at which a picture is shown, in pixels of a page."""
    if picture.path.suffix != ".png":
        return LOSS_WIDTH
    with Image.open(picture.path, formats=["PNG"]) as image:
        return image.width // SCALE


def _inline(content: bytes, kind: str = "svg+xml") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
