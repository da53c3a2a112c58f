"""The page: an overview, and for each suite a page with its results and a page with all numbers, in a folder beside it.

Everything from data is escaped by the templates. Pages load nothing: pictures are part of them, and the policy of each
allows its own style and script by their hashes, and nothing else.
"""

import base64
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from genbench.analysis.dataset_board import Board
from genbench.analysis.labels import shared_words, slug
from genbench.analysis.leaderboard import Leaderboard
from genbench.analysis.means import format_mean
from genbench.report.blocks import Cell, Chart, Charts, Column, Flow, Gallery, List, Report, Row, Section, Table
from genbench.report.formats import figures
from genbench.report.formats import leaderboard as ranked
from genbench.report.formats.cells import cell_text, heading, panels
from genbench.report.formats.palette import THEMES, styles
from genbench.report.plots import pareto

MAX_COLUMNS = 6
"""Number of columns of the table of a data set; the others are on the page of all numbers."""
MAX_BOARDS = 5
MAX_CHARTS = 6
"""Number of charts of a group; all are among the figures."""
WIDTH = 120
"""Characters of a panel of a table of all numbers, at most."""
FIRST = ("Quality vs. NFE", "Paths and densities", "Samples")
"""Sections that are open from the start."""


class SuitePage(NamedTuple):
    """A suite and the names of its two files."""

    section: Section
    file: str
    numbers: str


def pages(report: Report, found: Leaderboard, name: str) -> dict[str, str]:
    """Return {path: text} of all pages; equal reports give equal bytes.

    Args:
        report: its content.
        found: the leaderboard.
        name: file name of the overview; the folder of the others has the same name, without its ending.
    """
    return _Pages(report, found, name).all()


class _Pages:
    def __init__(self, report: Report, found: Leaderboard, name: str) -> None:
        self.report, self.found, self.name = report, found, name
        self.used: dict[str, None] = {}  # models whose keys the page at hand shows, in order
        self.folder = Path(name).stem
        self.styles = styles([*ranked.methods(found), *report.models])
        self.classes = {model: f"k{index}" for index, model in enumerate(self.styles)}
        self.suites = []
        for index, section in enumerate(report.sections, 1):
            stem = f"{index:02}-{slug(section.title)}".strip("-")
            self.suites.append(SuitePage(section, f"{stem}.html", f"{stem}-numbers.html"))
        self.environment = _environment()
        self.environment.filters["named"] = lambda rows: any(row.label in self.classes for row in rows)
        self.environment.globals |= {
            "key": self.key,
            "with_main_columns": self.with_main_columns,
            "chart": self.chart,
            "flow": self.flow,
            "shown": {"charts": MAX_CHARTS, "open": FIRST},
        }

    def all(self) -> dict[str, str]:
        """Return every page by its path."""
        drawn = pareto(self.found)
        shared = {"report": self.report, "suites": self.suites, "overview": f"../{self.name}"}
        written = {
            self.name: self.page(
                "overview.html",
                drawn=drawn,
                found=self.found,
                folder=self.folder,
                overview=self.name,
                report=self.report,
                suites=self.suites,
                columns=_columns(self.found),
            )
        }
        for suite in self.suites:
            written[f"{self.folder}/{suite.file}"] = self.page("suite.html", suite=suite, **shared)
            written[f"{self.folder}/{suite.numbers}"] = self.page("numbers.html", suite=suite, **shared)
        return written

    def page(self, template: str, **context: Any) -> str:
        """Render a template with a policy for its own style and script."""
        self.used.clear()
        script = _asset("sort.js")
        body = self.environment.get_template(template).render(**context)
        keys = {self.classes[model]: _inline(figures.key(self.styles[model])) for model in self.used}
        rules = [f".{name}{{background-image:url({key})}}" for name, key in keys.items()]
        style = _asset("page.css") + "".join(rules)
        policy = (
            f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
            "base-uri 'none'; form-action 'none'"
        )
        return self.environment.get_template("frame.html").render(
            title=context["suite"].section.title if "suite" in context else self.report.title,
            policy=policy, style=Markup(style), script=Markup(script), body=Markup(body),
        )  # fmt: skip

    def key(self, model: str) -> str:
        """Return the class of the legend key of a model; empty for a row that is none."""
        if model not in self.classes:
            return ""
        self.used[model] = None
        return self.classes[model]

    def chart(self, drawn: Chart, small: bool) -> str:
        """Return a chart as the address of an image."""
        figure = figures.chart(drawn, self.styles, THEMES["light"], small=small)
        return _inline(figures.adaptive(figures.encoded(figure, "svg").decode()))

    def with_main_columns(self, table: Table) -> Table:
        """Return a table with the columns that matter most: the headline metric, then those that rank models."""
        headline = next((board.metric for board in self.found.boards if board.data == table.title), "")

        def matters(index: int) -> tuple[bool, bool, bool]:
            ranked = any(row.cells[index].rank is not None for row in table.rows)
            floor = any(row.floor and row.cells[index].mean is not None for row in table.rows)
            return table.columns[index].title.partition(" (")[0] != headline, not ranked, not floor

        kept = sorted(range(len(table.columns)), key=matters)[:MAX_COLUMNS]
        rows = tuple(Row(row.label, tuple(row.cells[i] for i in kept), row.floor) for row in table.rows)
        return Table(table.title, tuple(table.columns[i] for i in kept), rows, table.legend, table.notes)

    def flow(self, drawn: Flow, theme: str) -> str:
        """Return densities as the address of an image."""
        figure = figures.flow(drawn, self.styles, THEMES[theme])
        return _inline(figures.encoded(figure, "webp", dpi=110), "webp")


def by_seed(table: Table) -> Iterator[tuple[str, Column, Mapping[int, float]]]:
    """Yield row, column and {seed: value} of every cell that has values."""
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            if cell.values:
                yield row.label, column, dict(cell.values)


def _environment() -> Environment:
    """Return the templates, with what needs no state of a page."""
    made = Environment(
        loader=PackageLoader("genbench.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {"columns": partial(panels, text=_text, width=WIDTH), "by_seed": by_seed, "shared": shared_words}
    made.filters |= {"heading": heading, "models": _models, "grid": _grid, "width": figures.flow_width}
    made.globals |= {"mean": format_mean, "ranked": ranked}
    kinds = {"a_text": str, "a_list": List, "a_table": Table, "charts": Charts, "a_flow": Flow, "a_gallery": Gallery}
    kinds |= {"origins": tuple}
    for kind, of in kinds.items():
        made.tests[kind] = lambda block, of=of: isinstance(block, of)
    return made


def _columns(found: Leaderboard) -> tuple[Sequence[Board], Sequence[Board]]:
    """Return the boards of the first table, and the others that compare methods."""
    boards = ranked.compared(found)
    return boards[:MAX_BOARDS], boards[MAX_BOARDS:]


def _models(drawn: Charts) -> list[str]:
    return list(dict.fromkeys(series.model for chart in drawn.charts for series in chart.series))


def _text(cell: Cell) -> str:
    return cell_text(cell, {})


def _grid(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return _inline(buffer.getvalue(), "png")


def _inline(content: str | bytes, kind: str = "svg+xml") -> str:
    content = content.encode() if isinstance(content, str) else content
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@lru_cache
def _asset(name: str) -> str:
    return resources.files("genbench.report").joinpath("templates", name).read_text(encoding="utf-8").strip()
