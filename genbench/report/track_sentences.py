"""What the table across the tasks of a track says, in sentences, and what stands below the tables of a track."""

from collections.abc import Callable, Iterable, Sequence

from genbench.analysis.effects import Summary
from genbench.analysis.labels import counted, listed
from genbench.analysis.means import LEVEL
from genbench.analysis.significance import sign_flips
from genbench.analysis.values import group_by
from genbench.report.track_board import ABSENT, Contest, Heat, TrackBoard

NAMED = 3
"""Methods that a sentence names as not separated from the first; more are counted."""
BOTH = "better on some and worse on others"
OWN_DATA = "the data set's own"
NOISY = 1 / 3
"""Evaluation error divided by the spread over seeds above which captions name a task."""


def sentences(board: TrackBoard) -> list[str]:
    """Return what the table across tasks says at the budgets shown that rank methods, the leading budget first.

    Returns:
        For the leading budget what `places` and what `separations` says; for each other budget both in one. Empty for
        a track that does not rank methods.
    """
    said = [[part for part in pair if part] for pair in zip(places(board), separations(board).values(), strict=True)]
    return [*said[0], *(" ".join(pair) for pair in said[1:])] if said else []


def places(board: TrackBoard) -> list[str]:
    """Return, for each of these budgets, which method comes first with its own sampler, and what would refute this."""
    if not (ranking := _ranking(board)):
        return []
    heat, *others = ranking
    unequal = heat.settings == "tuned" or _mixed(board.heats)
    when = f"On {board.name} after {heat.steps:,} training steps with"
    when += f" {heat.settings} settings and" if unequal else ""
    longer = [f"{steps:,}" for steps in board.budgets if steps > max(each.steps for each in ranking)]
    later = f" Nothing is claimed for {' and '.join(longer)} steps, where cells are missing." if longer else ""
    return [
        " ".join(
            [_first(heat, f"{when} each method's own sampler"), *_excess(board, heat), f"{_refuted(heat)}{later}"]
        ),
        *(f"{_first(each, _at(each, unequal))} {_likewise(each, heat)}" for each in others),
    ]


def separations(board: TrackBoard) -> dict[int, str]:
    """Return {steps: which methods are separated from the baseline, and which are not ranked}, for each of these."""
    return {
        heat.steps: " ".join([*_apart(board, heat), *_single(board, heat), *_left(board, heat)])
        for heat in _ranking(board)
    }


def _ranking(board: TrackBoard) -> list[Heat]:
    return [heat for heat in board.leading() if len(_ranked(heat)) > 1]


def _refuted(heat: Heat) -> str:
    """Return what would refute the sentence on the first method: seeds test its place, and tasks what is separated."""
    first, alike = _ranked(heat)[0].method, _alike(heat)
    seeds = counted(len(heat.seeds), "other seed")
    place = f"This ranking is refuted if another method has a lower ratio in a repeat with {seeds}"
    tests = f"tests over {counted(len(heat.effects.scored), 'other task')}"
    if not alike:
        return f"{place}, or is not separated from {first} in {tests}."
    any_of = "one of these " if len(alike) > NAMED else ""
    return f"{place}, or if {tests} separate {first} from {any_of}{_named(alike)}."


def _likewise(heat: Heat, first: Heat) -> str:
    """Return what would refute the place of a method, after it was said of another budget."""
    if bool(_alike(heat)) is not bool(_alike(first)):
        return _refuted(heat)
    seeds, tasks = counted(len(heat.seeds), "other seed"), counted(len(heat.effects.scored), "other task")
    return f"This ranking is refuted likewise, with {seeds} or {tasks}."


def _mixed(heats: Sequence[Heat]) -> bool:
    return len({heat.settings for heat in heats}) > 1


def _at(heat: Heat, unequal: bool) -> str:
    return f"After {heat.steps:,} steps" + (f" with {heat.settings} settings" if unequal else "")


def _ranked(heat: Heat) -> list[Summary]:
    """Return the methods with a ratio over several tasks, the best first."""
    several = len(heat.effects.scored) > 1
    return [summary for summary in heat.effects.summaries if several and summary.ratio is not None]


def _first(heat: Heat, when: str) -> str:
    first = _ranked(heat)[0]
    if alike := _alike(heat):
        return f"{when}, {first.method} comes first but is not separated from {_named(alike)}."
    return f"{when}, {first.method} wins: it is separated from every other ranked method."


