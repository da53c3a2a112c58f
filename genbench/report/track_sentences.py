"""What the table across the tasks of a track says, in sentences."""

from genbench.analysis.effects import Summary
from genbench.analysis.labels import counted
from genbench.report.track_board import REGIMES, Heat, TrackBoard
from genbench.report.track_table import lacks

NAMED = 3
"""Methods that a sentence names as not separated from the first; more are counted."""


def sentences(board: TrackBoard) -> list[str]:
    """Return what the table across tasks says at the longest budget that ranks methods.

    Returns:
        Which method comes first with its own sampler; what would refute this; which methods are separated from the
        baseline or not ranked; then the same for small NFE. Empty for a track that does not rank methods.
    """
    heat = next((each for steps in board.shown[::-1] if len(_ranked(each := board.heat(steps, None))) > 1), None)
    if heat is None:
        return []
    where = f"{board.name} with tuned settings" if board.settings == "tuned" else board.name
    first, ends = _ranked(heat)[0], ""
    if first.low is not None and first.method != board.baseline:
        ends = f" (95 % interval {first.low:.2f} to {first.high:.2f})"
    ratio = f"{first.ratio:.2f} times the excess of {board.baseline}{ends}"
    refuted = "ahead of {0} and separated from {0}" if _alike(heat) else "not separated from {0}"
    longer = [f"{steps:,}" for steps in board.budgets if steps > heat.steps]
    later = f" Nothing is claimed for {' and '.join(longer)} steps, where cells are missing." if longer else ""
    few = [each for nfe in REGIMES if nfe and len(_ranked(each := board.heat(heat.steps, nfe))) > 1]
    return [
        f"{_first(heat, f'On {where} after {heat.steps:,} training steps, each method with its own sampler')} "
        f"Across {len(heat.effects.scored)} tasks, {first.method} has {ratio}.",
        f"A repeat with {len(heat.seeds)} other seeds on the same tasks refutes this if another method is then "
        f"{refuted.format(first.method)}.{later}",
        _others(board, heat),
        *(f"{_first(h, _by(h.nfe))} {_others(board, h)}" for h in few if h.nfe),
    ]


def _by(nfe: int) -> str:
    return f"With {counted(nfe, 'network evaluation')}"


def _ranked(heat: Heat) -> list[Summary]:
    """Return the methods with a ratio over several tasks, the best first."""
    several = len(heat.effects.scored) > 1
    return [summary for summary in heat.effects.summaries if several and summary.ratio is not None]


def _first(heat: Heat, when: str) -> str:
    first = _ranked(heat)[0]
    if alike := _alike(heat):
        named = ", ".join(alike) if len(alike) <= NAMED else counted(len(alike), "other")
        return f"{when}, {first.method} comes first but is not separated from {named}."
    return f"{when}, {first.method} wins: it is separated from every other ranked method."


def _alike(heat: Heat) -> list[str]:
    """Return the methods that are not separated from the first one."""
    first, *others = _ranked(heat)
    return [summary.method for summary in others if {*summary.letters} & {*first.letters}]


def _others(board: TrackBoard, heat: Heat) -> str:
    """Return which methods are separated from the baseline, and which are not ranked."""
    ranked = {summary.method: summary for summary in _ranked(heat)}
    parts: list[str] = []
    if (base := ranked.get(board.baseline)) is not None:
        apart = [summary for summary in ranked.values() if not {*summary.letters} & {*base.letters}]
        for word, better in (("better", True), ("worse", False)):
            methods = [summary.method for summary in apart if ((summary.ratio or 0) < 1) is better]
            parts += [f"Separated from {board.baseline} and {word}: {', '.join(methods)}."] if methods else []
        parts = parts or [f"No method is separated from {board.baseline}."]
    left = [_unranked(heat, model, next(iter(ranked))) for model in board.models if model not in ranked]
    return " ".join([*parts, f"Not ranked: {', '.join(left)}."] if left else parts)


def _unranked(heat: Heat, model: str, first: str) -> str:
    """Return why a method has no ratio, and on how many tasks it is separated as better than the first, if on any."""
    summary = next((each for each in heat.effects.summaries if each.method == model), None)
    met = [c.pairs for c in heat.contests if not c.cells[model].word and not c.cells[first].word]
    better = sum(pairs.beats(model, first) for pairs in met)
    compared = f"; better than {first} on {better} of {len(met)}" if better else ""
    return f"{model} ({lacks(heat, model, summary)}{compared})"
