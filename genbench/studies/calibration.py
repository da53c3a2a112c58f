"""Calibration: what each metric reads on samplers with known faults, measured by the same code as models.

A perfect sampler draws real data; a shifted one moves it by a known amount; a mode-dropping one omits a mode. The exact
field of flow matching with independent pairs gives the values of a perfectly trained network.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genbench.analysis.statistics import LEVEL, POWER, holm, mean_and_error, paired
from genbench.core import Batch, Data, Example, Model, Samples, Transport
from genbench.errors import ConfigError, Unsupported
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.metrics.starting_noise import noise
from genbench.numerics.ode import integrate
from genbench.registry import datasets, metrics
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.tables import FLOOR
from genbench.results.external_samples import components
from genbench.runs.spec import build_data
from genbench.seeds import derive
from genbench.settings import settings_in
from genbench.storage import files

FILE = "calibration.json"
PERFECT, EXACT = "perfect", "exact field"

Fault = Callable[[Batch], Batch]


@dataclass(frozen=True)
class Trial:
    """A data set, its faulty samplers, and the metrics tested on them.

    Args:
        metrics: {name: settings}.
        faults: {label: fault}.
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
FIELD_METRICS = ("path_energy", "straightness", "npe", "curvature", "nll")


class ExactField(Model, Transport):
    """Flow matching with independent pairs in the limit of perfect training, in closed form.

    Args:
        data: its data set.
    """

    def __init__(self, data: Data) -> None:
        super().__init__()
        assert data.truth.velocity is not None
        self.event, self.source, self.field = data.event, data.source, data.truth.velocity
        self.device_parameter = nn.Parameter(torch.zeros(()))  # the evaluation reads the device off the parameters

    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        """Raise Unsupported: there is nothing to train."""
        raise Unsupported("an exact field is not trained")

    def loss(self, example: Example) -> dict[str, Tensor]:
        """Raise Unsupported: there is nothing to train."""
        raise Unsupported("an exact field is not trained")

    def velocity(self, t: Tensor, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the exact field."""
        return self.field(t, x)

    def sample(self, x0: Float[Tensor, "b *event"], *, label: Tensor | None = None) -> Samples:
        """Solve the ODE from the noise."""
        x, nfe = integrate(self.field, x0)
        return Samples(x, nfe)


def measure_trial(trial: Trial, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield the values of every metric on every sampler of a trial: rows of a record, with sampler and seed.

    The floor is measured as for models; a faulty sampler starts from the draws of the perfect one.
    """
    spec, chosen = components(trial.data, trial.metrics, {"metric": trial.metrics})
    data = build_data(spec)
    for seed in seeds:
        own = derive(seed, "evaluation")
        drawn = data.train.take(2 * trial.n, derive(own, "calibration"))  # twice as many, since faults drop some
        for sampler, fault in {PERFECT: lambda batch: batch, **trial.faults}.items():
            x = fault(drawn).x[: trial.n]
            for name, part in chosen.items():
                for row in measure(Evaluation(data, own, x=x), name, settings_in(part), floor=sampler == PERFECT):
                    yield {"task": trial.data, "sampler": sampler, "seed": seed, **row}


def measure_fields(seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield the path metrics and likelihoods of exact fields: rows of a record, with task and seed."""
    for name in FIELDS:
        spec, chosen = components(name, FIELD_METRICS, {})
        data = build_data(spec)
        model = ExactField(data)
        for seed in seeds:
            own = derive(seed, "evaluation")
            evaluation = Evaluation(data, own, x=noise(data.source, 2, own), model=model, batch=2048)
            for metric, part in chosen.items():
                for row in measure(evaluation, metric, settings_in(part), floor=False):
                    yield {"task": name, "sampler": EXACT, "seed": seed, **row}


def calibrate(results: Path, seeds: Sequence[int]) -> Path:
    """Measure all trials and fields, unless the results folder has them; return the file."""
    path = results / FILE
    if {row["seed"] for row in load(results)} == set(seeds):
        return path
    rows = [row for trial in TRIALS for row in measure_trial(trial, seeds)] + list(measure_fields(seeds))
    lines = ",\n  ".join(json.dumps(row, allow_nan=False) for row in rows)
    files.write(path, f'{{"versions": {json.dumps(_versions())},\n "rows": [\n  {lines}\n]}}\n')
    return path


def load(results: Path) -> list[dict[str, Any]]:
    """Return the calibration of a results folder; empty if there is none, or if it is of other versions."""
    path = results / FILE
    try:
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return kept["rows"] if kept.get("versions") == _versions() else []
    except (ValueError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path} is damaged; remove it, then genbench calibrate creates it again") from error


def tables(rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Return a table for each trial, with the values and whether each metric detects each fault."""
    fields = [row for row in rows if row["sampler"] == EXACT]
    trials = [(trial, [r for r in rows if r["task"] == trial.data and r["sampler"] != EXACT]) for trial in TRIALS]
    return [_trial_table(trial, own) for trial, own in trials if own] + ([_field_table(fields)] if fields else [])


def _trial_table(trial: Trial, rows: Sequence[Mapping[str, Any]]) -> Table:
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
    p_values = dict(zip(tested, holm(list(tested.values())), strict=True))
    table = []
    for metric, found in values.items():
        cells = [_cell(floors.get(metric, {})), _cell(found[PERFECT])]
        for fault in trial.faults:
            difference, p = differences[metric, fault], p_values.get((metric, fault), 1.0)
            detected = _detected(difference.mean, p, difference.detectable, better[metric])
            cells += [_cell(found[fault]), Cell(text=detected)]
        table.append(Row(metric, tuple(cells)))
    columns = [Column(FLOOR), Column(PERFECT)]
    columns += [Column(title) for fault in trial.faults for title in (fault, "detected")]
    seeds = {row["seed"] for row in rows}
    legend = (
        f"Mean ± standard error over {len(seeds)} seeds; n = {trial.n}. Samplers share their draws: differences are "
        "paired.",
        f"Detected: yes, if significantly worse than the perfect sampler by a paired test with Holm's correction at "
        f"{100 * LEVEL:g} %; blind below the change of the value that one test of these seeds detects with "
        f"{100 * POWER:g} % power; better, if the fault improves the value: do not read such a metric alone.",
    )
    return Table(f"Calibration on {trial.data}", tuple(columns), tuple(table), legend)


def _detected(mean: float, p: float, detectable: float | None, better: str) -> str:
    if p > LEVEL:
        return f"blind below {detectable:.2g}" if detectable else "blind"
    if better not in ("lower", "higher"):
        return "moves"
    return "yes" if (mean > 0) == (better == "lower") else "better"


def _field_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(row["metric"] for row in rows if row["value"] is not None))
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    table = []
    for metric in names:
        own = [row for row in rows if row["metric"] == metric and row["value"] is not None]
        table.append(Row(metric, tuple(_cell({r["seed"]: r["value"] for r in own if r["task"] == t}) for t in tasks)))
    legend = (
        "The closed-form field of flow matching with independent pairs (cfm), integrated by dopri5: the values of a "
        "perfectly trained network. Mean ± standard error over the noise of the evaluation seeds.",
    )
    return Table("Calibration: exact fields", tuple(Column(task) for task in tasks), tuple(table), legend)


def _cell(values: Mapping[int, float]) -> Cell:
    if not values:
        return Cell(text="-")
    return Cell(*mean_and_error(values.values()), len(values), values=tuple(sorted(values.items())))


def _versions() -> dict[str, int]:
    """Return the versions of the data sets and metrics of a calibration."""
    names = (*(trial.data for trial in TRIALS), *FIELDS)
    known = [*(name for trial in TRIALS for name in trial.metrics), *FIELD_METRICS]
    return {f"data set {name}": datasets[name].version for name in names} | {
        f"metric {name}": metrics[name].version for name in known
    }
