"""Section "Equal time" of results/rankings.md: the methods of the README's track at nearly equal training time.

`benchmarks.readme` writes it. Each method has one of the budgets that the track trains anyway: the longest whose
training takes at most `MOST` times the seconds of the baseline at the longest budget shown. A method may use much less
time than the baseline, never much more; of the method that comes first at equal steps, the next budget is stated, too.
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
    longest = board.shown[-1]
    limit = MOST * timed.seconds[board.baseline] * longest / 1000
    costs = {
        model: [Budget(steps, seconds * steps / 1000) for steps in board.budgets if steps <= longest]
        for model, seconds in timed.seconds.items()
    }
    allowed = {model: [each for each in own if each.seconds <= limit] for model, own in costs.items()}
    return {model: own[-1] for model, own in allowed.items() if own}


def equal_time(board: TrackBoard, given: dict[str, Budget]) -> Heat:
    """Return the contests of methods with their own budgets and samplers, on the seeds of the longest budget."""
    longest = board.heat(board.shown[-1], None)
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
    timed, longest = board.seconds, board.shown[-1]
    assert timed is not None
    given = budgets(board, timed)
    heat = equal_time(board, given)
    shares = [own.seconds / given[board.baseline].seconds for own in given.values()]
    limit = f"{MOST:g} times the seconds of {board.baseline} at {longest:,} steps"
    base = board.baseline
    intro = (
        f"Each method of [{board.name}]({board.name}/table.md), with default settings and its own sampler, at the "
        f"longest trained budget that takes at most {limit}. Few budgets are trained, so methods have "
        f"{min(shares):.1f} to {max(shares):.1f} times the seconds of {base}. Excess over real data as a multiple of "
        f"{base}'s: geometric mean over {counted(len(heat.effects.scored), 'task')} "
        f"({', '.join(heat.effects.scored)}) and {counted(len(heat.seeds), 'seed')}, with its 95 % t interval over "
        f"tasks; methods that share a letter are not separated. Seconds: processor time on one thread, measured on "
        f"{timed.task}, without work that each training does once, such as the pairs of reflow."
    )
    rows = [
        (
            each.method,
            f"{given[each.method].steps:,}",
            f"{given[each.method].seconds:.0f}",
            told(each),
        )
        for each in heat.effects.summaries
    ]
    found = bracket(board, heat, given)
    if found is not None and found.more is not None:
        budget, then = found.more
        best = found.steps.method
        own = interval(_of(then, best))  # without letters, which compare the other rows
        rows.append((f"{best}, above the limit", f"{budget.steps:,}", f"{budget.seconds:.0f}", own))
    table = tables.markdown(("method", "steps", "seconds", "excess"), rows)
    return f"{TITLE}{tables.fill(intro)}\n\n{table}\n{tables.fill(verdict(board, heat, given))}\n"


def interval(each: Summary) -> str:
    """Return the ratio of a method with its interval, if it has any."""
    if each.ratio is None or each.low is None or each.low == each.high:
        return "no ratio" if each.ratio is None else f"{each.ratio:.2f}"
    return f"{each.ratio:.2f} ({each.low:.2f}-{each.high:.2f})"


def told(each: Summary) -> str:
    """Return the ratio of a method with its interval and letters, or the tasks that it lacks."""
    return f"{interval(each)} {each.letters}" if each.ratio is not None else f"lacks {', '.join(each.lacks)}"


class Bracket(NamedTuple):
    """The method that comes first at equal steps, as the README says, at two budgets around the time of the baseline.

    Args:
        steps: its summary after as many steps as the baseline.
        less: its budget at nearly equal time, with its summary there.
        more: its next budget, with the contests at this budget; None if it has none, or no ratio there.
    """

    steps: Summary
    less: tuple[Budget, Summary]
    more: tuple[Budget, Heat] | None


def bracket(board: TrackBoard, heat: Heat, given: dict[str, Budget]) -> Bracket | None:
    """Return the comparison of equal steps with equal time; None if the first method has no ratio at equal time."""
    first = _first(board, heat)
    if first.method not in given or _of(heat, first.method).ratio is None:
        return None
    own, more = given[first.method], None
    if longer := [steps for steps in board.budgets if own.steps < steps <= heat.steps]:
        budget = Budget(longer[0], own.seconds / own.steps * longer[0])
        then = equal_time(board, given | {first.method: budget})
        more = None if _of(then, first.method).ratio is None else (budget, then)
    return Bracket(first, (own, _of(heat, first.method)), more)


def _first(board: TrackBoard, heat: Heat) -> Summary:
    return board.heat(heat.steps, None).effects.summaries[0]


def without(board: TrackBoard, heat: Heat) -> str:
    """Return that the first method at equal steps has no ratio at equal time."""
    return f"{_first(board, heat).method} has no ratio: it is too slow for every trained budget, or lacks a task."


def _of(heat: Heat, method: str) -> Summary:
    return next(each for each in heat.effects.summaries if each.method == method)


def _level(heat: Heat, own: Summary) -> str:
    others = [each for each in heat.effects.summaries if each.ratio is not None and each.method != own.method]
    alike = sum(not each.apart(own) for each in others)
    return f"not separated from {alike} of {len(others)} other methods"


def verdict(board: TrackBoard, heat: Heat, given: dict[str, Budget]) -> str:
    """Return sentences that compare the first method at equal steps, which the README names, with equal time."""
    if (found := bracket(board, heat, given)) is None:
        return f"At nearly equal time, {without(board, heat)}"
    first, (own, now), more = found
    best, base = first.method, board.baseline
    met = [c for c in heat.contests if not c.cells[best].word and not c.cells[base].word]
    better = sum(c.above_floor(best) < c.above_floor(base) for c in met)
    ahead, behind = (sum(c.pairs.beats(*pair) for c in met) for pair in ((best, base), (base, best)))
    slower, later = own.seconds / own.steps * heat.steps, ""
    if more:
        then = _of(more[1], best)
        later = f" In {more[0].seconds:.0f} s, it has {interval(then)} and is {_level(more[1], then)}."
    return (
        f"After {heat.steps:,} steps each, {best} has {interval(first)} times the excess of {base} and comes first, as "
        f"the README says, but takes {slower:.0f} s where {base} takes {given[base].seconds:.0f} s. In "
        f"{own.seconds:.0f} s, it has {interval(now)} and is {_level(heat, now)}; its "
        f"mean is better than the mean of {base} on {better} of {counted(len(met), 'task')} (separated on {ahead}) and "
        f"worse on {len(met) - better} (separated on {behind}).{later}"
    )


def sentence(board: TrackBoard) -> str:
    """Return the same in one sentence, for the README."""
    assert board.seconds is not None
    given = budgets(board, board.seconds)
    heat = equal_time(board, given)
    start = "[At nearly equal training time](results/rankings.md#equal-time) with default settings"
    if (found := bracket(board, heat, given)) is None:
        return f"{start}, {without(board, heat)}"
    first, (own, now), more = found
    ranked = [each for each in heat.effects.summaries if each.ratio is not None]
    place = ranked.index(now)
    worse, better = ([each.method for each in side if each.apart(now)] for side in (ranked[:place], ranked[place:]))
    if not any(one.apart(other) for one, other in combinations(ranked, 2)):
        said = "no two methods are separated"
    elif not worse + better:
        said = f"{first.method} is separated from no other method"
    else:
        sides = [f"{side} than {' and '.join(own)}" for side, own in (("better", better), ("worse", worse)) if own]
        said = f"{first.method} is {' and '.join(sides)}, and separated from no other method"
    base, later = board.baseline, ""
    if more:
        then = _of(more[1], first.method)
        alike = "" if then.apart(_of(more[1], base)) else f", not separated from {base}"
        later = f" After {more[0].seconds:.0f} s, it has {interval(then)}{alike}."
    return (
        f"{start}, {said}. After {own.seconds:.0f} s, {first.method} has {interval(now)} times the excess that {base} "
        f"has after {given[base].seconds:.0f} s ({counted(len(heat.effects.scored), 'task')}).{later}"
    )
