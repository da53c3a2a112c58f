"""The leaderboard of the README, and the sections of results/rankings.md that qualify it, from published records.

python -m benchmarks.readme    # writes README.md and results/rankings.md
"""

import argparse
import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import equal_time, tuning_effect
from benchmarks.tables import ALIKE
from genbench.analysis.labels import counted, listed
from genbench.analysis.track_runs import Chosen
from genbench.analysis.values import group_by
from genbench.registry import models
from genbench.report.blocks import Row, Table
from genbench.report.formats.writers import markdown
from genbench.report.track_board import REGIMES, Heat, TrackBoard, track_board
from genbench.report.track_sentences import (
    budget,
    metrics,
    places,
    sentences,
    separations,
    unscored,
    why_unscored,
)
from genbench.report.track_table import MAIN, METHODS, excess_table, shown_heats
from genbench.runs.store import Store
from genbench.suites import find

ROOT = Path(__file__).parents[1]
TRACK, TRANSPORT = "plane-v1", "transport-v1"
RANKINGS = ROOT / "results" / "rankings.md"
SCALE = (
    "Networks are small and of [unequal size](genbench/suites/plane-v1/table.md) (nsf: 2.5-32 times cfm's parameters; "
    "starflow: 2.3-3.1): nothing here says what happens at scale ([protocol](docs/tables.md#the-tables-of-a-track))."
)
"""Last sentence of the caption."""
WORDS = (
    "plane-v1 has 8 tasks: points in 2, 8 and 50 dimensions. sliced_w2 is the sliced Wasserstein-2 distance. The "
    "*floor* is the distance of real data; the *excess* is distance minus floor. *Separated* means significantly "
    "different. The *own sampler* is dopri5 for ODEs, 32 jumps for few-step models, the inverse for normalizing flows. "
    "*Tuned* settings were chosen on validation data. nsf is a neural spline flow; sdcfm uses semidiscrete transport; "
    "`genbench show MODEL` explains the others."
)
"""What comes before the leaderboard in the README."""
SEPARATED = """## Separated methods

Methods of [plane-v1](../genbench/suites/plane-v1/table.md), each with its own sampler, by their excess over real data
in sliced W2. Letters in the README's table say the same of the methods that it shows.

"""
AFTER = "\n\n`genbench leaderboard` adds"
"""What follows the leaderboard in the README."""
BETWEEN = """## From one data set to another

In [transport-v1](../genbench/suites/transport-v1/table.md), the source is a data set instead of noise. Methods that
need noise do not take part: vp and the normalizing flows. For wcfm and wcfm-balanced, tuning tried the rule's kappa and
one that was among the best in reported test results. These results share a task and seeds with this track, which favors
the two methods.

"""
ONCE = ", without sdcfm's potentials or reflow's pairs"
COLUMNS, WIDE = 128, 1000
"""Width in characters of a line of prose, and of a table; pages wrap tables themselves."""
WIDEST = 6
"""Columns of the table beside the column of methods."""
fill = partial(textwrap.fill, width=COLUMNS, break_long_words=False, break_on_hyphens=False)


def read_board(results: Path, settings: Chosen | None = None, track: str = TRACK) -> TrackBoard:
    """Return a track with these settings; by default the README's, as `genbench leaderboard` shows it."""
    return track_board(find(track), Store(results), settings)


def first_heats(board: TrackBoard) -> list[Heat]:
    """Return the columns of ratios of the README's table; a wide table has the last regime once."""
    heats = shown_heats(board)
    if len(heats) + (board.seconds is not None) > WIDEST:
        heats = [heat for heat in heats if heat.nfe != REGIMES[-1] or heat.steps == board.shown[-1]]
    return heats


def first_table(board: TrackBoard) -> Table:
    """Return the README's table; `caption` describes it."""
    return excess_table(board, first_heats(board), METHODS)[0]


def other_rows(board: TrackBoard) -> list[Row]:
    """Return the rows for which the README's table has no place, without their seconds."""
    heats = first_heats(board)
    every, rest = excess_table(board, heats, None)[0], excess_table(board, heats, METHODS)[1]
    return [replace(row, cells=row.cells[: len(heats)]) for row in every.rows if row.label in rest]


def items(board: TrackBoard, default: TrackBoard) -> list[str]:
    """Return what the README says about the leaderboard; what it says on equal time is about default settings."""
    return [*places(board), equal_time.sentence(default)]


