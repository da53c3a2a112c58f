"""Content: everything a report says of a results folder, gathered once for all its forms."""

from collections.abc import Collection, Iterable, Iterator, Sequence

import pandas as pd

from genbench.report import plots
from genbench.report.chart import Chart, Charts
from genbench.report.dependence import dependences
from genbench.report.origins import origins
from genbench.report.pictures import Flow
from genbench.report.samples import Drawings, picture, trainings
from genbench.report.section import Aside, Block, Points, Report, Section
from genbench.report.suites import OTHERS, Chapter, Kept
from genbench.report.table import Table
from genbench.report.tables import checked, comparisons, costs, curves, grouped, lost, progress

READING = (
    "Mean ± standard error over seeds. Seeds share evaluation noise and held-out data across models, so that "
    "differences are paired.",
    "The floor row, data against data, is training data measured against held-out data by the same code, as if a "
    "perfect sampler had drawn it. A difference below the floor's own spread says nothing.",
    "Best is marked only where a paired test tells it apart from all others (Holm's correction, 5 %). Where it does "
    "not, all that are not told apart from the best mean are marked as ties. Ranks are of the means alone.",
    "Evaluations are counted evaluations of the network, never the requested number of steps.",
    "A dash stands where a model lacks what a metric asks for, with the reason; failed runs are counted.",
)

NAMED = 4
"""How many models that are not told apart a sentence names; more are counted, and marked in the table."""


def gather(chapters: Sequence[Chapter], drawn: Sequence[Drawings], more: Sequence[Section] = ()) -> Report:
    """Gather the report of these chapters.

    Args:
        chapters: what is kept, one a suite.
        drawn: of each chapter, where its drawings are kept.
        more: sections that follow those of the chapters.
    """
    sections = tuple(_chapter(chapter, kept) for chapter, kept in zip(chapters, drawn, strict=True))
    runs = [run for chapter in chapters for run in chapter.runs]
    failed = [failure for chapter in chapters for failure in lost(chapter.failures)]
    models = tuple(dict.fromkeys([*(run.name for run in runs), *(failure.model for failure in failed)]))
    called = {series.model for chart in _charts(sections) for series in chart.series}
    others = dict.fromkeys(series.model for chart in _charts(more) for series in chart.series)
    counts = [
        _count(len(chapters), "suite"),
        _count(len({run.data for run in runs}), "data set"),
        _count(len(models), "model"),
        _count(len({run.seed for run in runs}), "seed"),
        _count(len(runs), "run"),
    ]
    return Report(
        "genbench report",
        ", ".join(counts) + ".",
        READING,
        (*_with_families(models, called), *others),
        (*sections, *more),
    )


def _charts(sections: Iterable[Section]) -> list[Chart]:
    blocks = [block for section in sections for block in section.walk()]
    return [chart for block in blocks if isinstance(block, Charts) for chart in block.charts]


def _with_families(models: Sequence[str], drawn: Collection[str]) -> tuple[str, ...]:
    """Put what charts call a whole family of models before its members, so that it has the plainest look of them."""
    found: dict[str, None] = {}
    for model in models:
        whole = sorted(name for name in drawn if name not in models and name.split(" ")[0] == model.split(" ")[0])
        found |= dict.fromkeys([*whole, model])
    return tuple(found)


def _chapter(chapter: Chapter, drawings: Drawings) -> Section:
    failures = lost(chapter.failures)
    names = dict.fromkeys([*(run.data for run in chapter.runs), *(failure.data for failure in failures)])
    parts = tuple(_data(chapter, data, drawings) for data in names)
    title = "Runs of no suite" if chapter.name == OTHERS else f"Suite {chapter.name}"
    return Section(title, (_budget(chapter.runs),), parts)


def _budget(runs: Sequence[Kept]) -> str:
    """One line on what all runs of a chapter share."""
    seeds = sorted({run.seed for run in runs})
    plans = [run.record["spec"]["plan"] for run in runs]
    shared = {(plan["steps"], plan["batch_size"]) for plan in plans}
    said = f"{_count(len(runs), 'run')}, seeds {', '.join(map(str, seeds))}"
    if len(shared) != 1:
        return f"{said}; budgets differ, see the origin of each number."
    ((steps, batch),) = shared
    return f"{said}; each model trained for {steps} steps of {batch} samples."


