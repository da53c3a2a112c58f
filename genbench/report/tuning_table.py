"""Tables of tuning: what every candidate reached on the validation split, and what was chosen."""

from collections.abc import Iterator
from dataclasses import replace

from genbench.analysis.means import format_mean
from genbench.analysis.tuning.grid_search import Choice, GridSearch
from genbench.analysis.tuning.track_tuning import TrackTuning
from genbench.analysis.values import group_by, read_values
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.tables import comparison_tables
from genbench.results.names import metric_names

DEFAULT = "default"
ONE_SEED = "One seed has no standard error: the best candidate is chosen."


def candidates_table(search: GridSearch) -> Table:
    """Return all candidates of a search, with what was chosen below."""
    values = read_values([record for candidate in search.candidates for record in candidate.records])
    metric = metric_names([search.metric])[search.metric]
    (table,) = comparison_tables([value for value in values if value.metric == metric])
    chosen = search.chosen()
    legend = [
        f"Chosen for {method}: {'; '.join([choice.candidate.text, *choice.edges])}."
        for method, choice in chosen.items()
    ]
    if any(choice.default is not None for choice in chosen.values()):
        tied = "If the default is within one standard error of the best candidate, the default is chosen."
        legend += [tied if len(search.candidates[0].specs) > 1 else ONE_SEED]
    excluded = [f"{c.method} {c.text}" for c in search.candidates if c.mean(search.metric) is None]
    legend += [f"Excluded, without a value for every seed: {'; '.join(excluded)}."] if excluded else []
    title = f"{table.title}: {metric} on the validation split"
    return replace(table, title=title, legend=(*legend, *table.legend))


def choices_tables(tuning: TrackTuning) -> Iterator[Table]:
    """Yield, for each data set, the best candidate of every row beside its default, and which of the two was chosen."""
    for data, trials in group_by(tuning.trials, lambda each: each.row.dataset).items():
        notes: dict[str, int] = {}
        metric, first = trials[0].search.metric, trials[0].search.candidates[0]
        columns = (Column(DEFAULT), Column("best"), Column("best - default"), Column("chosen"))
        rows = [
            Row(each.row.label, _cells(choice, metric, notes))
            for each in trials
            for choice in each.search.chosen().values()
        ]
        absent = [each.row.label for each in trials if each.search.unsupported]
        lost = [each.row.label for each in trials if each.search.lost and each.row.label not in absent]
        several = (
            f"Means over {len(first.specs)} seeds that no table reports; ±: standard error of the paired difference. "
            "The best candidate is chosen if it differs from the default by more than this error."
        )
        legend = [
            several if len(first.specs) > 1 else f"Values of 1 seed that no table reports. {ONE_SEED}",
            *([f"Unsupported: {', '.join(absent)}."] if absent else []),
            *([f"No candidate has a value for every seed: {', '.join(lost)}."] if lost else []),
        ]
        title = f"{tuning.path.stem}: {metric} on the validation split of {data}"
        yield Table(title, columns, tuple(rows), tuple(legend), tuple(notes), head="method")


def _cells(choice: Choice, metric: str, notes: dict[str, int]) -> tuple[Cell, ...]:
    def number(text: str) -> int:
        return notes.setdefault(text, len(notes) + 1)

    difference = choice.difference(metric)
    default = "-" if choice.default is None else f"{choice.default.mean(metric):.4g}"
    tied = (number("The default is tied with the best candidate."),) if choice.candidate is not choice.best else ()
    return (
        Cell(text=default),
        Cell(text=f"{choice.best.mean(metric):.4g}"),
        Cell(text="" if difference is None else format_mean(*difference), notes=tied),
        Cell(text=choice.candidate.text, notes=tuple(map(number, choice.edges))),
    )