def _excess(board: TrackBoard, heat: Heat) -> list[str]:
    """Return the ratio of the first method, unless it is the baseline."""
    first = _ranked(heat)[0]
    if first.method == board.baseline:
        return []
    over = f"geometric mean over {len(heat.effects.scored)} tasks, 95 % interval {first.low:.2f}-{first.high:.2f}"
    end = ", at the floor" if first.at_floor else ""
    what = f"excess over real data in {metrics(heat)}"
    return [f"Its {what} is {first.ratio:.2f} times {board.baseline}'s ({over}){end}."]


def metrics(heat: Heat) -> str:
    """Return the headline metrics of the tasks."""
    return listed(dict.fromkeys(contest.metric for contest in heat.contests), "or")


def _named(alike: Sequence[str]) -> str:
    return listed(alike, "or") if len(alike) <= NAMED else counted(len(alike), "other")


def _are(names: Sequence[str]) -> str:
    return f"{listed(names)} {'is' if len(names) == 1 else 'are'}"


def _alike(heat: Heat) -> list[str]:
    """Return the methods that are not separated from the first one."""
    first, *others = _ranked(heat)
    return [summary.method for summary in others if not summary.apart(first)]


def _apart(board: TrackBoard, heat: Heat) -> list[str]:
    """Return which methods are separated from the baseline."""
    if (sides := _sides(board, heat)) is None:
        return []
    parts = [f"{_are(own)} {word}" for word, own in sides.items() if own]
    if not parts:
        return [f"No method is separated from {board.baseline} across tasks."]
    return [f"Separated from {board.baseline} across tasks: {'; '.join(parts)}."]


def _sides(board: TrackBoard, heat: Heat) -> dict[str, list[str]] | None:
    """Return the methods that are separated from the baseline as better and as worse; None if it is not ranked."""
    ranked = {summary.method: summary for summary in _ranked(heat)}
    if (base := ranked.get(board.baseline)) is None:
        return None
    apart = [summary for summary in ranked.values() if summary.apart(base)]
    return {
        word: [summary.method for summary in apart if ((summary.ratio or 0) < 1) is better]
        for word, better in (("better", True), ("worse", False))
    }


def _single(board: TrackBoard, heat: Heat) -> list[str]:
    """Return which other methods single tasks separate from the baseline; few tasks together separate hardly any."""
    if (sides := _sides(board, heat)) is None:
        return []
    found: dict[str, list[str]] = {}
    for model in (summary.method for summary in _ranked(heat)):
        met = [c.pairs for c in heat.contests if c.pairs.apart(model, board.baseline)]
        ways = {"better" if pairs.beats(model, board.baseline) else "worse" for pairs in met}
        if model not in [*sides["better"], *sides["worse"]]:
            found.setdefault(BOTH if len(ways) > 1 else "".join(ways), []).append(model)
    parts = [f"{_are(found[way])} {way}" for way in ("better", "worse", BOTH) if way in found]
    return [f"Separated from {board.baseline} on single tasks only: {'; '.join(parts)}."] if parts else []


def _left(board: TrackBoard, heat: Heat) -> list[str]:
    """Return which methods are not ranked."""
    ranked = [summary.method for summary in _ranked(heat)]
    left = [_unranked(heat, model, ranked[0]) for model in board.models if model not in ranked]
    return [f"Not ranked: {', '.join(left)}."] if left else []


def _unranked(heat: Heat, model: str, first: str) -> str:
    """Return why a method has no ratio, and on how many tasks it is separated as better than the first, if on any."""
    summary = next((each for each in heat.effects.summaries if each.method == model), None)
    met = [c.pairs for c in heat.contests if not c.cells[model].word and not c.cells[first].word]
    better = sum(pairs.beats(model, first) for pairs in met)
    compared = f"; better than {first} on {better} of {len(met)}" if better else ""
    return f"{model} ({lacks(heat, model, summary)}{compared})"


def column_title(heat: Heat, several: bool, what: str = "") -> str:
    """Return what a column shows, by default its regime; with its budget and settings if the table has several."""
    tuned = "tuned, " if heat.settings == "tuned" else ""
    what = what or ("own sampler" if heat.nfe is None else f"NFE {heat.nfe}")
    return f"{heat.steps:,} steps, {tuned}{what}" if several else what


