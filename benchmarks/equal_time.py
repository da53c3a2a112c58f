"""Section "Equal time" of results/rankings.md: the methods of the README's track within one limit of training time.

`benchmarks.readme` writes it. The time limit is `MOST` times the seconds of the baseline at the longest budget shown.
On each task, a method has the longest trained budget within this limit, so it may use much less time than the baseline.
Seconds are measured on one task of each shape. The method that comes first at equal steps is also shown at its next
budget.
"""

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks import tables
from genbench.analysis.effects import Summary
from genbench.analysis.labels import counted, listed
from genbench.analysis.significance import compare_all
from genbench.analysis.values import group_by
from genbench.errors import ConfigError
from genbench.report.track_board import Heat, TrackBoard
from genbench.report.track_cells import Cell, Seconds, ShapeSeconds
from genbench.report.track_sentences import metrics, why_unscored

TITLE = "## Equal time\n\n"
MOST = 1.5
IDLE = 0.5
"""Load per core up to which a machine counts as idle."""
SLOW, UNTIMED, UNSUPPORTED = "too slow", "not timed", "unsupported"
"""Words of a method without a budget on a task: every trained budget takes too long, or no seconds were measured."""


class Budget(NamedTuple):
    """The steps that a method is given, and the processor seconds that they take."""

    steps: int
    seconds: float


Given = Mapping[str, Mapping[str, Budget]]
"""{task: {method: its budget}}, with all tasks of measured shapes."""


def budgets(board: TrackBoard) -> Given:
    """Return the budget of each method on each task, without methods that are too slow or not timed there."""
    found: dict[str, dict[str, Budget]] = {}
    for shape in _timed(board).shapes:
        limit = MOST * shape.seconds[board.baseline] * board.shown[-1] / 1000
        costs = {model: _costs(board, shape, model) for model in shape.seconds}
        allowed = {model: [each for each in own if each.seconds <= limit] for model, own in costs.items()}
        longest = {model: own[-1] for model, own in allowed.items() if own}
        found |= {task: longest for task in shape.tasks}
    return found


def _timed(board: TrackBoard) -> Seconds:
    """Return the seconds of the shapes on which the baseline was measured.

    Raises:
        ConfigError: if there are none.
    """
    if board.seconds and (shapes := [shape for shape in board.seconds.shapes if board.baseline in shape.seconds]):
        return board.seconds.model_copy(update={"shapes": shapes})
    raise ConfigError(
        f"{board.name}: the seconds of {board.baseline} were not measured (benchmarks/perf/step_seconds.py)"
    )


def _is_timed(board: TrackBoard, model: str) -> bool:
    return any(model in shape.seconds for shape in _timed(board).shapes)


def _costs(board: TrackBoard, shape: ShapeSeconds, model: str) -> list[Budget]:
    """Return the budgets that are trained, up to the longest shown, with the seconds of a method."""
    shown = (steps for steps in board.budgets if steps <= board.shown[-1])
    return [Budget(steps, shape.seconds[model] * steps / 1000) for steps in shown]


def equal_time(board: TrackBoard, given: Given) -> Heat:
    """Return the contests of methods with their own budgets and samplers, on the seeds of the longest budget."""
    longest = board.heat(board.shown[-1], None)
    methods = [model for model in board.models if _is_timed(board, model)]
    contests = []
    for index, contest in enumerate(longest.contests):
        if contest.data not in given:
            continue
        cells = {}
        for model in methods:
            own = given[contest.data].get(model)
            cells[model] = (
                _without(board, contest.data, model)
                if own is None
                else _on_seeds(board.heat(own.steps, None), index, model, longest)
            )
        complete = {model: cell.values for model, cell in cells.items() if not cell.word}
        pairs = compare_all(complete, contest.better, contest.floor)
        contests.append(contest._replace(cells=cells, pairs=pairs))
    return longest._replace(contests=tuple(contests)).on([each.data for each in contests], board.baseline)


def _without(board: TrackBoard, task: str, model: str) -> Cell:
    """Return the cell of a method without a budget on a task."""
    (cells,) = (each.cells for each in board.heat(board.shown[-1], None).contests if each.data == task)
    if cells[model].word == UNSUPPORTED:
        return cells[model]
    timed = any(task in shape.tasks and model in shape.seconds for shape in _timed(board).shapes)
    return Cell({}, SLOW if timed else UNTIMED)


