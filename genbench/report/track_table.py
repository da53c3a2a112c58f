"""A track as tables: across its tasks by budget and regime of sampling, and task by task; empty cells say why."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from genbench.analysis.effects import Summary
from genbench.analysis.labels import counted, distinct
from genbench.analysis.means import LEVEL, mean_and_half
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.tables import compared_cell
from genbench.report.track_board import REGIMES, TARGET, Contest, Heat, TrackBoard
from genbench.report.track_cells import Cell as Own

REAL = "real data"
METHODS = 9
"""Methods of the first table where it stands alone; with real data it has ten rows."""
CLIPPED = "°: on a task the excess is below one standard error of the floor, and set to that."
NO_LIKELIHOOD = Own({}, "none")
NAMED = 3
"""Methods that a sentence names as not separated from the first; more are counted."""


def across_table(board: TrackBoard, most: int | None = None) -> Table:
    """Return the table across tasks at the budgets that are shown, each in all regimes.

    Args:
        most: number of methods, all by default; others are named below, but rows that the track does not list.
    """
    heats = _heats(board)
    columns = [Column(_title(heat, len(board.shown) > 1), "lower") for heat in heats]
    summaries = [{summary.method: summary for summary in heat.effects.summaries} for heat in heats]
    rows = [Row(REAL, tuple(Cell(text="0" if heat.effects.scored else "") for heat in heats), floor=True)]
    shown = [
        model for index, model in enumerate(board.models) if most is None or index < most or model in board.further
    ]
    for model in shown:
        cells = (_ratio(board, heat, model, own.get(model)) for heat, own in zip(heats, summaries, strict=True))
        rows.append(Row(model, tuple(cells)))
    rest = [model for model in board.models if model not in shown]
    legend = [_reading(board, heats), _complete(board, rest)]
    legend += [CLIPPED] if any(cell.sign for row in rows for cell in row.cells) else []
    title = f"{board.name}, {board.settings} settings: excess over real data, {board.baseline} = 1"
    return Table(title, tuple(columns), tuple(rows), tuple(legend), head="method")


def turn_table(board: TrackBoard) -> Table | None:
    """Return the table across tasks at two budgets, on the tasks that are whole at both; None without a second."""
    if (heats := board.turn()) is None:
        return None
    columns = tuple(Column(f"{heat.steps:,} steps", "lower") for heat in heats)
    summaries = [{summary.method: summary for summary in heat.effects.summaries} for heat in heats]
    ranked = dict.fromkeys(summary.method for summary in heats[-1].effects.summaries)
    rows = tuple(
        Row(
            model, tuple(_ratio(board, heat, model, own.get(model)) for heat, own in zip(heats, summaries, strict=True))
        )
        for model in ranked
    )
    title = f"{board.name}, {board.settings} settings: excess over real data by budget, {board.baseline} = 1"
    return Table(title, columns, rows, (_reading(board, heats),), head="method")


def sentences(board: TrackBoard) -> list[str]:
    """Return what the track has values of, and what the table across tasks says of each column that ranks methods."""
    return [_coverage(board), *(text for heat in _heats(board) if (text := _sentence(board, heat)))]


def verdict(board: TrackBoard) -> list[str]:
    """Return who wins a track at its longest whole budget with its own sampler, and what would refute that.

    Returns:
        The sentences; none for a track that does not rank methods across tasks.
    """
    heat = board.heat(board.shown[-1], None)
    ranked = [summary for summary in heat.effects.summaries if summary.ratio is not None]
    tasks = len(heat.effects.scored)
    if tasks < 2 or len(ranked) < 2:
        return []
    first = ranked[0]
    when = f"{board.name} after {heat.steps:,} training steps"
    ends = "" if first.low is None else f", with a 95 % interval from {first.low:.2f} to {first.high:.2f}"
    ratio = f"{first.ratio:.2f} times the excess of {board.baseline}{ends}"
    said = f"Across {tasks} tasks, its excess over real data is {ratio}."
    alike = [summary.method for summary in ranked[1:] if {*summary.letters} & {*first.letters}]
    if alike:
        wins = f"No method alone wins {when}: {first.method} comes first, but is not separated from {_named(alike)}."
    else:
        wins = f"{first.method} wins {when}: it is separated from every other method."
    refuted = f"a ratio above {first.high:.2f} with {len(heat.seeds)} other seeds" if ends else "another first method"
    open_ = [f"{steps:,}" for steps in board.budgets if steps > heat.steps]
    later = f" Nothing is claimed for {' and '.join(open_)} steps, where cells are missing." if open_ else ""
    return [f"{wins} {said}", f"This would refute it: {refuted} on the same tasks.{later}"]


def _named(methods: Sequence[str]) -> str:
    return ", ".join(methods) if len(methods) <= NAMED else counted(len(methods), "other")


def _coverage(board: TrackBoard) -> str:
    contests = [contest for heat in board.heats for contest in heat.contests]
    methods = {model for contest in contests for model, cell in contest.cells.items() if cell.values}
    measured = list(
        dict.fromkeys(contest.data for contest in contests if any(c.values for c in contest.cells.values()))
    )
    empty = list(dict.fromkeys(contest.data for contest in contests if contest.data not in measured))
    text = f"{counted(len(methods), 'method')} with values on {counted(len(measured), 'task')}"
    return f"{text}; no values yet: {', '.join(empty)}." if empty else f"{text}."


def _sentence(board: TrackBoard, heat: Heat) -> str:
    ranked = [summary for summary in heat.effects.summaries if summary.ratio is not None]
    base = next((summary for summary in ranked if summary.method == board.baseline), None)
    tasks = len(heat.effects.scored)
    if tasks < 2 or len(ranked) < 2 or base is None:
        return ""
    first, *others = ranked
    after = f" after {heat.steps:,} steps" if len(board.shown) > 1 else ""
    text = f"{_by(heat.nfe)}{after}, among the {len(ranked)} methods with all {tasks} tasks "
    text += f"{first.method} has the smallest excess"
    if len({summary.letters for summary in ranked}) == 1:
        text += "; no pair is separated"
    else:
        alike = [summary.method for summary in others if {*summary.letters} & {*first.letters}]
        text += f", not separated from {_named(alike)}" if alike else ", separated from all others"
        apart = [summary for summary in ranked if not {*summary.letters} & {*base.letters}]
        text += f"; {'' if apart else 'none '}separated from {board.baseline}"
        for word, low in (("lower", True), ("higher", False)):
            methods = [summary.method for summary in apart if ((summary.ratio or 0) < 1) is low]
            text += f"{':' if low else ';'} {word}: {', '.join(methods) or 'none'}" if apart else ""
    unranked = [model for model in board.models if model not in {summary.method for summary in ranked}]
    left = [_unranked(heat, model, first.method) for model in unranked]
    return f"{text}; not ranked: {', '.join(left)}." if left else f"{text}."


def _unranked(heat: Heat, model: str, first: str) -> str:
    """Return why a method has no ratio, and on how many tasks it is separated as better than the first, if on any."""
    summary = next((each for each in heat.effects.summaries if each.method == model), None)
    met = [c.pairs for c in heat.contests if not c.cells[model].word and not c.cells[first].word]
    better = sum(pairs.beats(model, first) for pairs in met)
    compared = f"; better than {first} on {better} of {len(met)}" if better else ""
    return f"{model} ({_lacks(heat, model, summary)}{compared})"


def _by(nfe: int | None) -> str:
    if nfe is None:
        return "With each method's own sampler"
    return f"With {counted(nfe, 'network evaluation')}"


def task_table(board: TrackBoard, steps: int, nfe: int | None, only: Collection[str] = ()) -> Table:
    """Return the table of all tasks, or only of some, at a budget in a regime."""
    heat = board.heat(steps, nfe)
    contests = [contest for contest in heat.contests if not only or contest.data in only]
    return _task_table(board, f"{_budget(heat)}, {_regime(nfe)}", contests)


def likelihood_table(board: TrackBoard, steps: int) -> Table:
    """Return the table of the likelihoods of all tasks at a budget; real data has the entropy, where that is known."""
    contests = [
        c._replace(cells={m: NO_LIKELIHOOD if own.word == "unsupported" else own for m, own in c.cells.items()})
        for c in board.likelihoods[steps]
    ]
    what = f"{_budget(board.heat(steps, None))}, likelihood (real data: the entropy, where that is known)"
    return _task_table(board, what, contests)


def _task_table(board: TrackBoard, what: str, contests: Sequence[Contest]) -> Table:
    short = distinct((contest.data for contest in contests), 20)
    notes: dict[str, int] = {}
    columns = [Column(short[c.data], c.better, f"{c.data}: {c.metric}; {c.protocol}") for c in contests]
    rows = [Row(REAL, tuple(_floor(contest) for contest in contests), floor=True)]
    rows += [Row(model, tuple(_cell(c, model, notes) for c in contests)) for model in board.models]
    legend = [
        "Mean ± half its 95 % interval over seeds; methods of a column that share a letter are not separated (paired "
        f"t, Holm's correction over all pairs, {100 * LEVEL:g} %); ° at the floor or better; in parentheses: not "
        "compared."
    ]
    measured = list(dict.fromkeys(f"{c.metric}: {c.protocol}" for c in contests if c.protocol))
    legend += [f"{text}." for text in measured]
    noise = [f"{short[c.data]} {c.noise:.2f}" for c in contests if c.noise is not None]
    legend += [f"Error of an evaluation over the spread of seeds, median: {', '.join(noise)}."] if noise else []
    title = f"{board.name}, {board.settings} settings: {what}"
    return Table(title, tuple(columns), tuple(rows), tuple(legend), tuple(notes), head="method")


def track_tables(board: TrackBoard) -> Iterator[Table]:
    """Yield the tables across tasks and budgets; for every budget with values those of tasks, costs and likelihoods."""
    yield across_table(board)
    if (turn := turn_table(board)) is not None:
        yield turn
    for steps in board.budgets:
        if any(cell.values for contest in board.heat(steps, None).contests for cell in contest.cells.values()):
            yield task_table(board, steps, None)
            yield cost_table(board, steps)
            if board.likelihoods[steps]:
                yield likelihood_table(board, steps)


def cost_table(board: TrackBoard, steps: int) -> Table:
    """Return what methods cost beside their excess: seconds of training, and evaluations that reach a common target."""
    heat, reached = board.heat(steps, None), board.evaluations(steps)
    most = max(each.nfe or 0 for each in board.heats if each.steps == steps)
    summaries = {summary.method: summary for summary in heat.effects.summaries}
    contests = [contest for contest in heat.contests if contest.data in reached]
    short = distinct(reached, 20)
    columns = [Column("excess", "lower"), *(Column(f"NFE: {short[data]}", "lower") for data in reached)]
    rows = []
    for model in board.models:
        found = [(contest.cells[model].word, reached[contest.data].get(model)) for contest in contests]
        cells = [Cell(text=word or _evaluations(nfe, most)) for word, nfe in found]
        rows.append(Row(model, (_ratio(board, heat, model, summaries.get(model)), *cells)))
    legend = [
        f"NFE: the fewest measured evaluations with an excess of at most {TARGET:g} times the excess of "
        f"{board.baseline} with its own sampler; never: its own sampler does not reach it either."
    ]
    if (timed := board.seconds) is not None:
        columns.insert(0, Column("s / 1,000 steps", "lower"))
        texts = {model: f"{timed.seconds[model]:.2g}" if model in timed.seconds else "" for model in board.models}
        rows = [Row(row.label, (Cell(text=texts[row.label]), *row.cells)) for row in rows]
        legend.append(f"Seconds: of a processor, one model alone on {timed.task}, methods in turns; {timed.machine}")
    title = f"{board.name}, {board.settings} settings: {_budget(heat)}, cost"
    return Table(title, tuple(columns), tuple(rows), tuple(legend), head="method")


def _evaluations(nfe: float | None, most: int) -> str:
    if nfe is None:
        return "never"
    return f">{most}" if nfe > most else f"{nfe:g}"


def _heats(board: TrackBoard) -> list[Heat]:
    return [board.heat(steps, nfe) for steps in board.shown for nfe in REGIMES]


def _title(heat: Heat, several: bool) -> str:
    return f"{heat.steps:,} steps, {_regime(heat.nfe)}" if several else _regime(heat.nfe)


def _regime(nfe: int | None) -> str:
    return "own sampler" if nfe is None else f"NFE {nfe}"


def _budget(heat: Heat) -> str:
    return f"{heat.steps:,} steps ({counted(len(heat.seeds), 'seed')})"


def _ratio(board: TrackBoard, heat: Heat, model: str, summary: Summary | None) -> Cell:
    if summary is None or summary.ratio is None:
        return Cell(text=_lacks(heat, model, summary))
    ends = (summary.low, summary.high)
    interval = "" if None in ends or model == board.baseline else f" ({ends[0]:.2f}-{ends[1]:.2f})"
    letters = summary.letters if len(heat.effects.scored) > 1 else ""  # a single task separates nothing across tasks
    sign = "°" if summary.clipped else ""
    return Cell(summary.ratio, text=f"{summary.ratio:.2f}{interval}", letters=letters, sign=sign)


def _lacks(heat: Heat, model: str, summary: Summary | None) -> str:
    """Return why a model has no ratio: the word of its cells if they share one, or else the tasks that it lacks."""
    scored = [contest for contest in heat.contests if contest.data in heat.effects.scored]
    words = {contest.cells[model].word for contest in scored or heat.contests}
    if len(words) == 1 and (word := words.pop()):
        return word
    if words and all(word.startswith("takes ") for word in words):
        return "takes more"
    if summary is None or not scored:
        return "lacks all tasks" if scored else "not scored"
    return f"lacks {summary.lacks[0] if len(summary.lacks) == 1 else counted(len(summary.lacks), 'task')}"


def _cell(contest: Contest, model: str, notes: dict[str, int]) -> Cell:
    own = contest.cells[model]
    texts = [own.reason, own.stated, own.word if own.values else ""]
    numbers = tuple(notes.setdefault(text, len(notes) + 1) for text in texts if text)
    if not own.values:
        return Cell(text=own.word, notes=numbers)
    cell = compared_cell(own.values, contest.pairs, model)
    return replace(cell, notes=numbers, aside=bool(own.word))


def _floor(contest: Contest) -> Cell:
    values = tuple(contest.floor.items())
    return Cell(*mean_and_half([value for _, value in values]), values=values) if values else Cell()


def _reading(board: TrackBoard, heats: Sequence[Heat]) -> str:
    budgets = ", ".join(dict.fromkeys(_budget(heat) for heat in heats))
    several = any(len(heat.effects.scored) > 1 for heat in heats)
    fixed = "NFE 1 and 4: fixed steps (flows: their own inverse); " if any(heat.nfe for heat in heats) else ""
    across = (
        ", geometric mean and 95 % t interval of one ratio, unadjusted; letters: Holm over all pairs (shared: not "
        "separated)"
    )
    return (
        f"Excess: value - floor of real data as a multiple of {board.baseline}'s, over {_scored(heats)}"
        f"{across if several else ''}; {budgets}; {fixed}own sampler: with its own "
        f"settings{_unscored(heats)}."
    )


def _scored(heats: Sequence[Heat]) -> str:
    """Return over which tasks each column is, once for columns over the same tasks."""
    columns: dict[tuple[str, ...], list[str]] = {}
    for heat in heats:
        columns.setdefault(heat.effects.scored, []).append(_title(heat, True))
    parts = []
    for tasks, where in columns.items():
        text = f"{counted(len(tasks), 'task')} ({', '.join(tasks)})" if tasks else "no task"
        parts.append(f"{text} in {', '.join(where)}" if len(columns) > 1 else text)
    return "; ".join(parts)


def _unscored(heats: Sequence[Heat]) -> str:
    """Return which tasks were measured and score nobody, with the columns in which they do not."""
    columns: dict[str, list[str]] = {}
    for heat in heats:
        for contest in heat.contests:
            if contest.floor and contest.data in heat.effects.unscored:
                columns.setdefault(contest.data, []).append(f"{heat.steps:,} steps, {_regime(heat.nfe)}")
    if not columns:
        return ""
    tasks = ", ".join(f"{data} ({', '.join(where)})" for data, where in columns.items())
    return f"; scores nobody, since the baseline is not clearly above the floor or lacks seeds: {tasks}"


def _complete(board: TrackBoard, rest: Sequence[str]) -> str:
    """Return how much of the track there is, and which methods the table does not show."""
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
            lacking[kind] = lacking.get(kind, 0) + number
        others = "".join(f", {number} {word}" for word, number in lacking.items())
        if lacking.get("missing") == cells:
            empty.append(f"{steps:,}")
            continue
        parts.append(f"{steps:,} steps: {done} of {cells} cells with all seeds{others}")
    parts += [f"0 of {cells} cells after {', '.join(empty)} steps"] if empty else []
    parts += [f"not shown: {', '.join(rest)}"] if rest else []
    return f"{'; '.join(parts)}."
