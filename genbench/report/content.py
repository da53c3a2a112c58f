"""Content: everything that a report of a results folder says, gathered once for all formats."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from genbench.analysis.labels import counted, shared_words
from genbench.analysis.suite_results import SuiteResults
from genbench.analysis.values import Cost, Failure, Value, group_by, headline_metric
from genbench.report import plots
from genbench.report.blocks import Block, Chart, Charts, Flow, List, Report, Section, Table
from genbench.report.drawings import Drawings
from genbench.report.origins import origins
from genbench.report.samples import loss_curves, sample_picture
from genbench.report.tables import comparison_tables, cost_tables, curve_tables, training_tables
from genbench.results.reader import OTHER_RUNS, Run
from genbench.training.plan import Plan

READING = (
    "Mean ± half its 95 % interval over seeds. All models share evaluation noise and held-out data for each seed, so "
    "differences are paired.",
    "The floor (real vs. real) is training data measured against held-out data by the same code: the score of a "
    "perfect sampler. Differences near the floor are small against what real data varies by. Samples of finite labeled "
    "data do not repeat, and have its class shares: there a perfect sampler does not quite reach the floor.",
    "A model is marked best only if it differs significantly from all others (paired test, Holm's correction, 5 %). "
    "Otherwise the best mean and all models that do not differ significantly from it are marked as ties; if "
    "no model is significantly worse, none is marked. Ranks are of the means alone. Models with failed "
    "runs, or with one seed where others have more, are neither marked nor ranked.",
    "NFE is the measured number of network evaluations per sample, not the requested number of solver steps.",
    "A dash marks a metric that the model does not support, with the reason below; failed runs are counted.",
)

MAX_NAMED = 4
"""Number of tied models that a sentence names; larger groups are counted."""


def gather(suites: Sequence[SuiteResults], drawings: Sequence[Drawings], more: Sequence[Section] = ()) -> Report:
    """Gather the report of suites.

    Args:
        suites: one section each.
        drawings: the drawings of each suite.
        more: sections that follow.
    """
    sections = tuple(_suite(suite, drawn) for suite, drawn in zip(suites, drawings, strict=True))
    runs = [run for suite in suites for run in suite.runs]
    failures = [failure for suite in suites for failure in suite.failures]
    models = tuple(dict.fromkeys([*(run.model for run in runs), *(failure.model for failure in failures)]))
    drawn = {series.model for chart in _charts(sections) for series in chart.series}
    others = dict.fromkeys(series.model for chart in _charts(more) for series in chart.series)
    counts = [
        counted(len(suites), "suite"),
        counted(len({run.data for run in runs}), "data set"),
        counted(len(models), "model"),
        counted(len({run.seed for run in runs}), "seed"),
        counted(len(runs), "run"),
    ]
    return Report(
        "genbench report",
        ", ".join(counts) + ".",
        READING,
        (*_with_families(models, drawn), *others),
        (*sections, *more),
    )


def _charts(sections: Iterable[Section]) -> list[Chart]:
    blocks = [block for section in sections for block in section.walk()]
    return [chart for block in blocks if isinstance(block, Charts) for chart in block.charts]


def _with_families(models: Sequence[str], drawn: Collection[str]) -> tuple[str, ...]:
    """Put the label of a family of models, which charts may use, before its members: it gets the plainest style."""
    with_families: dict[str, None] = {}
    for model in models:
        family = sorted(name for name in drawn if name not in models and name.split(" ")[0] == model.split(" ")[0])
        with_families |= dict.fromkeys([*family, model])
    return tuple(with_families)


def _suite(suite: SuiteResults, drawings: Drawings) -> Section:
    names = dict.fromkeys([*(run.data for run in suite.runs), *(failure.data for failure in suite.failures)])
    title = "Runs of no suite" if suite.name == OTHER_RUNS else f"Suite {suite.name}"
    return Section(title, (_budget(suite.runs),), tuple(_data_set(suite, data, drawings) for data in names))


def _budget(runs: Sequence[Run]) -> str:
    seeds = sorted({run.seed for run in runs})
    plans = [run.record["spec"]["plan"] for run in runs]
    budgets = {(plan["steps"], plan["batch_size"]) for plan in plans}
    text = f"{counted(len(runs), 'run')}, seeds {', '.join(map(str, seeds))}"
    if len(budgets) != 1:
        return f"{text}; budgets differ, see the origin of each number."
    ((steps, batch),) = budgets
    return f"{text}; each model trained for {steps} steps of {batch} samples."


def _data_set(suite: SuiteResults, data: str, drawings: Drawings) -> Section:
    runs = [run for run in suite.runs if run.data == data]
    values = [value for value in suite.values if value.data == data]
    failures = [failure for failure in suite.failures if failure.data == data]
    name = f"{suite.name}-{data}"
    (table,) = comparison_tables(values, failures)
    blocks: list[Block] = [*best_models(table), *_shared(runs), table, *_absent(values, failures)]
    sections = [_curves(name, values, failures)]
    if runs:
        sections += [Section(charts.title, (charts,)) for charts in plots.quality_vs_settings(name, runs, values)]
        sections += [_picture(name, runs, drawings), _training(name, runs, values, failures, drawings)]
        sections.append(_cost(name, runs, values, [cost for cost in suite.costs if cost.data == data]))
        sections.append(Section("Origin of these numbers", (origins(runs),)))
    return Section(data, tuple(blocks), tuple(section for section in sections if section.blocks))


SHARED = ("model.net", "plan.steps", "plan.batch_size", "plan.optimizer", "plan.lr", "plan.ema", "sample.method")
SHARED += ("evaluation.n",)
"""Settings that are stated above a table if all rows that have them share them."""

TRAINING = (
    *("steps", "batch_size", "optimizer", "lr", "schedule", "lr_min", "warmup", "weight_decay", "betas"),
    *("clip", "ema", "precision", "stop"),
)
"""Settings of plans that are stated above a table if rows differ in them: then the table compares more than methods."""


def _shared(runs: Sequence[Run]) -> Iterator[str]:
    """Yield a sentence on the settings that all rows share: those of their labels, then the usual ones."""
    labels, _ = shared_words(dict.fromkeys(run.model for run in runs))
    stated = {word.partition("=")[0] for word in labels.split()}
    sources: dict[str, dict[str, None]] = {}
    for run in runs:
        spec = cast(Mapping[str, Any], run.record["spec"])
        for key in SHARED:
            section, name = key.split(".")
            if name in spec[section] and name not in stated:
                sources.setdefault(name, {})[_setting(spec[section][name])] = None
    same = [f"{name} {next(iter(values))}" for name, values in sources.items() if len(values) == 1]
    if same or labels:
        yield f"Shared by every row that has the setting: {', '.join([*labels.split(), *same])}."
    stated = group_by((run for run in runs if run.stated), lambda run: run.stated)
    if stated:
        of = (f"{text} in {_listed(dict.fromkeys(run.model for run in own))}" for text, own in stated.items())
        yield f"Settings not in the names: {'; '.join(of)}."
    plans = {run.model: run.record["spec"]["plan"] for run in runs}
    # A record may be older than a setting, which had the effect of its default.
    trained = {model: {name: plan.get(name, getattr(Plan, name)) for name in TRAINING} for model, plan in plans.items()}
    differing = [name for name in TRAINING if len({_setting(plan[name]) for plan in trained.values()}) > 1]
    if differing:
        alike = group_by(trained, lambda model: ", ".join(f"{n} {_setting(trained[model][n])}" for n in differing))
        of = (f"{text} in {_listed(models)}" for text, models in alike.items())
        yield f"Trained unequally: {'; '.join(of)}."


def _setting(value: Any) -> str:
    """Write a setting; of a component its name and its settings."""
    if not isinstance(value, dict):
        return value if isinstance(value, str) else json.dumps(value)
    parts = [f"{key} {_setting(part)}" for key, part in value.items() if key not in ("name", "version")]
    return f"{value.get('name', '')} ({', '.join(parts)})"


def best_models(table: Table) -> Iterator[str]:
    """Yield a paragraph on which models are significantly best by which metric, and which are tied."""
    _, short = shared_words(row.label for row in table.rows if not row.floor)
    alone: dict[str, list[str]] = {}
    tied: dict[tuple[str, ...], list[str]] = {}
    for index, column in enumerate(table.columns):
        marked = {short[row.label]: row.cells[index].mark for row in table.rows if row.cells[index].mark}
        if "best" in marked.values() and len(marked) == 1:
            alone.setdefault(next(iter(marked)), []).append(column.title)
        elif marked:
            tied.setdefault(tuple(marked), []).append(column.title)
    sentences = []
    if alone:
        models = "; ".join(f"{model} by {_listed(metrics)}" for model, metrics in alone.items())
        sentences.append(f"Significantly best: {models}.")
    if tied:
        rows = sum(not row.floor for row in table.rows)
        groups = [(_listed(m) if len(m) <= MAX_NAMED else f"{len(m)} of {rows} models", tied[m]) for m in tied]
        sentences.append(f"Tied for best: {'; '.join(f'{who} by {_listed(metrics)}' for who, metrics in groups)}.")
    if sentences:
        yield " ".join(sentences)


def _absent(values: Sequence[Value], failures: Sequence[Failure]) -> Iterator[List]:
    """List failed runs and unsupported metrics, with reasons."""
    items = [
        f"{model}: {counted(len(rows), 'run')} failed: {reason}"
        for (model, reason), rows in group_by(failures, lambda f: (f.model, f.reason)).items()
    ]
    missing = [v for v in values if v.value is None]
    for (reason, _), rows in group_by(missing, lambda v: (v.reason, v.point == "curve")).items():
        metrics = _listed(sorted({v.metric for v in rows}))
        where = " along the curve" if rows[0].point == "curve" else ""
        items.append(f"{_listed(dict.fromkeys(v.model for v in rows))} without {metrics}{where}: {reason}")
    if items:
        yield List("Failed or unsupported", tuple(items))


def _curves(name: str, values: Sequence[Value], failures: Sequence[Failure]) -> Section:
    charts = plots.quality_vs_nfe(f"{name}-nfe", values)
    tables = _details(curve_tables(values, failures))
    return Section("Quality vs. NFE", (charts, *tables) if charts else ())


def _picture(name: str, runs: Sequence[Run], drawings: Drawings) -> Section:
    drawn = sample_picture(f"{name}-samples", runs, drawings)
    title = "Paths and densities" if isinstance(drawn, Flow) else "Samples"
    return Section(title, () if drawn is None else (drawn,))


def _training(
    name: str, runs: Sequence[Run], values: Sequence[Value], failures: Sequence[Failure], drawings: Drawings
) -> Section:
    loss = plots.training_loss(f"{name}-training", loss_curves(runs, drawings))
    blocks: list[Block] = [loss or "The training logs are not kept here."]
    progress = plots.quality_vs_steps(f"{name}-progress", values)
    if progress:
        blocks += [progress, *_details(training_tables(values, failures))]
    return Section("Training", tuple(blocks))


def _cost(name: str, runs: Sequence[Run], values: Sequence[Value], costs: Sequence[Cost]) -> Section:
    metric = headline_metric(runs[0].record["spec"]["data"]["name"], values)
    charts = plots.quality_vs_cost(f"{name}-cost", values, costs, metric) if metric else None
    tables = _details(cost_tables(costs, values))
    return Section("Quality vs. cost", (charts, *tables) if charts else tables)


def _details(tables: Iterable[Table]) -> tuple[Table, ...]:
    return tuple(replace(table, detail=True) for table in tables)


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else str(last)
