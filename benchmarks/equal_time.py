"""Section "Equal time" of results/rankings.md: the methods of the README's track at nearly equal training time.

`benchmarks.readme` writes it. Each method has one of the budgets that the track trains anyway: the longest whose
training takes at most `MOST` times the seconds of the baseline at the longest budget. A method may use less time than
the baseline, never much more.
"""

from itertools import combinations
from typing import NamedTuple

from benchmarks import tables
from genbench.analysis.effects import Summary
from genbench.analysis.labels import counted
from genbench.analysis.significance import compare_all
from genbench.report.track_board import Heat, TrackBoard
from genbench.report.track_cells import Seconds

TITLE = "## Equal time\n\n"
MOST = 1.5


class Budget(NamedTuple):
    """The steps that a method is given, and the processor seconds that they take."""

    steps: int
    seconds: float


def budgets(board: TrackBoard, timed: Seconds) -> dict[str, Budget]:
    """Return {method: its budget}, without methods that are too slow for every budget."""
    limit = MOST * timed.seconds[board.baseline] * board.budgets[-1] / 1000
    costs = {
        model: [Budget(steps, seconds * steps / 1000) for steps in board.budgets]
        for model, seconds in timed.seconds.items()
    }
    allowed = {model: [each for each in own if each.seconds <= limit] for model, own in costs.items()}
    return {model: own[-1] for model, own in allowed.items() if own}


def equal_time(board: TrackBoard, given: dict[str, Budget]) -> Heat:
    """Return the contests of methods with their own budgets and samplers, on the seeds of the longest budget."""
    longest = board.heat(board.budgets[-1], None)
    contests = []
    for index, contest in enumerate(longest.contests):
        cells = {}
        for model, own in given.items():
            cell = board.heat(own.steps, None).contests[index].cells[model]
            values = {seed: value for seed, value in cell.values.items() if seed in longest.seeds}
            cells[model] = cell._replace(values=values)
        complete = {model: cell.values for model, cell in cells.items() if not cell.word}
        pairs = compare_all(complete, contest.better, contest.floor)
        contests.append(contest._replace(cells=cells, pairs=pairs))
    return longest._replace(contests=tuple(contests)).on([each.data for each in contests], board.baseline)


def section(board: TrackBoard) -> str:
    """Return the section, with its title."""
    timed, longest = board.seconds, board.budgets[-1]
    assert timed is not None
    given = budgets(board, timed)
    heat = equal_time(board, given)
    limit = f"{MOST:g} times the seconds of {board.baseline} at {longest:,} steps"
    intro = (
        f"Each method of [plane-v1](plane-v1/table.md), with default settings and its own sampler, at the longest "
        f"trained budget that takes at most {limit}. Few budgets are trained, so some methods have half of that time. "
        f"Excess over real data as a multiple of {board.baseline}'s: geometric mean over "
        f"{counted(len(heat.effects.scored), 'task')} ({', '.join(heat.effects.scored)}) and "
        f"{counted(len(heat.seeds), 'seed')}, with its 95 % t interval over tasks; methods that share a letter are not "
        f"separated. Seconds: processor time on one thread, measured on {timed.task}, without work that each training "
        f"does once, such as the pairs of reflow."
    )
    rows = [
        (
            each.method,
            f"{given[each.method].steps:,}",
            f"{given[each.method].seconds:.0f}",
            f"{interval(each)} {each.letters}" if each.ratio is not None else f"lacks {', '.join(each.lacks)}",
        )
        for each in heat.effects.summaries
    ]
    table = tables.markdown(("method", "steps", "seconds", "excess"), rows)
    return f"{TITLE}{tables.fill(intro)}\n\n{table}\n{tables.fill(verdict(board, heat, given))}\n"


def interval(each: Summary) -> str:
    """Return the ratio of a method with its interval, if it has any."""
    if each.ratio is None or each.low is None or each.low == each.high:
        return "no ratio" if each.ratio is None else f"{each.ratio:.2f}"
    return f"{each.ratio:.2f} ({each.low:.2f}-{each.high:.2f})"


def verdict(board: TrackBoard, heat: Heat, given: dict[str, Budget]) -> str:
    """Return a sentence that compares the first method at equal steps, which the README names, with equal time."""
    best, base = board.heat(heat.steps, None).effects.summaries[0], board.baseline
    (now,) = (each for each in heat.effects.summaries if each.method == best.method)
    alike = sum(not {*each.letters}.isdisjoint(now.letters) for each in heat.effects.summaries) - 1
    ranked = sum(each.ratio is not None for each in heat.effects.summaries) - 1
    met = [c for c in heat.contests if not c.cells[best.method].word and not c.cells[base].word]
    better = sum(c.above_floor(best.method) < c.above_floor(base) for c in met)
    apart = sum(c.pairs.apart(best.method, base) for c in met)
    slower = given[best.method].seconds / given[best.method].steps * heat.steps
    return (
        f"After {heat.steps:,} steps each, {best.method} has {interval(best)} times the excess of {base} and comes "
        f"first, as the README says, but takes {slower:.0f} s where {base} takes {given[base].seconds:.0f} s; at "
        f"equal time it has {interval(now)}, is not separated from {alike} of {ranked} other methods, and its mean is "
        f"better than the mean of {base} on {better} of {counted(len(met), 'task')} (separated on {apart})."
    )


def sentence(board: TrackBoard) -> str:
    """Return the same in one sentence, for the README."""
    assert board.seconds is not None
    heat = equal_time(board, budgets(board, board.seconds))
    best = board.heat(heat.steps, None).effects.summaries[0].method
    (now,) = (each for each in heat.effects.summaries if each.method == best)
    ranked = [each for each in heat.effects.summaries if each.ratio is not None]
    apart = [each.method for each in ranked if not {*each.letters} & {*now.letters}]
    if all({*one.letters} & {*other.letters} for one, other in combinations(ranked, 2)):
        said = "no two methods are separated"
    else:
        said = f"it is separated from {', '.join(apart) or 'no other method'}"
    return (
        f"[At equal training time](results/rankings.md#equal-time), with default settings, {best} has {interval(now)} "
        f"times the excess of {board.baseline}; {said} ({counted(len(heat.effects.scored), 'task')})."
    )
