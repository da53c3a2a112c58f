"""The page: a report as one self-contained HTML file. Everything but sorting works without JavaScript."""

import re
from collections.abc import Mapping
from functools import partial
from html import escape
from importlib import resources

from genbench.report.blocks import Block, Charts, Details, Flow, Gallery, List, Origin, Origins, Report, Section, Table
from genbench.report.formats import page_pictures, page_tables, svg
from genbench.report.formats.palette import DARK, LIGHT, styles

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The browser loads nothing from elsewhere."""


def page(report: Report) -> str:
    """Return the whole report as HTML; equal reports give equal bytes."""
    return _Page(report).whole()


class _Page:
    """State of a page while it is written: unique names and the styles of models.

    Args:
        report: its content.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self.styles = styles(report.models)
        self.tables = 0
        self.names: dict[str, int] = {}

    def whole(self) -> str:
        """Return the page."""
        body = "".join(self.part(section, 2, {}) for section in self.report.sections)
        reading = "".join(f"<li>{escape(line)}</li>" for line in self.report.reading)
        marks = '<span class="marks best">best</span>, <span class="marks tie">tie</span>, '
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><title>{escape(self.report.title)}</title>'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"/>'
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
            '<link rel="icon" href="data:,"/>'
            f"<style>{_colors()}{_asset('page.css')}</style></head><body>"
            '<a class="skip" href="#content">Skip to the content</a><div class="frame">'
            f"<header><h1>{escape(self.report.title)}</h1><p>{escape(self.report.summary)}</p>"
            f"<details><summary>How to read it</summary><ul>{reading}<li>In a table: {marks}and the rank of the mean "
            "before it. Click a number to see its seeds and its origin.</li></ul></details></header>"
            f'<div class="columns">{self.contents()}<main id="content">{body}</main></div>'
            "<footer>Made by genbench report. Self-contained: nothing is loaded from elsewhere.</footer></div>"
            '<dialog id="origin" aria-labelledby="origin-title"><div class="bar"><h3 id="origin-title">Origin</h3>'
            '<button type="button" class="close" aria-label="Close">✕</button></div><div class="body"></div></dialog>'
            f"<script>{_asset('page.js')}</script></body></html>\n"
        )

    def contents(self) -> str:
        """Return the table of contents; ids are assigned in the same order as in the body."""
        parts = []
        names: dict[str, int] = {}
        for section in self.report.sections:
            anchor = _unique(names, section.title)
            below = "".join(
                f'<li><a href="#{_unique(names, f"{section.title}-{part.title}")}">{escape(part.title)}</a></li>'
                for part in section.sections
            )
            below = f"<ul>{below}</ul>" if below else ""
            parts.append(f'<li><a class="part" href="#{anchor}">{escape(section.title)}</a>{below}</li>')
        return f'<nav aria-label="Contents"><ul>{"".join(parts)}</ul></nav>'

    def part(self, section: Section, level: int, origins: Mapping[str, str], above: str = "") -> str:
        """Return a section with its subsections.

        Args:
            section: the section.
            level: of its heading.
            origins: {model: id of the origin of its numbers}.
            above: titles of the sections around it.
        """
        path = f"{above}-{section.title}" if above else section.title
        name = _unique(self.names, path) if level < 4 else ""
        if level == 3:
            found = [block for block in section.walk() if isinstance(block, Origins)]
            origins = {o.model: f"{name}-origin-{i}" for block in found for i, o in enumerate(block.origins)}
        blocks = "".join(self.block(block, origins) for block in section.blocks)
        below = "".join(self.part(part, level + 1, origins, path) for part in section.sections)
        title = escape(section.title)
        inner = f"<h{level}>{title}</h{level}>{blocks}{below}"
        if level > 3:
            return f"<div>{inner}</div>"
        kind = "data" if level == 3 else "chapter"
        return f'<section class="{kind}" id="{name}" data-title="{title}">{inner}</section>'

    def block(self, block: Block, origins: Mapping[str, str]) -> str:
        """Return one block."""
        match block:
            case str():
                return f'<p class="lead">{escape(block)}</p>'
            case List():
                items = "".join(f"<li>{escape(item)}</li>" for item in block.items)
                return (
                    f'<details open=""><summary>{escape(block.lead)}</summary><ul class="small">{items}</ul></details>'
                )
            case Table():
                return self.table(block, origins)
            case Details():
                return page_tables.folded(block.table, partial(self.table, origins=origins))
            case Charts():
                return self.charts(block)
            case Flow():
                return page_pictures.flow(block, self.styles)
            case Gallery():
                return page_pictures.gallery(block, self.styles)
            case Origins():
                listed = "".join(_origin(origin, origins[origin.model]) for origin in block.origins)
                return f'<div class="origins">{listed}</div>'

    def table(self, drawn: Table, origins: Mapping[str, str]) -> str:
        """Return a table with a unique name."""
        self.tables += 1
        return page_tables.table(drawn, f"t{self.tables}", self.styles, origins)

    def charts(self, drawn: Charts) -> str:
        """Return charts side by side, with one legend; single models have their key in the title."""
        models = dict.fromkeys(series.model for chart in drawn.charts for series in chart.series)
        keys = {model: f"{svg.key(self.styles[model])}{escape(model)}" for model in models}
        figures = []
        for chart in drawn.charts:
            caption = keys.get(chart.title, escape(chart.title)) if chart.title != chart.x.label else ""
            caption = f"<figcaption>{caption}</figcaption>" if caption else ""
            figures.append(f"<figure>{caption}{svg.chart(chart, self.styles, small=drawn.small)}</figure>")
        legend = "".join(f'<li data-model="{escape(model)}">{key}</li>' for model, key in keys.items())
        legend = (
            f'<ul class="legend" aria-label="Models">{legend}</ul>'
            if any(len(c.series) > 1 for c in drawn.charts)
            else ""
        )
        kind = " tiny" if drawn.small else ""
        return (
            f'<div>{legend}<div class="charts{kind}">{"".join(figures)}</div>'
            f'<p class="caption">{escape(drawn.caption)}</p></div>'
        )