def _on_seeds(heat: Heat, index: int, model: str, longest: Heat) -> Cell:
    """Return the cell of a method on the seeds of the longest budget; what other seeds lack does not count."""
    cell = heat.contests[index].cells[model]
    values = {seed: value for seed, value in cell.values.items() if seed in longest.seeds}
    lacked = len(cell.values) < len(heat.seeds) and len(values) == len(longest.seeds)
    return cell._replace(values=values, word="" if lacked else cell.word)


def section(board: TrackBoard) -> str:
    """Return the section, with its title."""
    given, base = budgets(board), board.baseline
    heat = equal_time(board, given)
    shares = [own.seconds / task[base].seconds for task in given.values() for own in task.values()]
    too_slow = any(cell.word == SLOW for contest in heat.contests for cell in contest.cells.values())
    slow = f"; it is {SLOW} where {board.budgets[0]:,} steps take more" if too_slow else ""
    none = f" No ratio on {listed(near)}: {why_unscored([heat], base)}." if (near := heat.effects.unscored) else ""
    intro = (
        f"Each method of [{board.name}](../genbench/suites/{board.name}/table.md), with default settings and its own "
        f"sampler, is given on each task the longest trained budget that takes at most {MOST:g} times the seconds of "
        f"{base} at {heat.steps:,} steps{slow}. Because few budgets are trained, methods take {_times(shares)} "
        f"{base}'s seconds. Excess over real data in {metrics(heat)} as a multiple of {base}'s: geometric mean over "
        f"{counted(len(heat.effects.scored), 'task')} ({', '.join(heat.effects.scored)}) and "
        f"{counted(len(heat.seeds), 'seed')}, with its 95 % t interval over tasks, uncorrected; {tables.ALIKE}.{none} "
        f"{_how(board)}"
    )
    excess = {each.method: told(each) for each in heat.effects.summaries}
    methods = list(dict.fromkeys([*excess, *heat.contests[0].cells]))
    rows = [(model, *_spent(board, given, model), excess.get(model, "lacks all tasks")) for model in methods]
    found = bracket(board, heat, given)
    if found is not None and found.above is not None:
        best, own = found.steps.method, interval(found.above.own)  # without letters, which compare the other rows
        rows.append((f"{best}, above the limit", *_spent(board, found.above.given, best), own))
    table = tables.markdown(("method", *(f"steps, {shape.task}" for shape in _timed(board).shapes), "excess"), rows)
    return f"{TITLE}{tables.fill(intro)}\n\n{table}\n{tables.fill(verdict(board, heat, given))}\n"


def _how(board: TrackBoard) -> str:
    """Return how seconds were measured, and which tasks are left out because their shape was not."""
    timed = _timed(board)
    shapes = timed.shapes
    tasks = [contest.data for contest in board.heat(board.shown[-1], None).contests]
    left = [data for data in tasks if all(data not in shape.tasks for shape in shapes)]
    return (
        f"Seconds: processor time on one thread, measured on {listed([shape.task for shape in shapes])} for all tasks "
        f"of {'their shapes' if len(shapes) > 1 else 'its shape'}, with the training of reflow's teacher, but without "
        "reflow's pairs, which each training solves anew (in 2D about 1 s), and sdcfm's potentials, found once per "
        "data set (in 2D, [30 to 50 s](couplings.md#what-a-step-costs) would put a first training above the limit)"
        f"{'' if timed.load <= IDLE * timed.cores else f'; the machine was busy ({timed.state})'}."
        f"{f' Left out, because no task of their shape was measured: {listed(left)}.' if left else ''}"
    )


def _spent(board: TrackBoard, given: Given, model: str) -> list[str]:
    """Return the steps and seconds of a method on tasks of each shape."""
    found = [(shape.task, given[shape.task].get(model)) for shape in _timed(board).shapes]
    return [
        f"{own.steps:,} in {own.seconds:.0f} s" if own else _without(board, task, model).word for task, own in found
    ]


def _times(ratios: list[float]) -> str:
    """Return the smallest and the largest of some ratios, in words."""
    least, most = f"{min(ratios):.1f}", f"{max(ratios):.1f}"
    return f"{least} times" if least == most else f"{least} to {most} times"


def interval(each: Summary) -> str:
    """Return the ratio of a method with its interval, if it has any."""
    if each.ratio is None or each.low is None or each.low == each.high:
        return "no ratio" if each.ratio is None else f"{each.ratio:.2f}"
    return f"{each.ratio:.2f} ({each.low:.2f}-{each.high:.2f})"


