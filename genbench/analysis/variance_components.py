"""Components of variance: how much of the spread of a metric comes from training, how much from evaluation.

A suite runs every model with every seed. A seed determines the training of each model, and the test points and noise
that all models share. With y the logarithm of a value,

    y[model, seed] = mean[model] + shared[seed] + own[model, seed],

and `own` includes the noise of one evaluation, whose variance follows from the stated interval. The mean square of
`own` gives its variance, with a chi-square interval for normal values.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import special

from genbench.analysis.claims import Cost, Spread
from genbench.analysis.means import LEVEL
from genbench.errors import ConfigError, unknown
from genbench.metrics.measurement import HALVES
from genbench.results.frames import cost_of, protocols
from genbench.results.reader import Group, Run


class Components(NamedTuple):
    """Variances of a value.

    Args:
        own: variance that models of a seed do not share, including the samples of one evaluation.
        low, high: ends of its 95 % interval.
        total: own, and what all models of a seed share: test points, noise and random streams. The shared part cancels
            in paired differences.
        evaluation: variance from the samples of one evaluation; None if intervals are not stated.
    """

    own: float
    low: float
    high: float
    total: float
    evaluation: float | None


def components(
    values: Float64[np.ndarray, "models seeds"], errors: Float64[np.ndarray, "models seeds"] | None = None
) -> Components:
    """Estimate the components of variance from a complete table of values.

    Args:
        errors: standard errors of single evaluations over their samples.

    Raises:
        ConfigError: if the table has fewer than two models or two seeds.
    """
    models, seeds = values.shape
    if min(models, seeds) < 2:
        raise ConfigError(f"{models} models with {seeds} common seeds: components of variance need two of each")
    residuals = values - values.mean(1, keepdims=True)
    squares, freedom = float(np.square(residuals - residuals.mean(0)).sum()), (models - 1) * (seeds - 1)
    low, high = (squares / special.chdtri(freedom, tail) for tail in (LEVEL / 2, 1 - LEVEL / 2))
    evaluation = None if errors is None else float(np.square(errors).mean())
    return Components(squares / freedom, low, high, float(values.var(1, ddof=1).mean()), evaluation)


class Crossed(NamedTuple):
    """Values of a metric on a data set, of models that all have the same seeds and training steps.

    Args:
        errors: standard errors of single evaluations; None if not all are stated.
    """

    suite: str
    steps: int
    samples: int
    models: tuple[str, ...]
    values: Float64[np.ndarray, "models seeds"]
    errors: Float64[np.ndarray, "models seeds"] | None
    runs: tuple[Run, ...]

    def spread(self) -> Spread:
        """Return the spread relative to the value, without the variance that models of a seed share.

        Pairing is assumed to remove the same share of the variance of training and of evaluation.

        Raises:
            ConfigError: if values are not all positive.
        """
        if self.values.min() <= 0:
            raise ConfigError(f"{self.suite}: some values are not positive, so a relative spread has no meaning")
        found = components(np.log(self.values), None if self.errors is None else self.errors / self.values)
        evaluated = min(found.evaluation / found.total, 1.0) if found.evaluation and found.total else 0.0
        own = found.low, found.own, found.high
        evaluation, training = ([(part * variance) ** 0.5 for variance in own] for part in (evaluated, 1 - evaluated))
        saved = max(0.0, 1 - found.own / found.total) if found.total else 0.0
        note = f"paired by seed, which removes {100 * saved:.0f} % of the variance"
        note += "" if found.evaluation else "; evaluations state no interval, so they count as training"
        return Spread(
            training=tuple(training),
            evaluation=tuple(evaluation),
            samples=self.samples,
            source=f"{len(self.models)} models x {self.values.shape[1]} seeds of {self.suite}, {self.steps:,} steps",
            note=note,
        )

    def costs(self) -> dict[str, Cost]:
        """Return the mean cost of its runs, under the name of their data set, if they were made on one device."""
        spent = [cost for run in self.runs if (cost := cost_of(run.record))]
        devices = {cost["device"] for cost in spent}
        if len(devices) != 1:
            return {}
        hours = [
            float(np.mean([c.get(name) or 0.0 for c in spent])) / 3600 for name in ("train_seconds", "sample_seconds")
        ]
        cost = Cost(
            training_hours=(hours[0], hours[0]),
            sampling_hours=hours[1],
            samples=self.samples,
            device=devices.pop(),
            source=f"means of the records of {self.suite}",
        )
        return {self.runs[0].data: cost}


def crossed(groups: Iterable[Group], data: str, metric: str, published: Iterable[Group] = ()) -> Crossed:
    """Return the largest table of a metric on a data set, without models that share their training with another.

    Args:
        published: groups whose tables count only if the others have none.

    Raises:
        ConfigError: if no suite has two models with two common seeds.
    """
    sources = list(groups), list(published)
    known = {run.data for source in sources for group in source for run in group.runs}
    if data not in known:
        raise unknown("no results on a data set called", data, known)
    found = ([table for group in source for table in _tables(group, data, metric)] for source in sources)
    tables = next(filter(None, found), None)
    if tables is None:
        raise ConfigError(f"no suite has {metric} on {data} for two models with the same two seeds: sweep such a suite")
    return max(tables, key=lambda table: (len(table.models) - 1) * (table.values.shape[1] - 1))


def _tables(group: Group, data: str, metric: str) -> Iterator[Crossed]:
    cells: dict[tuple[int, int, str | None, int], dict[str, dict[int, tuple[Mapping[str, Any], Run]]]] = {}
    seen = set()
    for run in (run for run in group.runs if run.data == data):
        plan = run.record["spec"]["plan"]
        for row, protocol in zip(run.record["results"], protocols(run.record), strict=True):
            key = row["metric"], row["point"], protocol, run.record["labels"]["run"]
            if key[:2] == (metric, "main") and row["value"] is not None and key not in seen:
                seen.add(key)
                table = cells.setdefault((plan["steps"], plan["batch_size"], protocol, row.get("n") or 1), {})
                table.setdefault(run.model, {})[run.seed] = row, run
    for (steps, _, _, samples), models in cells.items():
        own = list(dict.fromkeys(frozenset(found) for found in models.values()))
        shared = dict.fromkeys(one & other for one in own for other in own)
        tables = (({m: f for m, f in models.items() if f.keys() >= seeds}, sorted(seeds)) for seeds in shared)
        found, seeds = max(tables, key=lambda table: (len(table[0]) - 1) * (len(table[1]) - 1))
        full = {model: [rows[seed] for seed in seeds] for model, rows in found.items()}
        if len(full) > 1 and len(seeds) > 1:
            values = np.array([[row["value"] for row, _ in cell] for cell in full.values()], dtype=np.float64)
            errors = [[evaluation_error(row) for row, _ in cell] for cell in full.values()]
            whole = all(error is not None for cell in errors for error in cell)
            runs = tuple(run for cell in full.values() for _, run in cell)
            yield Crossed(group.name, steps, samples, tuple(full), values, np.array(errors) if whole else None, runs)


def evaluation_error(row: Mapping[str, Any]) -> float | None:
    """Return the standard error of one evaluation, if its row states it or an interval, which is read as one by halves.

    Two intervals are not by halves: for the 4 repeats of `error_budget`, the error is 1.45 times too large; for a share
    of exactly 0 or 1 (Wilson, 1927), it is 11 % too small.
    """
    details = row.get("details") or {}
    half = details.get("half_interval")
    of_half = None if half is None else half / float(special.stdtrit(HALVES - 1, 1 - LEVEL / 2))
    return details.get("standard_error", of_half)