def _origin(origin: Origin, name: str) -> str:
    runs = "".join(f'<li data-seed="{seed}">seed {seed}: <code>{escape(run)}</code></li>' for seed, run in origin.runs)
    facts = "".join(f"<dt>{escape(fact)}</dt><dd>{escape(text)}</dd>" for fact, text in origin.facts)
    again = f'<pre class="wrap">{escape(origin.command)}</pre>' if origin.command else ""
    again = f'<p class="small">To reproduce the first run:</p>{again}' if again else ""
    return (
        f'<details id="{name}"><summary>{escape(origin.model)}</summary><ul class="runs small">{runs}</ul>'
        f"<dl>{facts}</dl>{again}<details><summary>Spec of the first run</summary><pre>{escape(origin.spec)}</pre>"
        "</details></details>"
    )


def _unique(names: dict[str, int], text: str) -> str:
    """Return a unique id made of a text."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"
    names[name] = names.get(name, 0) + 1
    return name if names[name] == 1 else f"{name}-{names[name]}"


def _colors() -> str:
    def of(colors: tuple[str, ...]) -> str:
        return "".join(f"--c{i}:{color};" for i, color in enumerate(colors))

    classes = "".join(f".c{i}{{--c:var(--c{i})}}" for i in range(len(LIGHT)))
    return (
        f":root{{{of(LIGHT)}}}@media(prefers-color-scheme:dark){{:root{{{of(DARK)}}}}}{classes}.ink{{--c:var(--ink)}}"
    )


def _asset(name: str) -> str:
    return resources.files("genbench.report").joinpath("assets", name).read_text(encoding="utf-8")
