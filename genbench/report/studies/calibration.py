"""Calibration: what each metric reads on samplers whose faults are known, by the same code as on models.

A perfect sampler draws real data; a shifted one moves it by a stated amount; a mode-dropping one leaves a mode out.
The exact field of flow matching with independent pairs tells what a network that has learnt all there is would read.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genbench.core import Batch, Data, Example, Model, Samples
from genbench.errors import ConfigError, Unsupported
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.metrics.noise import noise
from genbench.numerics.ode import integrate
from genbench.registry import datasets, metrics
from genbench.report.statistics import LEVEL, POWER, holm, mean_and_error, paired
from genbench.report.table import Cell, Column, Row, Table
from genbench.runs.spec import build_data, components
from genbench.seeds import derive
from genbench.settings import settings_in
from genbench.storage import files

FILE = "calibration.json"
PERFECT, EXACT = "perfect", "exact field"

Fault = Callable[[Batch], Batch]


@dataclass(frozen=True)
class Trial:
    """A task, its faulty samplers and the metrics that are tried on them.

    Args:
        data: name of the data set.
        n: samples.
        metrics: names, each with its settings.
        faults: by what they are called.
    """

    data: str
    n: int
    metrics: Mapping[str, Mapping[str, Any]]
    faults: Mapping[str, Fault]


def _shift(batch: Batch) -> Batch:
    return Batch(batch.x + batch.x.new_tensor([0.5, 0.0]), batch.label)


def _brighten(batch: Batch) -> Batch:
    """One level of 17 is 2/17 in model space; the brightest level stays."""
    return Batch((batch.x + 2 / 17).clamp(max=1 - 1 / 17), batch.label)


def _drop(batch: Batch) -> Batch:
    kept = batch.label != 0
    return Batch(batch.x[kept], batch.label[kept])


OF_TEST = {"split": "test"}
TRIALS = (
    Trial(
        "8gaussians",
        2048,
        {"w2": {}, "sliced_w2": {}, "energy_distance": {}, "mmd": {}, "mode_coverage": {}, "norm": {}},
        {"shifted by 0.5": _shift, "without 1 of 8 modes": _drop},
    ),
    Trial(
        "digits",
        500,
        {
            "fd-digits_cnn": {},
            "class_balance": {},
            "precision_recall": OF_TEST,
            "density_coverage": OF_TEST,
            "vendi": {},
        },
        {"brighter by 1 level of 17": _brighten, "without 1 of 10 digits": _drop},
    ),
)
FIELDS = ("8gaussians", "gaussian")
OF_FIELDS = ("path_energy", "straightness", "npe", "curvature", "nll")


class Exact(Model):
    """The field that flow matching with independent pairs has in the limit, known in closed form.

    Args:
        data: the task whose field it is.
    """

    def __init__(self, data: Data) -> None:
        super().__init__()
        assert data.truth.velocity is not None
        self.event, self.source, self.field = data.event, data.source, data.truth.velocity
        self.nothing = nn.Parameter(torch.zeros(()))  # where it is, ask its parameters

    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        """Raise Unsupported: it is given."""
        raise Unsupported("an exact field is not trained")

    def loss(self, example: Example) -> dict[str, Tensor]:
        """Raise Unsupported: it is given."""
        raise Unsupported("an exact field is not trained")

    def velocity(self, t: Tensor, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the exact field."""
        return self.field(t, x)

    def sample(self, x0: Float[Tensor, "b *event"], *, label: Tensor | None = None) -> Samples:
        """Solve the ODE from the noise."""
        x, nfe = integrate(self.field, x0)
        return Samples(x, nfe)