def title(board: TrackBoard, heats: Sequence[Heat], what: str) -> str:
    """Return the title of a table: the track, the settings of its methods, and what the table has."""
    return f"{board.name}, {' and '.join(dict.fromkeys(heat.settings for heat in heats))} settings: {what}"


def budget(heat: Heat) -> str:
    """Return the steps and the number of seeds of a budget."""
    return f"{heat.steps:,} steps ({counted(len(heat.seeds), 'seed')})"


def lacks(heat: Heat, model: str, summary: Summary | None) -> str:
    """Return why a model has no ratio: the word of its cells if they share one, or else the tasks that it lacks."""
    scored = [contest for contest in heat.contests if contest.data in heat.effects.scored]
    words = {contest.cells[model].word for contest in scored or heat.contests}
    if len(words) == 1 and (word := words.pop()):
        return word
    if words and all(word.startswith("takes ") for word in words):
        return "takes more NFE"
    if summary is None or not scored:
        return "lacks all tasks" if scored else "not scored"
    if all(contest.cells[model].word.startswith("takes ") for contest in scored if contest.data in summary.lacks):
        return f"takes more NFE on {counted(len(summary.lacks), 'task')}"
    return f"lacks {summary.lacks[0] if len(summary.lacks) == 1 else counted(len(summary.lacks), 'task')}"


def reading(board: TrackBoard, heats: Sequence[Heat]) -> str:
    """Return a sentence on what the ratios of a table are."""
    across = (
        f"geometric mean over {_scored(heats)} with its 95 % t interval, uncorrected; methods that share a letter are "
        "not separated (paired t over tasks, Holm's correction over all pairs), even if their intervals are disjoint"
    )
    without = unscored(heats)
    why = f"; not scored, because {why_unscored(heats, board.baseline)}: "
    return (
        f"Values after {_budgets(heats)}: excess (value minus floor of real data) as a multiple of the excess of "
        f"{board.baseline}{_alike_in(heats)}, {across if _several(heats) else f'on {_scored(heats)}'}"
        f"{why + without if without else ''}."
    )


def _budgets(heats: Sequence[Heat]) -> str:
    mixed = _mixed(heats)
    stated = (f"{budget(heat)} with {heat.settings} settings" if mixed else budget(heat) for heat in heats)
    return " and ".join(dict.fromkeys(stated)) + (" (so budgets differ in more than steps)" if mixed else "")


def _alike_in(heats: Sequence[Heat]) -> str:
    return " with the same settings" if _mixed(heats) else ""


def _several(heats: Sequence[Heat]) -> bool:
    return len({data for heat in heats for data in heat.effects.scored}) > 1


def _scored(heats: Sequence[Heat]) -> str:
    scored = list(dict.fromkeys(data for heat in heats for data in heat.effects.scored))
    return f"{counted(len(scored), 'task')} ({', '.join(scored)})" if scored else "no task"


def unscored(heats: Sequence[Heat]) -> str:
    """Return the tasks on which the baseline is not clearly above the floor, with their columns; empty without any."""
    return _by_column(
        heats, lambda heat: [c.data for c in heat.contests if c.floor and c.data in heat.effects.unscored]
    )


def why_unscored(heats: Sequence[Heat], baseline: str) -> str:
    """Return why the tasks of `unscored` are not scored."""
    cells = [c.cells[baseline] for heat in heats for c in heat.contests if c.data in heat.effects.unscored]
    lacks = " or lacks seeds" if any(cell.word for cell in cells) else ""
    one = " or has one seed, hence no standard error" if any(not c.word and len(c.values) == 1 for c in cells) else ""
    return f"{baseline} is not clearly above the floor{lacks}{one}"


def _by_column(heats: Sequence[Heat], tasks_of: Callable[[Heat], Sequence[str]]) -> str:
    """Return tasks with the columns of a table for which they are named; empty without any task."""
    several = len({heat.steps for heat in heats}) > 1
    found = group_by(heats, lambda heat: tuple(tasks_of(heat)))
    everything = tuple(contest.data for contest in heats[0].contests)
    return " and ".join(
        f"{'all tasks' if tasks == everything else ', '.join(tasks)} "
        f"({'; '.join(column_title(heat, several) for heat in where)})"
        for tasks, where in found.items()
        if tasks
    )


