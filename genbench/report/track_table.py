"""A track as tables: across its tasks by budget and regime of sampling, and task by task; empty cells say why."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from genbench.analysis.effects import Summary
from genbench.analysis.labels import counted, distinct
from genbench.analysis.means import LEVEL, mean_and_half
from genbench.analysis.track_runs import task_of
from genbench.analysis.values import group_by
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.tables import AT_FLOOR, compared_cell
from genbench.report.track_board import ABSENT, REGIMES, TARGET, Contest, Heat, TrackBoard
from genbench.report.track_cells import Cell as Own

REAL = "real data"
METHODS = 9
"""Methods of the first table if no other table follows: with real data, ten rows."""
MAIN = ("cfm", "otcfm", "wcfm", "starflow")
"""Models that the first table shows wherever they stand: they are the first that genbench was made to compare."""
ON_ALL_TASKS = "°: at the floor or better on all these tasks; such values are not ordered among themselves."
OWN_DATA = "the data set's own"
NO_LIKELIHOOD = Own({}, "none")


def across_table(board: TrackBoard, most: int | None = None) -> Table:
    """Return the table across tasks at the budgets that are shown, each in all regimes.

    Args:
        most: maximum number of methods, all by default; the others are named below the table. The main methods are
            always among them, and so are rows that the track does not list.
    """
    heats = _heats(board)
    columns = [Column(_title(heat, len(board.shown) > 1), "lower") for heat in heats]
    summaries = [{summary.method: summary for summary in heat.effects.summaries} for heat in heats]
    notes: dict[str, int] = {}
    rows = [Row(REAL, tuple(Cell(text="0" if heat.effects.scored else "") for heat in heats), floor=True)]
    listed = [model for model in board.models if model not in board.further]
    chosen = sorted(listed, key=lambda model: model.split()[0] not in MAIN)[:most]
    shown = [model for model in board.models if model in chosen or model in board.further]
    for model in shown:
        cells = (_ratio(board, heat, model, own.get(model), notes) for heat, own in zip(heats, summaries, strict=True))
        rows.append(Row(model, tuple(cells)))
    rest = [model for model in board.models if model not in shown]
    legend = [_reading(board, heats), _complete(board, rest), *_origin(board, board.sources), *_signs(rows)]
    title = f"{board.name}, {board.settings} settings: excess over real data, {board.baseline} = 1"
    return Table(title, tuple(columns), tuple(rows), tuple(legend), tuple(notes), head="method")


def turn_table(board: TrackBoard) -> Table | None:
    """Return the table across tasks at two budgets, on the tasks whole at both; None without a second budget."""
    if (heats := board.turn()) is None:
        return None
    columns = tuple(Column(f"{heat.steps:,} steps", "lower") for heat in heats)
    summaries = [{summary.method: summary for summary in heat.effects.summaries} for heat in heats]
    ranked = dict.fromkeys(summary.method for summary in heats[-1].effects.summaries)
    notes: dict[str, int] = {}
    rows = []
    for model in ranked:
        cells = (_ratio(board, heat, model, own.get(model), notes) for heat, own in zip(heats, summaries, strict=True))
        rows.append(Row(model, tuple(cells)))
    title = f"{board.name}, {board.settings} settings: excess over real data by budget, {board.baseline} = 1"
    legend = (_reading(board, heats), *_signs(rows))
    return Table(title, columns, tuple(rows), legend, tuple(notes), head="method")


def task_table(board: TrackBoard, steps: int, nfe: int | None, only: Collection[str] = ()) -> Table:
    """Return the table of all tasks, or only of some, at a budget in a regime."""
    heat = board.heat(steps, nfe)
    tasks = {task_of(label, board.sources) for label in only}
    contests = [contest for contest in heat.contests if not tasks or contest.data in tasks]
    return _task_table(board, steps, f"{_budget(heat)}, {_regime(nfe)}", contests)


def likelihood_table(board: TrackBoard, steps: int) -> Table:
    """Return the table of the likelihoods of all tasks at a budget; real data has the entropy, where that is known."""
    contests = [
        c._replace(cells={m: NO_LIKELIHOOD if own.word == "unsupported" else own for m, own in c.cells.items()})
        for c in board.likelihoods[steps]
    ]
    what = f"{_budget(board.heat(steps, None))}, likelihood (real data: the entropy, where that is known)"
    return _task_table(board, steps, what, contests)


def _task_table(board: TrackBoard, steps: int, what: str, contests: Sequence[Contest]) -> Table:
    short = distinct((contest.data for contest in contests), 20)
    notes: dict[str, int] = {}
    columns = [Column(short[c.data], c.better, f"{c.data}: {c.metric}; {c.protocol}") for c in contests]
    rows = [Row(REAL, tuple(_floor(contest) for contest in contests), floor=True)]
    models, left_out = _tried(board, steps)
    rows += [Row(model, tuple(_cell(c, model, notes) for c in contests)) for model in models]
    legend = [
        "Mean ± half its 95 % interval over seeds; methods of a column that share a letter are not separated (paired "
        f"t, Holm's correction over all pairs, {100 * LEVEL:g} %); in parentheses: not compared.",
        *([AT_FLOOR] if any(cell.sign for row in rows for cell in row.cells) else []),
        *left_out,
    ]
    legend += _origin(board, [contest.data for contest in contests])
    measured = list(dict.fromkeys(f"{c.metric}: {c.protocol}" for c in contests if c.protocol))
    legend += [f"{text}." for text in measured]
    noise = [f"{short[c.data]} {c.noise:.2f}" for c in contests if c.noise is not None]
    legend += [f"Evaluation error divided by the spread over seeds, median: {', '.join(noise)}."] if noise else []
    title = f"{board.name}, {board.settings} settings: {what}"
    return Table(title, tuple(columns), tuple(rows), tuple(legend), tuple(notes), head="method")


def track_tables(board: TrackBoard) -> Iterator[Table]:
    """Yield the tables across tasks and budgets, then tasks, costs and likelihoods of every budget with values."""
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
    """Return the excess of methods with their cost: seconds of training, and the NFE that reaches a common target."""
    heat, reached = board.heat(steps, None), board.evaluations(steps)
    most = max(each.nfe or 0 for each in board.heats if each.steps == steps)
    summaries = {summary.method: summary for summary in heat.effects.summaries}
    contests = [contest for contest in heat.contests if contest.data in reached]
    short = distinct(reached, 20)
    columns = [Column("excess", "lower"), *(Column(f"NFE: {short[data]}", "lower") for data in reached)]
    models, left_out = _tried(board, steps)
    notes: dict[str, int] = {}
    rows = []
    for model in models:
        found = [(contest.cells[model].word, reached[contest.data].get(model)) for contest in contests]
        cells = [Cell(text=word or _evaluations(nfe, most)) for word, nfe in found]
        rows.append(Row(model, (_ratio(board, heat, model, summaries.get(model), notes), *cells)))
    legend = [
        f"NFE: the smallest measured NFE at which the excess is at most {TARGET:g} times the excess of "
        f"{board.baseline} with its own sampler; never: even the method's own sampler has a larger excess.",
        *_signs(rows),
        *left_out,
    ]
    if (timed := board.seconds) is not None:
        columns.insert(0, Column("s / 1,000 steps", "lower"))
        texts = {model: f"{timed.seconds[model]:.2g}" if model in timed.seconds else "" for model in board.models}
        rows = [Row(row.label, (Cell(text=texts[row.label]), *row.cells)) for row in rows]
        legend.append(f"Seconds: processor time of one model alone on {timed.task}, methods in turns; {timed.machine}")
    title = f"{board.name}, {board.settings} settings: {_budget(heat)}, cost"
    return Table(title, tuple(columns), tuple(rows), tuple(legend), tuple(notes), head="method")


def _tried(board: TrackBoard, steps: int) -> tuple[list[str], list[str]]:
    """Return the rows of tables at a budget, and a sentence on the rows beyond the track that have no run there."""
    own = board.heat(steps, None).contests
    absent = [model for model in board.further if all(contest.cells[model].word == "missing" for contest in own)]
    rows = [model for model in board.models if model not in absent]
    return rows, [f"Without a run at this budget: {', '.join(absent)}."] if absent else []


def _origin(board: TrackBoard, tasks: Iterable[str]) -> list[str]:
    """Return a sentence for each task whose data is a file of the user, or comes from several sources."""
    told = []
    for data in tasks:
        (shown, _), *others = board.sources.get(data, {"": 0}).items()
        left = ", ".join(f"{counted(runs, 'run')} on {source or OWN_DATA}" for source, runs in others)
        if shown or others:
            told.append(f"Data of {data}: {shown or OWN_DATA}{f'; left out: {left}' if left else ''}.")
    return told


def _signs(rows: Sequence[Row]) -> list[str]:
    return [ON_ALL_TASKS] if any(cell.sign for row in rows for cell in row.cells) else []


def _evaluations(nfe: float | None, most: int) -> str:
    if nfe is None:
        return "never"
    return f">{most}" if nfe > most else f"{nfe:g}"


def _heats(board: TrackBoard) -> list[Heat]:
    return [board.heat(steps, nfe) for nfe in REGIMES for steps in board.shown]


def _title(heat: Heat, several: bool) -> str:
    return f"{heat.steps:,} steps, {_regime(heat.nfe)}" if several else _regime(heat.nfe)


def _regime(nfe: int | None) -> str:
    return "own sampler" if nfe is None else f"NFE {nfe}"


def _budget(heat: Heat) -> str:
    return f"{heat.steps:,} steps ({counted(len(heat.seeds), 'seed')})"


def _ratio(board: TrackBoard, heat: Heat, model: str, summary: Summary | None, notes: dict[str, int]) -> Cell:
    if summary is None or summary.ratio is None:
        reasons = group_by([c for c in heat.contests if c.cells[model].reason], lambda c: c.cells[model].reason)
        texts = [
            why if len(on) == len(heat.contests) else f"{', '.join(c.data for c in on)}: {why}"
            for why, on in reasons.items()
        ]
        return Cell(text=lacks(heat, model, summary), notes=tuple(notes.setdefault(x, len(notes) + 1) for x in texts))
    ends = (summary.low, summary.high)
    interval = "" if None in ends or model == board.baseline else f" ({ends[0]:.2f}-{ends[1]:.2f})"
    letters = summary.letters if len(heat.effects.scored) > 1 else ""  # a single task separates nothing across tasks
    raised = f"{', '.join(summary.clipped)}: excess raised to one standard error of the floor"
    numbers = (notes.setdefault(raised, len(notes) + 1),) if summary.clipped else ()
    sign = "°" if summary.at_floor else ""
    return Cell(summary.ratio, text=f"{summary.ratio:.2f}{interval}", letters=letters, sign=sign, notes=numbers)


def lacks(heat: Heat, model: str, summary: Summary | None) -> str:
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
    fixed = (
        "NFE 1 and 4: fixed steps; normalizing flows use their own inverse. " if any(heat.nfe for heat in heats) else ""
    )
    across = (
        "In parentheses: 95 % t interval of the ratio, uncorrected. Methods that share a letter are not separated "
        "(paired t over tasks, Holm's correction over all pairs), even if their intervals are disjoint. "
    )
    return (
        f"Values: excess (value minus floor of real data) as a multiple of the excess of {board.baseline}, "
        f"{'geometric mean over ' if several else 'on '}{_scored(heats)}. {across if several else ''}"
        f"Budget: {budgets}. {fixed}Own sampler: the method's own settings{_unscored(heats)}."
    )


def _scored(heats: Sequence[Heat]) -> str:
    """Return the tasks of each column; columns with the same tasks are listed together."""
    columns: dict[tuple[str, ...], list[str]] = {}
    for heat in heats:
        columns.setdefault(heat.effects.scored, []).append(_title(heat, True))
    parts = []
    for tasks, where in columns.items():
        text = f"{counted(len(tasks), 'task')} ({', '.join(tasks)})" if tasks else "no task"
        parts.append(f"{text} in {', '.join(where)}" if len(columns) > 1 else text)
    return "; ".join(parts)


def _unscored(heats: Sequence[Heat]) -> str:
    """Return which measured tasks are not scored, with the columns in which they are not."""
    columns: dict[str, list[str]] = {}
    for heat in heats:
        for contest in heat.contests:
            if contest.floor and contest.data in heat.effects.unscored:
                columns.setdefault(contest.data, []).append(f"{heat.steps:,} steps, {_regime(heat.nfe)}")
    if not columns:
        return ""
    tasks = ", ".join(f"{data} ({', '.join(where)})" for data, where in columns.items())
    return f". No method is scored where the baseline is not clearly above the floor or lacks seeds: {tasks}"


def _complete(board: TrackBoard, rest: Sequence[str]) -> str:
    """Return how many cells of the track are complete, and which methods the table does not show."""
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
    chosen, tried = board.choices
    if chosen or (tried and board.settings == "tuned"):
        where = " (--settings tuned)" if board.settings == "default" else ""
        parts += [f"tuning has chosen settings for {chosen} of {tried} cells{where}"]
    return f"{'; '.join(parts)}."
