"""Tables: from measured values in long form to rows of models, with spread, floor, reasons and flags.

Nothing is mixed silently: a metric measured under two protocols becomes two columns, and whatever a cell leaves out
(a seed that failed, a metric that a model cannot have) is a numbered note under its table.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import pandas as pd

from genbench.errors import ConfigError
from genbench.report.statistics import LEVEL, Mark, marks, mean_and_error, rivals
from genbench.report.table import Cell, Column, Row, Table

T = TypeVar("T")

COSTS = {
    "train_seconds": ("training, s", "lower"),
    "steps_per_second": ("steps/s", "higher"),
    "sample_seconds": ("sampling, s", "lower"),
    "peak_mib": ("peak memory, MiB", "lower"),
    "parameters": ("parameters", "lower"),
}

FLOOR = "data against data"


class Value(NamedTuple):
    """One measured value, or the reason why there is none: a row of the frame of values."""

    run: str
    model: str
    data: str
    seed: int
    metric: str
    value: float | None
    floor: float | None
    n: float | None
    protocol: str | None
    better: str
    point: str
    solver: str | None
    nfe: float | None
    step: float | None
    reason: str | None
    original: bool | None


class Cost(NamedTuple):
    """What one run cost: a row of the frame of costs."""

    run: str
    model: str
    data: str
    seed: int
    train_seconds: float | None
    sample_seconds: float | None
    peak_mib: float | None
    steps_per_second: float | None
    parameters: float | None
    device: str


class Failure(NamedTuple):
    """One failed run: a row of the frame of failures."""

    model: str
    data: str
    seed: int
    reason: str


@dataclass(frozen=True)
class _Slot:
    """A column before it is filled: {model: {seed: value}}, the floors {seed: [...]}, the reasons {model: [...]}."""

    column: Column
    found: Mapping[str, Mapping[int, float]]
    floors: Mapping[int, Sequence[float]]
    refused: Mapping[str, Sequence[str]]


def quality(values: pd.DataFrame, failures: pd.DataFrame | None = None) -> list[Table]:
    """Return all that can be said of quality: at the main solver, against evaluations, against steps of training."""
    return [*comparisons(values, failures), *curves(values, failures), *progress(values, failures)]


def comparisons(values: pd.DataFrame, failures: pd.DataFrame | None = None) -> list[Table]:
    """Compare the models of each data set: one row a model, one column a metric, at the main solver.

    Rows, columns and tables keep the order in which the frame names them.

    Args:
        values: one row a measured value, its columns the fields of `Value`; a missing capability has a reason instead.
        failures: one row a failed run, its columns the fields of `Failure`.

    Raises:
        ConfigError: if a column is missing, or one model has two values of one metric for one seed.
    """
    every, failed = checked(values), lost(failures)
    tables = []
    for data in dict.fromkeys([*(v.data for v in every), *(f.data for f in failed)]):
        part = [v for v in every if v.data == data and v.point == "main"]
        slots, protocols, warnings = [], {}, []
        for metric, rows in grouped(part, lambda v: v.metric).items():
            variants = grouped([v for v in rows if v.value is not None], lambda v: (v.protocol, v.n))
            if not variants and any(v.metric.startswith(f"{metric}.") and v.value is not None for v in part):
                continue  # the metric has named parts only: each has a column, with the reasons of the whole
            whole = metric.rpartition(".")[0]
            refused = [v for v in part if v.metric in (metric, whole) and v.value is None]
            for index, variant in enumerate(variants.values() or [[]]):
                title = f"{metric} ({chr(ord('a') + index)})" if len(variants) > 1 else metric
                column = Column(title, rows[0].better, _protocol(variant[0]) if variant else "")
                slots.append(_slot(column, variant, refused))
                if variant:
                    protocols.setdefault(_protocol(variant[0]), []).append(title)
            if len(variants) > 1:
                warnings.append(f"{metric} was measured under {len(variants)} protocols, which may not be compared.")
        slots = slots or [_Slot(Column("outcome"), {}, {}, {})]
        legend = [f"{', '.join(titles)}: {protocol}" for protocol, titles in protocols.items()] + warnings
        tables.append(_table(data, part, slots, [f for f in failed if f.data == data], legend))
    return tables


def curves(values: pd.DataFrame, failures: pd.DataFrame | None = None) -> list[Table]:
    """Show quality against network evaluations: one table a data set and metric that has such points.

    Args:
        values: as for `comparisons`; rows whose point is "curve" make the columns, the main solver the last ones.
        failures: as for `comparisons`.
    """
    every, failed = checked(values), lost(failures)
    points = [v for v in every if v.point == "curve" and v.value is not None and v.metric != "nfe"]
    tables = []
    for key, part in grouped(points, lambda v: (v.data, v.metric, v.protocol, v.n, v.solver)).items():
        data, metric, solver = key[0], key[1], key[-1]
        same = [v for v in every if (v.data, v.metric) == (data, metric)]
        refused = [v for v in same if v.value is None]
        main = [v for v in same if v.point == "main" and (v.protocol, v.n) == (part[0].protocol, part[0].n)]
        better, protocol = part[0].better, _protocol(part[0])
        legend, slots = [f"{metric}: {protocol}"], []
        for nfe, rows in sorted(grouped(part, lambda v: v.nfe or 0).items()):
            there = [v for v in refused if (v.point, v.solver, v.nfe) == ("curve", solver, nfe)]
            slot = _slot(Column(f"{nfe:g}", better, protocol), rows, there)
            without = {m: ["its evaluations cannot be chosen"] for m in _models(main) if m not in _models(part)}
            slots.append(replace(slot, refused={**without, **slot.refused}))
        solvers = {model: rows[0].solver or "its own" for model, rows in grouped(main, lambda v: v.model).items()}
        if main:
            one = len(set(solvers.values())) == 1
            slots.append(
                _slot(
                    Column(next(iter(solvers.values())) if one else "main solver", better, protocol),
                    main,
                    [v for v in refused if v.point == "main"],
                )
            )
            slots.append(_slot(Column("its evaluations"), [v._replace(value=v.nfe, floor=None) for v in main], []))
            legend += [] if one else [f"Main solver: {', '.join(f'{m} {s}' for m, s in solvers.items())}."]
        title = f"{data}: {metric} against network evaluations a sample ({solver})"
        tables.append(_table(title, same, slots, [f for f in failed if f.data == data], legend))
    return tables


def progress(values: pd.DataFrame, failures: pd.DataFrame | None = None) -> list[Table]:
    """Show quality against steps of training: one table a data set and metric that was measured on the way.

    Args:
        values: as for `comparisons`; rows whose point is "training" make the columns, the trained model the last one.
        failures: as for `comparisons`.
    """
    every, failed = checked(values), lost(failures)
    points = [v for v in every if v.point == "training" and v.value is not None]
    tables = []
    for (data, metric, protocol, n), part in grouped(points, lambda v: (v.data, v.metric, v.protocol, v.n)).items():
        better, said = part[0].better, _protocol(part[0])
        same = [v for v in every if (v.data, v.metric) == (data, metric) and v.point != "curve"]
        steps = sorted(grouped(part, lambda v: v.step or 0).items())
        slots = [_slot(Column(f"{step:g}", better, said), rows, []) for step, rows in steps]
        main = [v for v in same if v.point == "main" and (v.protocol, v.n) == (protocol, n)]
        slots.append(_slot(Column("at the end", better, said), main, []))
        title = f"{data}: {metric} against steps of training"
        here = [f for f in failed if f.data == data]
        tables.append(_table(title, same, slots, here, [f"{metric}: {said}"]))
    return tables


def costs(spent: pd.DataFrame, values: pd.DataFrame) -> list[Table]:
    """Show what each model costs: one table a data set and device, since times of two machines do not compare.

    Args:
        spent: one row a run, its columns the fields of `Cost`.
        values: as for `comparisons`; gives the evaluations a sample.
    """
    every, tables = checked(values), []
    runs = [Cost(*row) for row in _rows(spent, Cost._fields, "costs")]
    for (data, device), part in grouped(runs, lambda c: (c.data, c.device)).items():
        slots = []
        for name, (title, better) in COSTS.items():
            found = {m: {c.seed: x for c in rows if (x := getattr(c, name)) is not None} for m, rows in _by(part)}
            slots.append(_Slot(Column(title, better), {m: x for m, x in found.items() if x}, {}, {}))
        here = {c.run for c in part}
        rows = {(v.model, v.seed): v for v in every if v.run in here and v.point == "main" and v.nfe is not None}
        spread = [v._replace(value=v.nfe, floor=None) for v in rows.values()]
        slots.append(_slot(Column("evaluations a sample", "lower"), spread, []))
        legend = ["Times hold for this machine and its load, that of training with what had to be trained before it."]
        paces = ([c.steps_per_second for c in rows] for _, rows in _by(part))
        if any(len(pace) > 1 and len(set(pace)) == 1 for pace in paces):
            legend.append("Models that are trained as one stack share its time equally, which is no error of 0.")
        legend.append("Nothing is marked as best.")
        tables.append(_table(f"{data}: cost on {device}", part, slots, [], legend, marked=False))
        steps = sorted({v.step for v in every if v.run in here and v.point == "training" and v.step})
        pace = {m: {c.seed: c.steps_per_second for c in rows if c.steps_per_second} for m, rows in _by(part)}
        until = [{m: {seed: step / x for seed, x in own.items()} for m, own in pace.items() if own} for step in steps]
        if until:
            shown = [_Slot(Column(f"{step:g}", "lower"), x, {}, {}) for step, x in zip(steps, until, strict=True)]
            title = f"{data}: seconds of training until a step, on {device}"
            tables.append(_table(title, part, shown, [], ["Measured over all steps of a run."], marked=False))
    return tables


def checked(values: pd.DataFrame) -> list[Value]:
    """Return the rows of a frame of values, repetitions dropped.

    Raises:
        ConfigError: if a column is missing, or two rows claim one cell and one seed.
    """
    every = list(dict.fromkeys(Value(*row) for row in _rows(values, Value._fields, "values")))
    measured = [v for v in every if v.value is not None]
    where = grouped(measured, _place)
    for first, *more in where.values():
        if more:
            runs = ", ".join(dict.fromkeys(str(v.run) for v in (first, *more)))
            raise ConfigError(
                f"{first.model} on {first.data} has {1 + len(more)} values of {first.metric} for seed {first.seed} "
                f"(runs {runs}): report one suite, or give the models labels that tell them apart"
            )
    return every


def lost(failures: pd.DataFrame | None) -> list[Failure]:
    """Return the rows of a frame of failures. Raises ConfigError if a column is missing."""
    return [] if failures is None else [Failure(*row) for row in _rows(failures, Failure._fields, "failures")]


def grouped(rows: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    """Group rows by a key, in order of appearance."""
    groups: dict[Hashable, list[T]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _table(
    title: str,
    part: Sequence[Value | Cost],
    slots: Sequence[_Slot],
    failed: Sequence[Failure],
    legend: Sequence[str],
    *,
    marked: bool = True,
) -> Table:
    models = list(dict.fromkeys([*_models(part), *(f.model for f in failed)]))
    usual = max((len(seeds) for slot in slots for seeds in slot.found.values()), default=0)
    notes: dict[str, int] = {}
    finished = {model for slot in slots for model in slot.found}
    dead = {model: rows for model, rows in grouped(failed, lambda f: f.model).items()}
    known = [marks(slot.found, slot.column.better) if marked else {} for slot in slots]
    places = [_ranks(slot) if marked else {} for slot in slots]
    columns = [_fill(*of, models, dead, finished, usual, notes) for of in zip(slots, known, places, strict=True)]
    rows = [Row(model, tuple(column[i] for column in columns)) for i, model in enumerate(models)]
    floor = tuple(_floor(slot, notes) for slot in slots)
    if any(cell.mean is not None for cell in floor):
        rows.insert(0, Row(FLOOR, floor, floor=True))
    seeds = sorted({seed for slot in slots for found in slot.found.values() for seed in found})
    head = [_over(seeds, usual)] if seeds else []
    foreign = [m for m, own in _by(part) if any(isinstance(v, Value) and v.original is False for v in own)]
    if foreign:
        who = "" if len(foreign) == len(models) else f" of {', '.join(foreign)}"
        head.append(f"The data{who} is NOT the checksummed original: do not compare with published numbers.")
    if any(cell.mean is None and not cell.text for row in rows if not row.floor for cell in row.cells):
        head.append("An empty cell was not measured.")
    tested = [rivals(slot.found, slot.column.better) for slot, mark in zip(slots, known, strict=True) if mark]
    tests = sorted({rival.test for column in tested for rival in column.values()})
    tail = [f"Marks: {' or '.join(tests)}, Holm's correction within a column, {100 * LEVEL:g} %."] if tests else []
    return Table(title, tuple(slot.column for slot in slots), tuple(rows), (*head, *legend, *tail), tuple(notes))


def _fill(
    slot: _Slot,
    marked: Mapping[str, Mark],
    places: Mapping[str, int],
    models: Sequence[str],
    dead: Mapping[str, Sequence[Failure]],
    finished: set[str],
    usual: int,
    notes: dict[str, int],
) -> list[Cell]:
    cells = []
    for model in models:
        seeds, refused, failed = slot.found.get(model, {}), slot.refused.get(model, []), dead.get(model, [])
        said = []
        if refused:
            part = f"without {len(refused)} of {len(refused) + len(seeds)} seeds: " if seeds else ""
            said.append(part + _listed(refused))
        if failed:
            said.append(f"{_count(len(failed), 'run')} failed: {_listed(f.reason for f in failed)}")
        if seeds and len(seeds) < usual and not said:
            said.append(f"{_count(len(seeds), 'seed')} only")
        numbers = tuple(notes.setdefault(text, len(notes) + 1) for text in said)
        if seeds:
            spread, values = mean_and_error(seeds.values()), tuple(sorted(seeds.items()))
            cells.append(Cell(*spread, len(seeds), "", numbers, marked.get(model, ""), values, places.get(model)))
        else:
            text = "-" if refused else f"failed ({len(failed)})" if failed and model not in finished else ""
            cells.append(Cell(text=text, notes=numbers if text else ()))
    return cells


def _ranks(slot: _Slot) -> dict[str, int]:
    """The place of each mean; equal ones share it. Nothing has one where no direction is better, or all are equal."""
    sign = {"lower": 1, "higher": -1}.get(slot.column.better)
    if sign is None:
        return {}
    means = {model: sign * mean_and_error(seeds.values())[0] for model, seeds in slot.found.items()}
    if len(set(means.values())) < 2:
        return {}
    return {model: 1 + sum(other < mean for other in means.values()) for model, mean in means.items()}


def _floor(slot: _Slot, notes: dict[str, int]) -> Cell:
    """The floor of a column: one value a seed, the same for every model since it asks only the data."""
    if not slot.floors:
        return Cell()
    differ = any(max(f) - min(f) > 1e-6 * (1 + abs(f[0])) for f in slot.floors.values())
    numbers = (notes.setdefault("mean over models, whose floors differ", len(notes) + 1),) if differ else ()
    values = tuple((seed, mean_and_error(f)[0]) for seed, f in sorted(slot.floors.items()))
    return Cell(*mean_and_error(value for _, value in values), len(values), notes=numbers, values=values)


def _slot(column: Column, measured: Sequence[Value], refused: Sequence[Value]) -> _Slot:
    found = {m: {v.seed: v.value for v in rows if v.value is not None} for m, rows in _by(measured)}
    floors = grouped([v for v in measured if v.floor is not None], lambda v: v.seed)
    return _Slot(
        column,
        {m: seeds for m, seeds in found.items() if seeds},
        {seed: [v.floor for v in rows if v.floor is not None] for seed, rows in floors.items()},
        {m: [v.reason or "no reason was recorded" for v in rows] for m, rows in _by(refused)},
    )


def _place(value: Value) -> tuple:
    """What no two values may share; solvers of the main point are a choice of the model, those of a curve are not."""
    own = {"curve": (value.solver, value.nfe), "training": (value.step,)}.get(value.point, ())
    return (value.model, value.data, value.seed, value.metric, value.protocol, value.n, value.point, *own)


def _by(rows: Sequence[Any]) -> Iterable[tuple[str, list[Any]]]:
    return grouped(rows, lambda row: row.model).items()


def _models(rows: Sequence[Value | Cost]) -> list[str]:
    return list(dict.fromkeys(row.model for row in rows))


def _protocol(value: Value) -> str:
    protocol = value.protocol or "no protocol was recorded"
    stated = value.n is None or re.search(rf"\bn ?= ?{value.n:g}\b", protocol)
    return f"{protocol}." if stated else f"{protocol}; n = {value.n:g}."


def _over(seeds: Sequence[int], usual: int) -> str:
    if len(seeds) == 1:
        return f"One seed ({seeds[0]}): no error is known."
    listed = ", ".join(map(str, seeds))
    return f"Mean ± standard error over {usual} seeds {'' if usual == len(seeds) else 'out of '}({listed})."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _listed(reasons: Iterable[str]) -> str:
    """Return each reason once; those that differ in numbers alone are one."""
    kinds: dict[str, dict[str, None]] = {}
    for reason in reasons:
        kinds.setdefault(re.sub(r"[\d.]+(e[+-]?\d+)?", "#", reason), {})[reason] = None
    return "; ".join(next(iter(kind)) + (" (and the like)" if len(kind) > 1 else "") for kind in kinds.values())


def _rows(frame: pd.DataFrame, names: Sequence[str], what: str) -> list[tuple]:
    missing = [name for name in names if name not in frame]
    if missing:
        raise ConfigError(f"the frame of {what} lacks the columns {', '.join(missing)}")
    columns = [[None if pd.isna(cell) else cell for cell in frame[name].tolist()] for name in names]
    return list(zip(*columns, strict=True))