def told(each: Summary) -> str:
    """Return the ratio of a method with its interval and letters, or the tasks that it lacks."""
    return f"{interval(each)} {each.letters}" if each.ratio is not None else f"lacks {', '.join(each.lacks)}"


class Case(NamedTuple):
    """A method on some tasks, with its own budgets there.

    Args:
        given: all budgets.
        heat: the contests on these tasks.
        own: its summary.
        share: its seconds on the scored tasks, as multiples of the baseline's.
        side: "better" or "worse" if it is separated from the baseline: across tasks, or within the only scored task.
    """

    given: Given
    heat: Heat
    own: Summary
    share: str
    side: str

    @property
    def tasks(self) -> tuple[str, ...]:
        """The scored tasks."""
        return self.heat.effects.scored


class Bracket(NamedTuple):
    """The method that comes first at equal steps, as the README says, within the time limit and above it.

    Args:
        steps: its summary after as many steps as the baseline.
        gaps: why it lacks scored tasks within the limit, in words; empty if it lacks none.
        above: its next budgets on all tasks; None if it has none, or lacks a scored task there.
        cases: within the limit; if it has next budgets, these on the same tasks and on the scored tasks that it lacks.
    """

    steps: Summary
    gaps: str
    above: Case | None
    cases: list[Case]


def bracket(board: TrackBoard, heat: Heat, given: Given) -> Bracket | None:
    """Return the comparison of equal steps with the time limit; None if the first method has no scored task there."""
    first = board.heat(heat.steps, None).effects.summaries[0]
    method = first.method
    if not _is_timed(board, method):
        return None
    own = [contest.data for contest in heat.contests if not contest.cells[method].word]
    if (within := _case(board, given, heat.on(own, board.baseline), method)) is None:
        return None
    words = {c.data: c.cells[method].word for c in heat.contests if c.data in heat.effects.scored}
    lacked = group_by(
        (data for data, word in words.items() if word),
        lambda data: f"is {words[data]}" if words[data] in (SLOW, UNTIMED, UNSUPPORTED) else "lacks seeds",
    )
    gaps = [f"{what} on {listed(tasks)}" for what, tasks in lacked.items()]
    cases, above, longer = [within], None, _longer(board, given, method)
    if longer != given:
        then = equal_time(board, longer)
        if above := _case(board, longer, then, method):
            parts = (then.on(tasks, board.baseline) for tasks in (own, [data for data, word in words.items() if word]))
            cases += [case for part in parts if (case := _case(board, longer, part, method))]
    return Bracket(first, " and ".join(gaps), above, cases)


def _case(board: TrackBoard, given: Given, heat: Heat, method: str) -> Case | None:
    """Return a method on the tasks of some contests; None without a ratio."""
    own = next((each for each in heat.effects.summaries if each.method == method and each.ratio is not None), None)
    if own is None:
        return None
    scored, base = heat.effects.scored, board.baseline
    share = _times([given[task][method].seconds / given[task][base].seconds for task in scored])
    if len(scored) == 1:  # nothing is tested over tasks
        is_apart = next(c.pairs.apart(method, base) for c in heat.contests if c.data in scored)
    else:
        is_apart = next(each.apart(own) for each in heat.effects.summaries if each.method == base)
    side = "better" if (own.ratio or 0.0) < 1 else "worse"
    return Case(given, heat, own, share, side if is_apart else "")


def _longer(board: TrackBoard, given: Given, model: str) -> Given:
    """Return the same budgets, but a method's next one on each task, where there is one."""
    found = dict(given)
    for shape in _timed(board).shapes:
        own = given[shape.task].get(model)
        costs = _costs(board, shape, model) if model in shape.seconds else []
        longer = [each for each in costs if own is None or each.steps > own.steps]
        if longer:
            found |= {task: {**given[task], model: longer[0]} for task in shape.tasks}
    return found


def without(board: TrackBoard, heat: Heat) -> str:
    """Return that the first method at equal steps has no ratio within the time limit."""
    first = board.heat(heat.steps, None).effects.summaries[0].method
    why = "it is too slow for every trained budget, not timed, or lacks seeds"
    return f"{first} has no ratio: {why if _is_timed(board, first) else 'its seconds were not measured'}."


