"""A track as tables: across its tasks by budget and regime of sampling, and task by task; empty cells say why."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from genbench.analysis.effects import Summary
from genbench.analysis.labels import distinct
from genbench.analysis.means import LEVEL, mean_and_half
from genbench.analysis.track_runs import task_of
from genbench.analysis.values import group_by
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.tables import AT_FLOOR, compared_cell
from genbench.report.track_board import ABSENT, REGIMES, TARGET, Contest, Heat, TrackBoard
from genbench.report.track_cells import Cell as Own
from genbench.report.track_cells import Seconds
from genbench.report.track_sentences import (
    NOISY,
    budget,
    column_title,
    complete,
    flipped,
    imprecise,
    lacks,
    origins,
    reading,
    recipes,
    title,
)

REAL = "real data"
METHODS = 9
"""Methods of the first table if no other table follows: with real data, ten rows."""
MAIN = ("cfm", "otcfm", "wcfm", "meanflow", "starflow")
"""Models that the first table always shows, with the baseline."""
ON_ALL_TASKS = "°: at the floor or better on all these tasks; such values are not ordered among themselves."
WINS = "Wins (own sampler), mean over tasks and opponents: 1 if better and separated, 0.5 if not separated, else 0."
TUNED = (
    "Tuned settings: chosen for each method and task on validation data, by values with the method's own sampler, also "
    "where a column shows another NFE. Notes of the tables of tasks state them."
)
CHOSEN = "Notes state the settings that tuning chose; methods without such a note have their default settings."
NOT_TUNED = "run as given, not tuned by the track: --settings default shows its methods without tuning"
LABELS = "conditional=true"
SECONDS = "s / 1,000 steps"
NO_LIKELIHOOD = Own({}, "none")


def across_table(board: TrackBoard, most: int | None = None) -> Table:
    """Return the table across tasks at the budgets that are shown: ratios in all regimes, win rates, and seconds.

    Args:
        most: maximum number of methods, all by default; the others are named below the table. The main methods are
            always among them, and so are rows that the track does not list.
    """
    heats = shown_heats(board)
    table, rest = excess_table(board, heats, most)
    own = [heat for heat in heats if heat.nfe is None]
    columns = [Column(column_title(heat, len(own) > 1, "wins"), "higher") for heat in own]
    found = [{summary.method: summary.wins for summary in heat.effects.summaries if summary.ratio} for heat in own]
    rows = []
    for row in table.rows:
        shares = (_share(wins.get(row.label)) for wins in found)
        rows.append(replace(row, cells=(*row.cells[: len(heats)], *shares, *row.cells[len(heats) :])))
    shown = [row.label for row in rows]
    legend = [
        reading(board, heats),
        f"{complete(board, rest)}.",
        *([WINS] if any(found) else []),
        *_timed(board),
        *origins(board, board.sources),
        *([TUNED] if any(heat.settings == "tuned" for heat in heats) else []),
        *recipes(board, shown),
        *_labelled(board, shown),
        *imprecise(heats),
        *_signs(rows),
        *_added(board),
    ]
    titles = (*table.columns[: len(heats)], *columns, *table.columns[len(heats) :])
    return replace(table, columns=titles, rows=tuple(rows), legend=tuple(legend))


def shown_heats(board: TrackBoard) -> list[Heat]:
    """Return the columns of ratios: each regime of sampling at the budgets that are shown."""
    return [board.heat(steps, nfe) for nfe in REGIMES for steps in board.shown]


def excess_table(board: TrackBoard, heats: Sequence[Heat], most: int | None) -> tuple[Table, list[str]]:
    """Return a table of ratios and seconds without a legend, and the methods that it does not show."""
    columns = [Column(column_title(heat, len(board.shown) > 1), "lower") for heat in heats]
    summaries = [{summary.method: summary for summary in heat.effects.summaries} for heat in heats]
    notes: dict[str, int] = {}
    rows = [Row(REAL, tuple(Cell(text="0" if heat.effects.scored else "") for heat in heats), floor=True)]
    listed = [model for model in board.models if model not in board.further]
    every = [contest.cells for heat in heats for contest in heat.contests]
    idle = {model for model in listed if {cells[model].word for cells in every} <= {"unsupported", ABSENT.word}}
    first = sorted(listed, key=lambda model: (model != board.baseline, model in idle, model.split()[0] not in MAIN))
    chosen = first[:most]
    shown = [model for model in board.models if model in chosen or model in board.further]
    for model in shown:
        cells = (_ratio(board, heat, model, own.get(model), notes) for heat, own in zip(heats, summaries, strict=True))
        rows.append(Row(model, tuple(cells)))
    if board.seconds is not None:
        columns.append(Column(SECONDS, "lower"))
        rows = [replace(row, cells=(*row.cells, _seconds(board.seconds, row.label))) for row in rows]
    name = title(board, heats, f"excess over real data, {board.baseline} = 1")
    table = Table(name, tuple(columns), tuple(rows), (), tuple(notes), head="method")
    return table, [model for model in board.models if model not in shown]


def task_table(board: TrackBoard, steps: int, only: Collection[str] = ()) -> Table:
    """Return the table of all tasks, or only of some, at a budget."""
    heat = board.heat(steps, None)
    tasks = {task_of(label, board.sources) for label in only}
    contests = [contest for contest in heat.contests if not tasks or contest.data in tasks]
    return _task_table(board, steps, f"{budget(heat)}, own sampler", contests)


def likelihood_table(board: TrackBoard, steps: int) -> Table:
    """Return the table of the likelihoods of all tasks at a budget; real data has the entropy, where that is known."""
    contests = [
        c._replace(cells={m: NO_LIKELIHOOD if own.word == "unsupported" else own for m, own in c.cells.items()})
        for c in board.likelihoods[steps]
    ]
    what = f"{budget(board.heat(steps, None))}, likelihood (real data: the entropy, where that is known)"
    return _task_table(board, steps, what, contests)


def _task_table(board: TrackBoard, steps: int, what: str, contests: Sequence[Contest]) -> Table:
    short = distinct((contest.data for contest in contests), 20)
    notes: dict[str, int] = {}
    columns = [Column(short[c.data], c.better, f"{c.data}: {c.metric}; {c.protocol}") for c in contests]
    rows = [Row(REAL, tuple(_floor(contest) for contest in contests), floor=True)]
    models, left_out = _tried(board, steps)
    heat = board.heat(steps, None)
    untuned = {model: _untuned(board, heat, model) for model in models}
    rows += [Row(model, tuple(_cell(c, model, notes, untuned[model]) for c in contests)) for model in models]
    legend = [
        "Mean ± half its 95 % interval over seeds; methods of a column that share a letter are not separated (paired "
        f"t, Holm's correction over all pairs, {100 * LEVEL:g} %); in parentheses: not compared.",
        *([AT_FLOOR] if any(cell.sign for row in rows for cell in row.cells) else []),
        *flipped(contests),
        *left_out,
    ]
    legend += origins(board, [contest.data for contest in contests])
    legend += _measured(contests, short)
    legend += [CHOSEN] if heat.settings == "tuned" else []
    legend += recipes(board, models)
    noise = {short[c.data]: c.noise for c in contests if c.noise is not None}
    if noise:
        high = [data for data, share in noise.items() if share > NOISY]
        part = f" Above a third on {', '.join(high)}: part of the spread there is evaluation error." if high else ""
        shares = ", ".join(f"{data} {share:.2f}" for data, share in noise.items())
        legend.append(f"Evaluation error divided by the spread over seeds, median: {shares}.{part}")
    name = title(board, [heat], what)
    return Table(name, tuple(columns), tuple(rows), tuple(legend), tuple(notes), head="method")


def _measured(contests: Sequence[Contest], short: Mapping[str, str]) -> Iterator[str]:
    """Yield how each metric was measured, with the tasks if the metric has several protocols."""
    protocols = group_by([c for c in contests if c.protocol], lambda c: (c.metric, c.protocol))
    times = Counter(metric for metric, _ in protocols)
    for (metric, protocol), own in protocols.items():
        tasks = f" ({', '.join(short[c.data] for c in own)})" if times[metric] > 1 else ""
        yield f"{metric}: {protocol}{tasks}."


def track_tables(board: TrackBoard) -> Iterator[Table]:
    """Yield the table across tasks, then tasks, costs and likelihoods of every budget with values."""
    yield across_table(board)
    for steps in board.budgets:
        if any(cell.values for contest in board.heat(steps, None).contests for cell in contest.cells.values()):
            yield task_table(board, steps)
            yield cost_table(board, steps)
            if board.likelihoods[steps]:
                yield likelihood_table(board, steps)


def cost_table(board: TrackBoard, steps: int) -> Table:
    """Return the excess of methods with their cost: seconds of training, and the NFE that reaches a common target."""
    heat, reached = board.heat(steps, None), board.evaluations(steps)
    summaries = {summary.method: summary for summary in heat.effects.summaries}
    contests = [contest for contest in heat.contests if contest.data in reached]
    short = distinct(reached, 20)
    columns = [Column("excess", "lower"), *(Column(f"NFE: {short[data]}", "lower") for data in reached)]
    models, left_out = _tried(board, steps)
    notes: dict[str, int] = {}
    rows = []
    for model in models:
        found = [(contest.cells[model].word, reached[contest.data].get(model)) for contest in contests]
        cells = [Cell(text=word or (nfe.text if nfe else "never")) for word, nfe in found]
        rows.append(Row(model, (_ratio(board, heat, model, summaries.get(model), notes), *cells)))
    legend = [
        f"NFE: where the excess falls to {TARGET:g} times the excess of {board.baseline} with its own sampler, by "
        "log-log interpolation between measured NFE; ≤: only the method's own sampler reaches this, with this mean "
        "NFE; never: even the method's own sampler has a larger excess.",
        *_signs(rows),
        *left_out,
        *recipes(board, models),
        *imprecise([heat]),
        *_timed(board),
    ]
    if (timed := board.seconds) is not None:
        columns.insert(0, Column(SECONDS, "lower"))
        rows = [replace(row, cells=(_seconds(timed, row.label), *row.cells)) for row in rows]
    name = title(board, [heat], f"{budget(heat)}, cost")
    return Table(name, tuple(columns), tuple(rows), tuple(legend), tuple(notes), head="method")


def _tried(board: TrackBoard, steps: int) -> tuple[list[str], list[str]]:
    """Return the rows of tables at a budget, and a sentence on the rows beyond the track that have no run there."""
    own = board.heat(steps, None).contests
    absent = [model for model in board.further if all(contest.cells[model].word == "missing" for contest in own)]
    rows = [model for model in board.models if model not in absent]
    return rows, [f"Without a run at this budget: {', '.join(absent)}."] if absent else []


def _seconds(timed: Seconds, model: str) -> Cell:
    seconds = timed.first.seconds.get(model)
    return Cell(text="" if seconds is None else f"{float(f'{seconds:.2g}'):g}")  # 120, not 1.2e+02


def _timed(board: TrackBoard) -> list[str]:
    if (timed := board.seconds) is None:
        return []
    what = f"processor time of one model alone with default settings on {timed.first.task}, methods in turns"
    what += ", without what a training does once, such as the potentials of sdcfm"
    return [f"Seconds: {what}; {timed.machine} {timed.state.capitalize()}."]


def _labelled(board: TrackBoard, models: Sequence[str]) -> list[str]:
    """Return a sentence on the rows that use labels, where the baseline does not and has such a row, too."""
    partner = f"{board.baseline} {LABELS}"
    if partner not in models:
        return []
    return [f"Rows with {LABELS} use labels, {board.baseline} does not: compare them with {partner}."]


def _added(board: TrackBoard) -> list[str]:
    """Return a sentence on the rows that the track does not list, if there are any."""
    what = "they add pairs to the correction and opponents to the wins, so published letters and wins may differ"
    return [f"Beyond the track: {', '.join(board.further)}; {what}."] if board.further else []


def _share(wins: float | None) -> Cell:
    return Cell(text="" if wins is None else f"{100 * wins:.0f} %")


def _signs(rows: Sequence[Row]) -> list[str]:
    return [ON_ALL_TASKS] if any(cell.sign for row in rows for cell in row.cells) else []


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
    raised = f"{', '.join(summary.clipped)}: excess raised to one standard error"
    texts = [*([raised] if summary.clipped else []), *_untuned(board, heat, model)]
    numbers = tuple(notes.setdefault(text, len(notes) + 1) for text in texts)
    sign = "°" if summary.at_floor else ""
    return Cell(summary.ratio, text=f"{summary.ratio:.2f}{interval}", letters=letters, sign=sign, notes=numbers)


def _untuned(board: TrackBoard, heat: Heat, model: str) -> list[str]:
    """Return the note of a row beside tuned ones of which the track has no trials."""
    return [NOT_TUNED] if heat.settings == "tuned" and model in board.further else []


def _cell(contest: Contest, model: str, notes: dict[str, int], more: Sequence[str]) -> Cell:
    own = contest.cells[model]
    texts = [own.reason, own.stated, own.word if own.values else "", *more]
    numbers = tuple(notes.setdefault(text, len(notes) + 1) for text in texts if text)
    if not own.values:
        return Cell(text=own.word, notes=numbers)
    cell = compared_cell(own.values, contest.pairs, model)
    return replace(cell, notes=numbers, aside=bool(own.word))


def _floor(contest: Contest) -> Cell:
    values = tuple(contest.floor.items())
    return Cell(*mean_and_half([value for _, value in values]), values=values) if values else Cell()