def caption(board: TrackBoard) -> str:
    """Return what the ratios of the table are, and in what its columns differ; `genbench leaderboard` says more."""
    heats = first_heats(board)
    counts = sorted({len(heat.effects.scored) for heat in heats})
    to = "or" if len(counts) == 2 else "to"
    over = f"{counts[0]} {to} {counts[-1]} tasks" if len(counts) > 1 else counted(counts[0], "task")
    rows = first_table(board).rows
    teachers = (f" {row.label} first trains a teacher equally long (included)." for row in rows if _has_teacher(row))
    marked = any(cell.sign for row in rows for cell in row.cells)
    plans = group_by((r.label for r in rows if r.label in board.recipes), lambda r: ", ".join(_names(board.recipes[r])))
    other = (
        f" {listed(own)} train{'' if len(own) > 1 else 's'} differently from {board.baseline} ({names})."
        for names, own in plans.items()
    )
    settings = {(heat.steps, counted(len(heat.seeds), "seed")): heat.settings for heat in heats}
    columns = "; ".join(
        f"after {steps:,} steps: {seeds}, "
        + ("settings tuned for each method's own sampler" if chosen == "tuned" else f"{chosen} settings")
        for (steps, seeds), chosen in settings.items()
    )
    mixed = ", so columns differ in more than steps" if len({*settings.values()}) > 1 else ""
    timed = f" Seconds: default settings, {board.seconds.first.task}{ONCE}." if board.seconds else ""
    tasks = unscored(heats)
    left = f" The mean leaves out {tasks}, because {why_unscored(heats, board.baseline)}." if tasks else ""
    return (
        f"Excess over real data in {metrics(heats[0])} divided by {board.baseline}'s: geometric mean over {over} with "
        f"uncorrected 95 % interval.{left} {ALIKE[0].upper()}{ALIKE[1:]}.{' ° marks the floor.' if marked else ''} "
        f"{columns[0].upper()}{columns[1:]}{mixed}.{timed}{''.join([*teachers, *other])}"
    )


def _has_teacher(row: Row) -> bool:
    """Return whether a method with values first trains another one."""
    name = row.label.split()[0]
    measured = any(cell.mean is not None for cell in row.cells)
    return measured and name in models and "teacher" in models[name].traits


def _names(recipe: str) -> list[str]:
    """Return the names of the settings that a recipe states with their values."""
    return re.findall(r"(\w+)=", recipe)


def not_shown(board: TrackBoard) -> str:
    """Return which methods the first table leaves out, with their ratios, and by which rule; empty without any."""
    found = group_by(other_rows(board), lambda row: ", ".join(_ratios(row)))
    if not found:
        return ""
    left = "; ".join(f"{', '.join(row.label for row in rows)} ({texts})" for texts, rows in found.items())
    if {*found} == {"no ratio: unsupported"}:
        return f"Not shown: {left}."
    names = {row.label.split()[0] for row in first_table(board).rows}
    always = [model for model in dict.fromkeys((board.baseline.split()[0], *MAIN)) if model in names]
    return (
        f"Rows: {', '.join(always)}, and the best others by the first column. Not shown (ratios of these columns): "
        f"{left}."
    )


def _ratios(row: Row) -> list[str]:
    """Return the ratios of a row; the reasons, each once, if it has none."""
    texts = [cell.text if cell.mean is None else f"{cell.mean:.2f}{cell.sign}" for cell in row.cells]
    if any(cell.mean is not None for cell in row.cells):
        return texts
    return [f"no ratio: {listed(dict.fromkeys(texts), 'or')}"]


def leaderboard_section(text: str, board: TrackBoard, default: TrackBoard) -> str:
    """Return the README with the sentences, the table and the caption of a track, up to the methods not shown."""
    head, _, rest = text.partition("## Leaderboard\n\n")
    _, after, tail = rest.partition(AFTER)
    return f"{head}## Leaderboard\n\n{fill(WORDS)}\n\n" + shown(board, items(board, default), SCALE) + after + tail


def shown(board: TrackBoard, said: Sequence[str], last: str = "") -> str:
    """Return sentences about a track as a list, its first table, the caption, which ends with `last`, and the rest."""
    listed = [fill(f"- {text}", subsequent_indent="  ") for text in said]
    _, _, table = markdown(first_table(board), width=WIDE).partition("\n\n")
    below = [f"{caption(board)} {last}".rstrip(), not_shown(board)]
    return "\n".join([*listed, "", table.strip(), "", "\n\n".join(fill(text) for text in below if text)])


def rankings(text: str, board: TrackBoard, default: TrackBoard, transport: TrackBoard) -> str:
    """Return the page of rankings with its last sections.

    They are equal time, tuned settings once the track is tuned, separated methods, and the track between data sets.
    """
    head, _, _ = text.partition(equal_time.TITLE)
    tuned = [tuning_effect.section(default, board)] if board.settings == "tuned" else []
    between = f"{BETWEEN}{shown(transport, sentences(transport))}\n"
    return "\n\n".join([head.rstrip(), "\n".join([equal_time.section(default), *tuned, separated(board), between])])


def separated(board: TrackBoard) -> str:
    """Return the section on the methods of a track that are separated from the baseline."""
    said = []
    for steps, text in separations(board).items():
        heat = board.heat(steps, None)
        said.append(fill(f"- **{budget(heat)}, {heat.settings} settings.** {text}", subsequent_indent="  "))
    return SEPARATED + "\n".join(said) + "\n"


def main() -> None:
    """Fill in the README and the page of rankings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="Published records.")
    results = parser.parse_args().results
    boards = read_board(results), read_board(results, "default")
    readme = ROOT / "README.md"
    readme.write_text(leaderboard_section(readme.read_text(encoding="utf-8"), *boards), encoding="utf-8")
    page = rankings(RANKINGS.read_text(encoding="utf-8"), *boards, read_board(results, track=TRANSPORT))
    RANKINGS.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
