"""The leaderboard of the README: the sentences and the table of a track, from its published records.

python -m benchmarks.readme    # writes README.md
"""

import argparse
import textwrap
from functools import partial
from pathlib import Path

from genbench.report.formats.writers import markdown
from genbench.report.track_board import TrackBoard, track_board
from genbench.report.track_sentences import sentences
from genbench.report.track_table import METHODS, across_table
from genbench.runs.store import Store
from genbench.suites import find

ROOT = Path(__file__).parents[1]
TRACK = "plane-v1"
SAID = 3
"""Number of sentences about the leaderboard in the README, on methods with their own samplers."""
INTRODUCTION = (
    "The six tasks of the track `plane-v1` are to generate points in 2, 8 or 50 dimensions. *Excess*: value minus "
    "floor. *Separated*: a test over the tasks tells two methods apart. `nsf` is a neural spline flow (extra `zuko`), "
    "`sdcfm` uses semidiscrete optimal transport, `wcfm-balanced` corrects the bias of W-CFM, and `vp` is diffusion "
    "(`genbench show METHOD`)."
)
COLUMNS, WIDE = 128, 1000
"""Width in characters of a line of prose, and of a table; pages wrap tables themselves."""


def read_board(results: Path) -> TrackBoard:
    """Return the track of the README."""
    return track_board(find(TRACK), Store(results))


def leaderboard_section(text: str, board: TrackBoard) -> str:
    """Return the README with the sentences and the table of a track, between its introduction and its caption."""
    head, _, rest = text.partition("## Leaderboard\n\n")
    caption = "\n\nSmall networks on points"
    _, _, tail = rest.partition(caption)
    told = textwrap.fill(INTRODUCTION, width=COLUMNS)
    fill = partial(textwrap.fill, width=COLUMNS, subsequent_indent="  ", break_on_hyphens=False)
    items = [fill(f"- {text}") for text in sentences(board)[:SAID]]
    _, _, table = markdown(across_table(board, METHODS), width=WIDE).partition("\n\n")
    return "\n".join([f"{head}## Leaderboard\n", told, "", *items, "", table.strip()]) + caption + tail


def main() -> None:
    """Fill in the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="Published records.")
    readme = ROOT / "README.md"
    board = read_board(parser.parse_args().results)
    readme.write_text(leaderboard_section(readme.read_text(encoding="utf-8"), board), encoding="utf-8")


if __name__ == "__main__":
    main()
