"""Tables: from measured values to rows of models, with mean and error over seeds, floor, letters, and notes.

Values of different protocols are never mixed: a metric measured under two protocols becomes two columns. A numbered
note below the table explains each failed seed and each unsupported metric.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from operator import attrgetter
from statistics import fmean, median

from genbench.analysis.labels import counted
from genbench.analysis.means import mean_and_half
from genbench.analysis.significance import SEPARATION, Pairwise, compare_all
from genbench.analysis.values import Failure, Value, by_budget, by_model, group_by, stated_protocol
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.results.frames import DEFAULT_END

FLOOR = "real vs. real (floor)"
"""Label of the floor row: real data in place of the samples."""

ONE_EVALUATION = "Half the 95 % interval of a single evaluation, over its samples, test points or paths"
"""Legend of the interval of one evaluation; the spread over seeds includes this interval."""

MAX_STEPS = 8
"""Most columns of a table of training steps; all steps are in table.csv."""

AT_FLOOR = "°: at the floor or better (paired 95 % interval); such values are not ordered among themselves."

DEFAULT_ROWS = "(default): default settings; the table of default settings shows the same runs."

NO_REASON = "no reason was recorded"

COUNTS = ("nfe", "failed")
"""Counts, which do not rank models: for a flow that is not an ODE, NFE 1 is trivial."""


@dataclass(frozen=True)
class _Content:
    """A column with its {model: {seed: value}}, floors {seed: [...]}, and reasons of missing values {model: [...]}."""

    column: Column
    found: Mapping[str, Mapping[int, float]]
    floors: Mapping[int, Sequence[float]] = field(default_factory=dict)
    missing: Mapping[str, Sequence[str]] = field(default_factory=dict)


def quality_tables(values: Sequence[Value], failures: Sequence[Failure] = ()) -> list[Table]:
    """Return all tables of quality: with the main solver, against NFE, and against training steps."""
    return [
        *comparison_tables(values, failures),
        *curve_tables(values, failures),
        *training_tables(values, failures),
    ]


def _by_budget(make: Callable[..., list[Table]]) -> Callable[..., list[Table]]:
    """Let a track have tables of its own for each budget and for tuned settings, since no test compares these."""

    @wraps(make)
    def tables(values: Sequence[Value], failures: Sequence[Failure] = ()) -> list[Table]:
        parts = by_budget(values, failures)
        return [replace(t, title=f"{t.title}{which}") for which, own, failed in parts for t in make(own, failed)]

    return tables


@_by_budget
def comparison_tables(values: Sequence[Value], failures: Sequence[Failure] = ()) -> list[Table]:
    """Compare the models of each data set with their main solver: one row per model, one column per metric.

    Tables, rows and columns keep the order of the values.
    """
    tables = []
    for data in dict.fromkeys([*(v.data for v in values), *(f.data for f in failures)]):
        main = [v for v in values if v.data == data and v.point == "main"]
        contents, protocols, warnings, alone = [], {}, [], {}
        for metric, rows in group_by(main, lambda v: v.metric).items():
            variants = group_by([v for v in rows if v.value is not None], lambda v: (v.protocol, v.n))
            if not variants and any(v.metric.startswith(f"{metric}.") and v.value is not None for v in main):
                continue  # the metric has named parts only: each has a column, with the reasons of the whole
            better = "none" if metric in COUNTS else rows[0].better
            whole = metric.rpartition(".")[0]
            missing = [v for v in main if v.metric in (metric, whole) and v.value is None]
            for index, variant in enumerate(variants.values() or [[]]):
                title = f"{metric} ({chr(ord('a') + index)})" if len(variants) > 1 else metric
                column = Column(title, better, _protocol(variant[0]) if variant else "")
                contents.append(_content(column, variant, missing))
                if variant:
                    protocols.setdefault(_protocol(variant[0]), []).append(title)
                if halves := [v.half for v in variant if v.half is not None]:
                    alone[title] = f"{title} ±{median(halves):.2g}"
            if len(variants) > 1:
                warnings.append(f"{metric} was measured under {len(variants)} protocols, which may not be compared.")
        contents = contents or [_Content(Column("outcome"), {})]
        legend = [f"{', '.join(titles)}: {protocol}" for protocol, titles in protocols.items()] + warnings
        if alone:
            legend.append(f"{ONE_EVALUATION}: {', '.join(alone.values())} (median).")
        tables.append(_table(data, main, contents, [f for f in failures if f.data == data], legend))
    return tables


@_by_budget
def curve_tables(values: Sequence[Value], failures: Sequence[Failure] = ()) -> list[Table]:
    """Show quality against NFE: one table for each data set, metric and solver with a curve, the main solver last.

    The points "curve" make the columns.
    """
    points = [v for v in values if v.point == "curve" and v.value is not None and v.metric != "nfe"]
    tables = []
    for key, part in group_by(points, lambda v: (v.data, v.metric, v.protocol, v.n, v.solver)).items():
        data, metric, solver = key[0], key[1], key[-1]
        same = [v for v in values if (v.data, v.metric) == (data, metric)]
        missing = [v for v in same if v.value is None]
        main = [v for v in same if v.point == "main" and (v.protocol, v.n) == (part[0].protocol, part[0].n)]
        better, protocol = part[0].better, _protocol(part[0])
        legend, contents = [f"{metric}: {protocol}"], []
        fixed = {v.model: ["its NFE cannot be set"] for v in main if v.solver is None and v.model not in _models(part)}
        for nfe, rows in sorted(group_by(part, lambda v: v.nfe or 0).items()):
            here = [v for v in missing if (v.point, v.solver, v.nfe) == ("curve", solver, nfe)]
            content = _content(Column(f"{nfe:g}", better, protocol), rows, here)
            contents.append(replace(content, missing={**fixed, **content.missing}))
        solvers = {model: rows[0].solver or "its own" for model, rows in by_model(main)}
        if main:
            one = len(set(solvers.values())) == 1
            title = next(iter(solvers.values())) if one else "main solver"
            here = [v for v in missing if v.point == "main"]
            contents += [_content(Column(title, better, protocol), main, here), _nfe_of(main, Column("its NFE"))]
            legend += [] if one else [f"Main solver: {', '.join(f'{m} {s}' for m, s in solvers.items())}."]
        title = f"{data}: {metric} vs. NFE ({solver})"
        tables.append(_table(title, same, contents, [f for f in failures if f.data == data], legend))
    return tables


@_by_budget
def training_tables(values: Sequence[Value], failures: Sequence[Failure] = ()) -> list[Table]:
    """Show quality against training steps: one table for each data set and metric measured during training.

    The points "training" make the columns, the trained model the last one. Plans of different length are compared at
    equal shares of their steps.
    """
    points = [v for v in values if v.point == "training" and v.value is not None and v.step is not None]
    tables = []
    for (data, metric, protocol, n), part in group_by(points, lambda v: (v.data, v.metric, v.protocol, v.n)).items():
        better, text = "none" if metric in COUNTS else part[0].better, _protocol(part[0])
        same = [v for v in values if (v.data, v.metric) == (data, metric) and v.point != "curve"]
        shares = all(v.share for v in part) and len({round((v.step or 0) / (v.share or 1)) for v in part}) > 1
        at_step = attrgetter("share" if shares else "step")
        steps = sorted(group_by(part, at_step).items())
        every = math.ceil(len(steps) / MAX_STEPS)
        missing, contents = [v for v in same if v.value is None], []
        for at, rows in steps[::-1][::every][::-1]:  # evenly spread, with the last one
            lost = [v for v in missing if v.point == "training" and at_step(v) == at]
            contents.append(_content(Column(f"{100 * at:.3g} %" if shares else f"{at:g}", better, text), rows, lost))
        main = [v for v in same if v.point == "main" and (v.protocol, v.n) == (protocol, n)]
        contents.append(_content(Column("end", better, text), main, [v for v in missing if v.point == "main"]))
        failed = [f for f in failures if f.data == data]
        tables.append(_table(f"{data}: {metric} vs. training steps", same, contents, failed, [f"{metric}: {text}"]))
    return tables


POINTS = {"main": "with its main solver", "curve": "by NFE", "training": "during training"}
"""Points of values, and their titles in the tables of a method."""


def seed_tables(values: Sequence[Value]) -> Iterator[Table]:
    """Yield the values of one model on a data set by seed: with its main solver, by NFE, and during training."""
    seeds = sorted({v.seed for v in values})
    columns = [Column(title) for title in ("mean", "floor", *(f"seed {seed}" for seed in seeds), "protocol")]
    for point, title in POINTS.items():
        rows = []
        for (metric, where, text), own in group_by((v for v in values if v.point == point), _place).items():
            found = {v.seed: v.value for v in own}
            known, floors = ([x for x in xs if x is not None] for xs in (found.values(), (v.floor for v in own)))
            means = [Cell(*mean_and_half(each)) if each else Cell() for each in (known, floors)]
            cells = [Cell(found.get(seed), text="" if known or seed not in found else "-") for seed in seeds]
            rows.append(Row(f"{metric}{where}", (*means, *cells, Cell(text=text))))
        if rows:
            yield Table(f"Values {title}", tuple(columns), tuple(rows), head="metric")


def _place(v: Value) -> tuple[str, str, str]:
    """Return the metric of a value, its NFE or step, and its protocol, or the reason why the value is missing."""
    nfe = f", NFE {v.nfe or 0:g} ({v.solver})" if v.point == "curve" else ""
    step = f", step {v.step or 0:g}" if v.point == "training" else ""
    return v.metric, nfe or step, stated_protocol(v) if v.value is not None else v.reason or NO_REASON


def _table(
    title: str,
    part: Sequence[Value],
    contents: Sequence[_Content],
    failed: Sequence[Failure],
    legend: Sequence[str],
) -> Table:
    models = list(dict.fromkeys([*_models(part), *(f.model for f in failed)]))
    usual = max((len(seeds) for content in contents for seeds in content.found.values()), default=0)
    notes: dict[str, int] = {}
    finished = {model for content in contents for model in content.found}
    failures = dict(by_model(failed))
    # The mean of the seeds that did not fail is not the mean of the method.
    whole = [
        replace(c, found={m: own for m, own in c.found.items() if m not in failures and not c.missing.get(m)})
        for c in contents
    ]
    pairs = [_pairs(content) for content in whole]
    columns = [
        _cells(*column, models, failures, finished, usual, notes) for column in zip(contents, pairs, strict=True)
    ]
    rows = [Row(model, tuple(column[i] for column in columns)) for i, model in enumerate(models)]
    floor = tuple(_floor(content, notes) for content in contents)
    if any(cell.mean is not None for cell in floor):
        rows.insert(0, Row(FLOOR, floor, floor=True))
    seeds = sorted({seed for content in contents for found in content.found.values() for seed in found})
    head = [_seeds(seeds, usual)] if seeds else []
    other_data = [m for m, own in by_model(part) if any(v.original is False for v in own)]
    if other_data:
        which = "" if len(other_data) == len(models) else f" of {', '.join(other_data)}"
        head.append(f"The data{which} is a file, not a published original: do not compare with published numbers.")
    if any(cell.mean is None and not cell.text for row in rows if not row.floor for cell in row.cells):
        head.append("An empty cell was not measured.")
    cells = [cell for row in rows for cell in row.cells]
    tail = [SEPARATION] if any(cell.letters for cell in cells) else []
    tail += [DEFAULT_ROWS] if any(model.endswith(DEFAULT_END) for model in models) else []
    tail += [AT_FLOOR] if any(cell.sign for cell in cells) else []
    if any(cell.aside for cell in cells):
        tail.append("In parentheses: models with failed runs or seeds without a value, compared with no other.")
    return Table(title, tuple(c.column for c in contents), tuple(rows), (*head, *legend, *tail), tuple(notes))


def _pairs(content: _Content) -> Pairwise | None:
    """Compare the models of a column; None if it has no direction."""
    floor = {seed: fmean(floors) for seed, floors in content.floors.items()}
    directed = content.column.better in ("lower", "higher")
    return compare_all(content.found, content.column.better, floor) if directed and content.found else None


def _cells(
    content: _Content,
    pairs: Pairwise | None,
    models: Sequence[str],
    failures: Mapping[str, Sequence[Failure]],
    finished: set[str],
    usual: int,
    notes: dict[str, int],
) -> list[Cell]:
    cells = []
    for model in models:
        seeds, missing, failed = content.found.get(model, {}), content.missing.get(model, []), failures.get(model, [])
        texts = []
        if missing:
            part = f"without {len(missing)} of {len(missing) + len(seeds)} seeds: " if seeds else ""
            texts.append(part + distinct_reasons(missing))
        if failed:
            texts.append(f"{counted(len(failed), 'run')} failed: {distinct_reasons(f.reason for f in failed)}")
        if seeds and len(seeds) < usual and not texts:
            texts.append(f"{counted(len(seeds), 'seed')} only{', too few to compare' if len(seeds) == 1 else ''}")
        numbers = tuple(notes.setdefault(text, len(notes) + 1) for text in texts)
        if seeds:
            found = compared_cell(seeds, pairs, model)
            cells.append(replace(found, notes=numbers, aside=bool(failed or missing)))
        else:
            text = "-" if missing else f"failed ({len(failed)})" if failed and model not in finished else ""
            cells.append(Cell(text=text, notes=numbers if text else ()))
    return cells


def compared_cell(seeds: Mapping[int, float], pairs: Pairwise | None, model: str) -> Cell:
    """Return the cell of a model with its values by seed, and how it compares in its column."""
    cell = Cell(*mean_and_half(seeds.values()), values=tuple(sorted(seeds.items())))
    if pairs is None or model not in pairs.letters:
        return cell
    sign = "°" if model in pairs.at_floor else ""
    return replace(cell, letters=pairs.letters[model], sign=sign)


def _floor(content: _Content, notes: dict[str, int]) -> Cell:
    """Return the floor of a column. It depends on the data and the seed only, so all models measured the same one."""
    if not content.floors:
        return Cell()
    differ = any(max(f) - min(f) > 1e-6 * (1 + abs(f[0])) for f in content.floors.values())
    numbers = (notes.setdefault("mean over models, whose floors differ", len(notes) + 1),) if differ else ()
    values = tuple((seed, fmean(f)) for seed, f in sorted(content.floors.items()))
    return Cell(*mean_and_half([value for _, value in values]), notes=numbers, values=values)


def _content(column: Column, measured: Sequence[Value], missing: Sequence[Value]) -> _Content:
    found = {m: {v.seed: v.value for v in rows if v.value is not None} for m, rows in by_model(measured)}
    floors = group_by([v for v in measured if v.floor is not None], lambda v: v.seed)
    return _Content(
        column,
        {m: seeds for m, seeds in found.items() if seeds},
        {seed: [v.floor for v in rows if v.floor is not None] for seed, rows in floors.items()},
        {m: [v.reason or NO_REASON for v in rows] for m, rows in by_model(missing)},
    )


def _nfe_of(measured: Iterable[Value], column: Column) -> _Content:
    return _content(column, [v._replace(value=v.nfe, floor=None) for v in measured], [])


def _models(rows: Iterable[Value]) -> list[str]:
    return list(dict.fromkeys(row.model for row in rows))


def _protocol(value: Value) -> str:
    return f"{stated_protocol(value)}."


def _seeds(seeds: Sequence[int], usual: int) -> str:
    listed = ", ".join(map(str, seeds))
    if usual == 1:
        which = "One seed" if len(seeds) == 1 else "One seed for each model"
        return f"{which} ({listed}): no interval, and too few seeds to compare models."
    return f"Mean ± half its 95 % interval over {usual} seeds {'' if usual == len(seeds) else 'out of '}({listed})."


def distinct_reasons(reasons: Iterable[str]) -> str:
    """Return each reason once; reasons that differ in numbers only count as equal."""
    kinds: dict[str, dict[str, None]] = {}
    for reason in reasons:
        kinds.setdefault(re.sub(r"[\d.]+(e[+-]?\d+)?", "#", reason), {})[reason] = None
    return "; ".join(next(iter(kind)) + (" (and similar)" if len(kind) > 1 else "") for kind in kinds.values())