def measured(trial: Trial, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield what every metric of a trial reads on every sampler: rows of a record, each with sampler and seed.

    The floor is that of the runner; a faulty sampler has the draws of the perfect one.
    """
    spec, chosen = components(trial.data, trial.metrics, {"metric": trial.metrics})
    data = build_data(spec)
    for seed in seeds:
        own = derive(seed, "evaluation")
        drawn = data.train.take(2 * trial.n, derive(own, "calibration"))  # enough to leave some out
        for sampler, fault in {PERFECT: lambda batch: batch, **trial.faults}.items():
            x = fault(drawn).x[: trial.n]
            for name, part in chosen.items():
                for row in measure(Evaluation(data, own, x=x), name, settings_in(part), floor=sampler == PERFECT):
                    yield {"task": trial.data, "sampler": sampler, "seed": seed, **row}


def of_fields(seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield what path metrics and likelihood read on exact fields: rows of a record, each with task and seed."""
    for name in FIELDS:
        spec, chosen = components(name, OF_FIELDS, {})
        data = build_data(spec)
        model = Exact(data)
        for seed in seeds:
            own = derive(seed, "evaluation")
            evaluation = Evaluation(data, own, x=noise(data.source, 2, own), model=model, batch=2048)
            for metric, part in chosen.items():
                for row in measure(evaluation, metric, settings_in(part), floor=False):
                    yield {"task": name, "sampler": EXACT, "seed": seed, **row}


def calibrate(results: Path, seeds: Sequence[int]) -> Path:
    """Measure everything, unless it is kept in the results folder already; return the file."""
    if {row["seed"] for row in load(results)} == set(seeds):
        return results / FILE
    rows = [row for trial in TRIALS for row in measured(trial, seeds)] + list(of_fields(seeds))
    lines = ",\n  ".join(json.dumps(row, allow_nan=False) for row in rows)
    path = results / FILE
    files.write(path, f'{{"versions": {json.dumps(_versions())},\n "rows": [\n  {lines}\n]}}\n')
    return path


def load(results: Path) -> list[dict[str, Any]]:
    """Return what is kept of the calibration; nothing if that is nothing, or was measured by other versions."""
    path = results / FILE
    try:
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return kept["rows"] if kept.get("versions") == _versions() else []
    except (ValueError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path} is damaged; remove it, and genbench calibrate makes it again") from error


def tables(rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Return a table for each task: what metrics read, and whether they see the fault."""
    fields = [row for row in rows if row["sampler"] == EXACT]
    tried = [(trial, [r for r in rows if r["task"] == trial.data and r["sampler"] != EXACT]) for trial in TRIALS]
    return [_of_trial(trial, own) for trial, own in tried if own] + ([_of_fields(fields)] if fields else [])


def _of_trial(trial: Trial, rows: Sequence[Mapping[str, Any]]) -> Table:
    values: dict[str, dict[str, dict[int, float]]] = {}
    floors: dict[str, dict[int, float]] = {}
    for row in rows:
        if row["value"] is not None:
            values.setdefault(row["metric"], {}).setdefault(row["sampler"], {})[row["seed"]] = row["value"]
        if row.get("floor") is not None:
            floors.setdefault(row["metric"], {})[row["seed"]] = row["floor"]
    better = {row["metric"]: row["better"] for row in rows}
    differences = {
        (metric, fault): paired(found[fault], found[PERFECT])
        for metric, found in values.items()
        for fault in trial.faults
    }
    tested = {key: difference.p for key, difference in differences.items() if difference.p is not None}
    chances = dict(zip(tested, holm(list(tested.values())), strict=True))
    table = []
    for metric, found in values.items():
        cells = [_cell(floors.get(metric, {})), _cell(found[PERFECT])]
        for fault in trial.faults:
            difference, chance = differences[metric, fault], chances.get((metric, fault), 1.0)
            cells += [
                _cell(found[fault]),
                Cell(text=_seen(difference.mean, chance, difference.detectable, better[metric])),
            ]
        table.append(Row(metric, tuple(cells)))
    columns = [Column("data against data"), Column(PERFECT)]
    columns += [Column(title) for fault in trial.faults for title in (fault, "seen")]
    seeds = sorted({row["seed"] for row in rows})
    legend = (
        f"Mean ± standard error over {len(seeds)} seeds; n = {trial.n}. Samplers share their draws: differences are "
        "paired.",
        f"Seen: yes, if worse than the perfect sampler by a paired test with Holm's correction at {100 * LEVEL:g} %; "
        f"blind to a smaller change of the value than one test of these seeds sees with {100 * POWER:g} % power; "
        "better, if the fault improves it: such a metric must not be read alone.",
    )
    return Table(f"Calibration on {trial.data}", tuple(columns), tuple(table), legend)


def _seen(mean: float, chance: float, detectable: float | None, better: str) -> str:
    if chance > LEVEL:
        return f"blind below {detectable:.2g}" if detectable else "blind"
    if better not in ("lower", "higher"):
        return "moves"
    return "yes" if (mean > 0) == (better == "lower") else "better"


def _of_fields(rows: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(row["metric"] for row in rows if row["value"] is not None))
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    table = []
    for metric in names:
        own = [row for row in rows if row["metric"] == metric and row["value"] is not None]
        table.append(Row(metric, tuple(_cell({r["seed"]: r["value"] for r in own if r["task"] == t}) for t in tasks)))
    legend = (
        "The closed-form field of flow matching with independent pairs (cfm), followed by dopri5: what a network that "
        "has learnt it exactly would read. Mean ± standard error over the noise of the evaluation seeds.",
    )
    return Table("Calibration: exact fields", tuple(Column(task) for task in tasks), tuple(table), legend)


def _cell(values: Mapping[int, float]) -> Cell:
    if not values:
        return Cell(text="-")
    return Cell(*mean_and_error(values.values()), len(values), values=tuple(sorted(values.items())))


def _versions() -> dict[str, int]:
    """The versions that a calibration holds for."""
    of_data = {f"data set {name}": datasets[name].version for name in (*(trial.data for trial in TRIALS), *FIELDS)}
    known = [*(name for trial in TRIALS for name in trial.metrics), *OF_FIELDS]
    return of_data | {f"metric {name}": metrics[name].version for name in known}
