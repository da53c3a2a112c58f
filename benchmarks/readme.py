"""The leaderboard of the README: the sentences and the table of a track, from its published records.

python -m benchmarks.readme    # writes README.md
"""

import argparse
import textwrap
from dataclasses import replace
from functools import partial
from pathlib import Path

from genbench.analysis.track_runs import Chosen
from genbench.report.formats.writers import markdown
from genbench.report.track_board import TrackBoard, track_board
from genbench.report.track_sentences import sentences
from genbench.report.track_table import first_table
from genbench.runs.store import Store
from genbench.suites import find

ROOT = Path(__file__).parents[1]
TRACK = "plane-v1"
SAID = 4
"""Number of items about the leaderboard in the README, on methods with their own samplers at two budgets."""
SCALE = (
    "Small networks of [unequal size](genbench/suites/plane-v1/table.md) on points in 2, 8 and 50 dimensions: nothing "
    "here says what happens at scale ([methods](docs/models.md), "
    "[protocol](docs/tables.md#the-tables-of-a-track))."
)
"""Last sentence of the caption."""
COLUMNS, WIDE = 128, 1000
"""Width in characters of a line of prose, and of a table; pages wrap tables themselves."""


def read_board(results: Path, settings: Chosen | None = None) -> TrackBoard:
    """Return the track of the README, with these settings; by default as `genbench leaderboard` shows it."""
    return track_board(find(TRACK), Store(results), settings)


def leaderboard_section(text: str, board: TrackBoard) -> str:
    """Return the README with the sentences, the table and the caption of a track, up to the end of the caption."""
    head, _, rest = text.partition("## Leaderboard\n\n")
    _, _, tail = rest.partition(SCALE.split()[-1])
    fill = partial(textwrap.fill, width=COLUMNS, break_long_words=False, break_on_hyphens=False)
    items = [fill(f"- {text}", subsequent_indent="  ") for text in sentences(board)[:SAID]]
    first = first_table(board)
    _, _, table = markdown(replace(first, legend=()), width=WIDE).partition("\n\n")
    caption = fill(" ".join([*first.legend, SCALE]))
    return f"{head}## Leaderboard\n\n" + "\n".join([*items, "", table.strip(), "", caption]) + tail


def main() -> None:
    """Fill in the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="Published records.")
    readme = ROOT / "README.md"
    board = read_board(parser.parse_args().results)
    readme.write_text(leaderboard_section(readme.read_text(encoding="utf-8"), board), encoding="utf-8")


if __name__ == "__main__":
    main()
