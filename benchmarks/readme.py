"""The leaderboard of the README, and the sections of results/rankings.md that qualify it, from published records.

python -m benchmarks.readme    # writes README.md and results/rankings.md
"""

import argparse
import textwrap
from functools import partial
from pathlib import Path

from benchmarks import equal_time, tuning_effect
from genbench.analysis.labels import counted
from genbench.analysis.track_runs import Chosen
from genbench.report.formats.writers import markdown
from genbench.report.track_board import TrackBoard, track_board
from genbench.report.track_sentences import budget, sentences
from genbench.report.track_table import first_heats, first_table
from genbench.runs.store import Store
from genbench.suites import find

ROOT = Path(__file__).parents[1]
TRACK = "plane-v1"
RANKINGS = ROOT / "results" / "rankings.md"
SCALE = (
    "Small networks of [unequal size](genbench/suites/plane-v1/table.md) learn points in 2, 8 and 50 dimensions: "
    "nothing here says what happens at scale ([methods](docs/models.md), [how to read it](docs/read_a_leaderboard.md), "
    "[protocol](docs/tables.md#the-tables-of-a-track))."
)
"""Last sentence of the caption."""
COLUMNS, WIDE = 128, 1000
"""Width in characters of a line of prose, and of a table; pages wrap tables themselves."""


def read_board(results: Path, settings: Chosen | None = None) -> TrackBoard:
    """Return the track of the README, with these settings; by default as `genbench leaderboard` shows it."""
    return track_board(find(TRACK), Store(results), settings)


def items(board: TrackBoard, default: TrackBoard) -> list[str]:
    """Return what the README says about the leaderboard; what it says on equal time is about default settings."""
    return [*sentences(board), equal_time.sentence(default)]


def caption(board: TrackBoard) -> str:
    """Return what the ratios of the table are, and in what its columns differ; `genbench leaderboard` says more."""
    heats = first_heats(board)
    metrics = " or ".join(dict.fromkeys(f"`{contest.metric}`" for contest in heats[0].contests))
    tasks = sorted({len(heat.effects.scored) for heat in heats})
    over = f"{tasks[0]} to {tasks[-1]} tasks" if len(tasks) > 1 else counted(tasks[0], "task")
    marked = any(cell.sign for row in first_table(board).rows for cell in row.cells)
    settings = {budget(heat): heat.settings for heat in heats}
    columns = " and ".join(
        f"columns of {steps} have {chosen} settings" + (" (for own samplers)" if chosen == "tuned" else "")
        for steps, chosen in settings.items()
    )
    mixed = ", so they differ in more than steps" if len({*settings.values()}) > 1 else ""
    timed = f"; seconds: default settings, {board.seconds.task}" if board.seconds else ""
    return (
        f"Each ratio is a method's excess over real data in {metrics}, divided by {board.baseline}'s in the same "
        f"column: the geometric mean over {over} with its 95 % interval; methods that share a letter are not separated"
        f"{', and ° marks the floor' if marked else ''}. {columns[0].upper()}{columns[1:]}{mixed}{timed}."
    )


def leaderboard_section(text: str, board: TrackBoard, default: TrackBoard) -> str:
    """Return the README with the sentences, the table and the caption of a track, up to the end of the caption."""
    head, _, rest = text.partition("## Leaderboard\n\n")
    _, _, tail = rest.partition(SCALE.split()[-1])
    fill = partial(textwrap.fill, width=COLUMNS, break_long_words=False, break_on_hyphens=False)
    said = [fill(f"- {text}", subsequent_indent="  ") for text in items(board, default)]
    _, _, table = markdown(first_table(board), width=WIDE).partition("\n\n")
    below = fill(f"{caption(board)} {SCALE}")
    return f"{head}## Leaderboard\n\n" + "\n".join([*said, "", table.strip(), "", below]) + tail


def rankings(text: str, board: TrackBoard, default: TrackBoard) -> str:
    """Return the page of rankings with its last sections: equal time and, once the track is tuned, tuned settings."""
    head, _, _ = text.partition(equal_time.TITLE)
    tuned = [tuning_effect.section(default, board)] if board.settings == "tuned" else []
    return "\n\n".join([head.rstrip(), "\n".join([equal_time.section(default), *tuned])])


def main() -> None:
    """Fill in the README and the page of rankings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="Published records.")
    results = parser.parse_args().results
    boards = read_board(results), read_board(results, "default")
    for path, written in ((ROOT / "README.md", leaderboard_section), (RANKINGS, rankings)):
        path.write_text(written(path.read_text(encoding="utf-8"), *boards), encoding="utf-8")


if __name__ == "__main__":
    main()