def verdict(board: TrackBoard, heat: Heat, given: Given) -> str:
    """Return sentences that compare the first method at equal steps, which the README names, with the time limit."""
    if (found := bracket(board, heat, given)) is None:
        return f"Within the time limit, {without(board, heat)}"
    first, gaps, above, (within, *_) = found
    best, base = first.method, board.baseline
    met = [c for c in heat.contests if not c.cells[best].word and not c.cells[base].word]
    better = sum(c.pairs.order.index(best) < c.pairs.order.index(base) for c in met)
    ahead, behind = (sum(c.pairs.beats(*pair) for c in met) for pair in ((best, base), (base, best)))
    timed = [shape.seconds for shape in _timed(board).shapes if best in shape.seconds]
    steps = _times([seconds[best] / seconds[base] for seconds in timed])
    *apart, alike = _sides(within.heat, best)
    parts = [within.heat.on([task for task in within.tasks if task != left], base) for left in within.tasks]
    counts = sorted(sum(_sides(part, best)[:2]) for part in parts) if len(parts) > 2 else []
    unscored = [c.data for c in met if c.data not in within.tasks]
    said = [
        f"After {heat.steps:,} steps each, {best} has {interval(first)} times the excess of {base} and comes first, as "
        f"the README says, but takes {steps} the seconds.",
        *([f"Within the time limit, it {gaps}."] if gaps else []),
        _compared(found, base, f" on the other {counted(len(within.tasks), 'task')}" if gaps else ""),
        *([f"Over all {len(above.tasks)}, above the limit, it has {interval(above.own)}."] if gaps and above else []),
        f"Within the limit, {best} is not separated from {alike} of {sum(apart) + alike} other methods.",
        *([f"If one task is left out, it is separated from {counts[0]} to {counts[-1]} methods."] if counts else []),
        f"Its mean is better than {base}'s on {better} of {counted(len(met), 'task')} (separated on {ahead}) and worse "
        f"on {len(met) - better} (separated on {behind}).",
        *([f"The {len(met)} tasks include {listed(unscored)}, which have no ratio."] if unscored else []),
    ]
    return " ".join(said)


def _compared(found: Bracket, base: str, where: str) -> str:
    """Return the ratios and seconds of all cases, and in which the method is separated from the baseline."""
    within, *longer = found.cases
    said = f"With {within.share} {base}'s seconds, it has {interval(within.own)} times {base}'s excess{where}"
    if not longer:
        return f"{said}."
    same, *rest = longer
    said += f"; with {same.share}, {interval(same.own)}."
    for own in rest:
        said += f" On {listed(own.tasks)}, it has {interval(own.own)} times the excess with {own.share} the seconds."
    apart = [f"{case.side} with {case.share} the seconds" for case in found.cases if case.side]
    none = f"In none of these cases is it separated from {base}."
    return f"{said} {f'It is separated from {base}: {listed(apart)}.' if apart else none}"


def _sides(heat: Heat, method: str) -> tuple[int, int, int]:
    """Return than how many methods one is better, or worse, separated over tasks, and from how many it is not."""
    ranked = [each for each in heat.effects.summaries if each.ratio is not None]
    place = [each.method for each in ranked].index(method)
    better, worse = (sum(each.apart(ranked[place]) for each in some) for some in (ranked[place:], ranked[:place]))
    return better, worse, len(ranked) - 1 - better - worse


def sentence(board: TrackBoard) -> str:
    """Return the same in a few sentences, for the README."""
    given, base = budgets(board), board.baseline
    heat = equal_time(board, given)
    limit = f"Within {MOST:g} times {base}'s time for {board.shown[-1]:,} steps"
    start = f"[{limit}](results/rankings.md#equal-time) with default settings"
    if (found := bracket(board, heat, given)) is None:
        return f"{start}, {without(board, heat)}"
    method, within, gaps = found.steps.method, found.cases[0], found.gaps
    ahead, behind, alike = _sides(within.heat, method)
    counts = {"better than": ahead, "worse than": behind, "not separated from": alike}
    sides = listed(f"{words} {number}" for words, number in counts.items() if number)
    tasks = f"{counted(len(within.tasks), 'other task' if gaps else 'task')} ({', '.join(within.tasks)})"
    fails = f"separate {method} from one of these {alike}" if alike else f"do not separate {method} from all others"
    return (
        f"{start}, {f'{method} {gaps}. On' if gaps else 'on'} {tasks}, {method} has {interval(within.own)} times "
        f"{base}'s excess with {within.share} {base}'s seconds. It is {sides} of {sum(counts.values())} other methods. "
        f"This claim is refuted if {counted(len(heat.seeds), 'other seed')} or other tasks {fails}."
    )