def complete(board: TrackBoard, rest: Sequence[str]) -> str:
    """Return how many cells of the track are complete, and which methods a table does not show."""
    parts: list[str] = []
    empty: list[str] = []
    cells = sum(board.lacking[board.budgets[0]].values())  # the same at every budget
    for steps in board.budgets:
        counts = dict(board.lacking[steps])
        done = counts.pop("", 0)
        lacking: dict[str, int] = {}
        for word, number in counts.items():
            kind = word.partition(" ")[0]
            kind = kind if kind in ("unsupported", "missing", "failed") else "incomplete"
            kind = word if word == ABSENT.word else kind
            lacking[kind] = lacking.get(kind, 0) + number
        others = ", ".join(f"{number} {word}" for word, number in lacking.items())
        if lacking.get("missing") == cells:
            empty.append(f"{steps:,}")
            continue
        parts.append(f"after {steps:,} steps {done} of {cells}" + (f" ({others})" if others else ""))
    parts += [f"after {', '.join(empty)} steps 0 of {cells}"] if empty else []
    parts = [f"Cells (a method on a task) with all seeds: {', '.join(parts)}"]
    parts += [f"not shown: {', '.join(rest)}"] if rest else []
    chosen, tried, changed = board.choices
    if tried and not chosen:
        parts += [f"tuning is declared for {counted(tried, 'cell')}, but not done"]
    elif chosen:
        where = " (--settings tuned)" if board.settings == "default" else ""
        at = [f"{steps:,}" for steps in board.budgets if steps in board.tuned]
        only = f" after {' and '.join(at)} steps" if len(at) < len(board.budgets) else ""
        other = f", for {changed} of them other settings than the defaults"
        parts += [f"tuning has chosen settings for {chosen} of {tried} cells{only}{where}{other}"]
    return "; ".join(parts)


def origins(board: TrackBoard, tasks: Iterable[str]) -> list[str]:
    """Return a sentence for each task whose data is a file of the user, or comes from several sources."""
    told = []
    for data in tasks:
        (shown, _), *others = board.sources.get(data, {"": 0}).items()
        left = ", ".join(f"{counted(runs, 'run')} on {source or OWN_DATA}" for source, runs in others)
        why = f"; left out, since a table has one source: {left}" if left else ""
        if shown or others:
            told.append(f"Data of {data}: {shown or OWN_DATA}{why}.")
    return told


def recipes(board: TrackBoard, models: Sequence[str]) -> list[str]:
    """Return a sentence on the settings of training in which methods differ from the baseline, if any differs."""
    found = group_by((model for model in models if board.recipes.get(model)), lambda model: board.recipes[model])
    parts = [f"{', '.join(own)}: {words}" for words, own in found.items()]
    return [f"Trained by another recipe than {board.baseline}: {'; '.join(parts)}."] if parts else []


def imprecise(heats: Sequence[Heat]) -> list[str]:
    """Return a sentence on the tasks with an evaluation error above a third of the spread over seeds, if any has it."""
    named = _by_column(heats, lambda heat: [c.data for c in heat.contests if (c.noise or 0) > NOISY])
    return [f"Evaluation error above a third of the spread over seeds: {named}."] if named else []


def flipped(contests: Iterable[Contest]) -> list[str]:
    """Return a sentence on the tested pairs of which sign flips and t tests say different things, if any was tested."""
    found = []
    for contest in contests:
        for pair, test in contest.pairs.pairs.items():
            if test.p is not None and not {*pair} <= contest.pairs.at_floor:
                flips = sign_flips(*(contest.cells[model].values for model in pair))
                found += [(test.pairs, test.p, flips)] if flips is not None else []
    able = [(p, flips) for seeds, p, flips in found if 2.0 ** (1 - seeds) <= LEVEL]
    if not able:
        return ["Too few seeds to check the t tests by sign flips."] if found else []
    apart = sum((p <= LEVEL) != (flips <= LEVEL) for p, flips in able)
    what = f"{apart:,} of {counted(len(able), 'pair')}"
    return [f"Sign flips and t tests disagree at {100 * LEVEL:g} % before correction in {what}."]