def _data(chapter: Chapter, data: str, drawings: Drawings) -> Section:
    runs = [run for run in chapter.runs if run.data == data]
    values = chapter.values
    values = values.loc[values["data"] == data]
    failures = chapter.failures
    failures = failures.loc[failures["data"] == data] if failures is not None else None
    failures = failures if failures is not None and len(failures) else None
    name = f"{chapter.name}-{data}"
    (table,) = comparisons(values, failures)
    blocks: list[Block] = [*leaders(table), table, *_absent(values, failures)]
    sections = [_quality(name, values, failures)]
    if runs:
        sections += [Section(charts.title, (charts,)) for charts in dependences(name, runs, values)]
        sections += [_picture(name, runs, drawings), _training(name, runs, values, failures, drawings)]
        spent = chapter.costs
        if len(spent):
            sections.append(_cost(name, values, spent.loc[spent["data"] == data]))
        sections.append(Section("Where these numbers come from", (origins(data, runs),)))
    return Section(data, tuple(blocks), tuple(section for section in sections if section.blocks))


def leaders(table: Table) -> Iterator[str]:
    """Say in a sentence or two who is best on what, of what is told apart from noise."""
    alone: dict[str, list[str]] = {}
    tied: dict[tuple[str, ...], list[str]] = {}
    for index, column in enumerate(table.columns):
        marked = {row.label: row.cells[index].mark for row in table.rows if row.cells[index].mark}
        if "best" in marked.values() and len(marked) == 1:
            alone.setdefault(next(iter(marked)), []).append(column.title)
        elif marked:
            tied.setdefault(tuple(marked), []).append(column.title)
    said = [f"{model} on {_listed(metrics)}" for model, metrics in alone.items()]
    said = [f"Best, beyond noise: {'; '.join(said)}."] if said else []
    if tied:
        rows = sum(not row.floor for row in table.rows)
        groups = [(_listed(m) if len(m) <= NAMED else f"{len(m)} of {rows} models", tied[m]) for m in tied]
        listed = "; ".join(f"{who} on {_listed(metrics)}" for who, metrics in groups)
        said.append(f"Not told apart: {listed}.")
    if said:
        yield " ".join(said)


def _absent(values: pd.DataFrame, failures: pd.DataFrame | None) -> Iterator[Points]:
    """List what failed, and what models cannot be asked, with reasons."""
    gone = [
        f"{model}: {_count(len(rows), 'run')} failed: {reason}"
        for (model, reason), rows in grouped(lost(failures), lambda f: (f.model, f.reason)).items()
    ]
    lacking = [v for v in checked(values) if v.value is None]
    for (reason, _), rows in grouped(lacking, lambda v: (v.reason, v.point == "curve")).items():
        metrics = _listed(sorted({v.metric for v in rows}))
        where = " along the curve" if rows[0].point == "curve" else ""
        gone.append(f"{_listed(dict.fromkeys(v.model for v in rows))} without {metrics}{where}: {reason}")
    if gone:
        yield Points("Failed or unsupported", tuple(gone))


def _quality(name: str, values: pd.DataFrame, failures: pd.DataFrame | None) -> Section:
    charts = plots.against_evaluations(f"{name}-nfe", values)
    tables = (Aside(table) for table in curves(values, failures))
    return Section("Quality against network evaluations", (charts, *tables) if charts else ())


def _picture(name: str, runs: Sequence[Kept], drawings: Drawings) -> Section:
    drawn = picture(f"{name}-samples", runs, drawings)
    title = "Paths and densities" if isinstance(drawn, Flow) else "Samples"
    return Section(title, () if drawn is None else (drawn,))


def _training(
    name: str, runs: Sequence[Kept], values: pd.DataFrame, failures: pd.DataFrame | None, drawings: Drawings
) -> Section:
    loss = plots.of_training(f"{name}-training", trainings(runs, drawings))
    blocks: list[Block] = [loss or "The logs of training are not kept here."]
    on_the_way = plots.against_training(f"{name}-progress", values)
    if on_the_way:
        blocks += [on_the_way, *(Aside(table) for table in progress(values, failures))]
    return Section("Training", tuple(blocks))


def _cost(name: str, values: pd.DataFrame, spent: pd.DataFrame) -> Section:
    charts = plots.against_cost(f"{name}-cost", values, spent)
    tables = tuple(Aside(table) for table in costs(spent, values))
    return Section("Cost against quality", (charts, *tables) if charts else tables)


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else str(last)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
