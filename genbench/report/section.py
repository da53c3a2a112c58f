"""Sections: what a report says, gathered once, for every form in which it is written.

A section is a title, blocks in the order of reading, and sections below it. A block is a paragraph, a list, a table,
charts, pictures or the origin of numbers. Whoever has something to report returns a section; nobody renders.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from genbench.report.chart import Charts
from genbench.report.origins import Origins
from genbench.report.pictures import Flow, Gallery
from genbench.report.table import Table


@dataclass(frozen=True)
class Points:
    """A list of sentences, under a line that says what they are."""

    lead: str
    items: tuple[str, ...]


@dataclass(frozen=True)
class Aside:
    """A table beside what it is the numbers of: folded away where a form can fold."""

    table: Table


Block = str | Points | Table | Aside | Charts | Flow | Gallery | Origins


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Args:
        title: of the part.
        blocks: what it says, in order.
        sections: the parts below it.
    """

    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple["Section", ...] = ()

    def walk(self) -> Iterator[Block]:
        """Yield the blocks of this section and of all below it, in the order of reading."""
        yield from self.blocks
        for section in self.sections:
            yield from section.walk()


@dataclass(frozen=True)
class Report:
    """A whole report: its title, one line on what it is of, how to read it, the names of its models, its sections."""

    title: str
    summary: str
    reading: tuple[str, ...]
    models: tuple[str, ...]
    sections: tuple[Section, ...]
