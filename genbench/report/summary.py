"""Summary: who is best, in a sentence, and a strip of samples, for the first page of a report."""

from collections.abc import Iterator
from io import BytesIO

from PIL import Image

from genbench.analysis.leaderboard import Leaderboard
from genbench.analysis.values import group_by
from genbench.report.blocks import Picture, Report
from genbench.runs.monitoring.drawing import SCALE

STRIP, WIDE = 3, 320
"""Data sets in the strip, and pixels of a page of each of its pictures."""
SHADES = 48
"""Colors of a picture of the strip, which keep its file small."""


def winners(found: Leaderboard) -> str:
    """Say which method has the best mean on each data set of the table, at which budget; empty without methods."""
    boards = [board for board in found.boards[: found.shown] if len(board.pairs.order) > 1]
    said = []
    for (metric, budget), alike in group_by(boards, lambda board: (board.metric, board.budget)).items():
        best = group_by(alike, lambda board: board.pairs.order[0])
        of_methods = ", ".join(f"{method} on {' and '.join(b.data for b in own)}" for method, own in best.items())
        said.append(f"{metric} after {budget}: {of_methods}" if budget else f"{metric}: {of_methods}")
    return f"Best means by {'; by '.join(said)}. Letters in the table say what is more than noise." if said else ""


def strip(report: Report, found: Leaderboard) -> Iterator[tuple[str, bytes]]:
    """Yield small pictures of samples, PNG, of the first data sets of the table that have one: (data set, file)."""
    wanted = [board.data for board in found.boards[: found.shown]]
    pictures = {
        data.title: block
        for suite in report.sections
        for data in suite.sections
        for part in data.sections
        for block in part.blocks
        if isinstance(block, Picture) and part.title == "Samples" and block.path.suffix == ".png"
    }
    for data in [data for data in wanted if data in pictures][:STRIP]:
        yield data, _small(pictures[data])


def _small(picture: Picture) -> bytes:
    with Image.open(picture.path, formats=["PNG"]) as image:
        whole = image.convert("RGBA")
    whole.thumbnail((WIDE * SCALE, 2 * WIDE * SCALE))
    file = BytesIO()
    whole.quantize(SHADES).save(file, format="PNG", optimize=True)
    return file.getvalue()
