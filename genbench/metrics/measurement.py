"""Measurement: the rows of a record, from the chosen metrics of a model, along its NFE curve and on real data."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from scipy.special import stdtrit

from genbench import activity
from genbench.core import Data, Model
from genbench.errors import ConfigError, RunFailed, TooFewSamples, Unsupported
from genbench.metrics.bounds import check_number, check_numbers, impossible
from genbench.metrics.evaluation import Evaluation, values_of
from genbench.metrics.extractors.weights import NotDownloaded
from genbench.metrics.floor import floor_of
from genbench.metrics.sampling import Sampling, draw, drawn_labels
from genbench.numerics.precision import float32_products
from genbench.registry import metrics
from genbench.seeds import derive, generator
from genbench.settings import settings_in
from genbench.training.process_group import ALONE, Group

_NOT_SAMPLED = {"solver": None, "nfe": None}
"""Solver and NFE of a row that no samples were drawn for."""

HALVES = 12
"""Number of random halves of the samples from which intervals are estimated."""

_SPREAD = {"standard_error", "half_interval"}
"""Details that state how far a value would move with other samples."""


@float32_products("ieee")
def evaluate(
    model: Model,
    data: Data,
    chosen: Mapping[str, Mapping],
    *,
    sample: Mapping,
    sampling: Sampling,
    seed: int,
    group: Group = ALONE,
    errors: bool = True,
) -> tuple[list[dict[str, Any]], Evaluation]:
    """Measure the chosen metrics {name: bound settings} of a model.

    The processes of a group share sampling and all that runs in batches; each of them returns the same.

    Args:
        errors: whether values of the main solver that state no standard error get an interval from random halves.

    Returns:
        The rows of the record, and the evaluation with the samples of the main solver.
    """
    seed = derive(seed, "evaluation")
    if sampling.split == "valid":
        data = validation_as_test(data)

    label = drawn_labels(model, data, sampling.n, seed, sampling.labels)
    shared = {"model": model, "label": label, "labels": sampling.labels, "batch": sampling.batch, "group": group}
    with_samples = partial(Evaluation, data, seed, **shared)

    def evaluation_with(options: Mapping[str, Any], errors: bool, where: str = "") -> Evaluation:
        activity.report(f"drawing {sampling.n:,} samples{where}")
        began = time.perf_counter()
        x, nfe = draw(model, sampling.n, sampling.batch, seed, options, group, label=label)
        seconds = time.perf_counter() - began
        return with_samples(x=x, nfe=nfe, options=options, seconds=seconds, errors=errors)

    of_samples = {name: settings for name, settings in chosen.items() if metrics[name].traits["of"] == "samples"}
    asked = sampling.curve_metrics or chosen
    curve_metrics = [name for name in of_samples if name in asked and metrics[name].traits.get("curve", True)]
    main = evaluation_with(sample, errors)
    rows: list[dict[str, Any]] = []
    for name, settings in chosen.items():
        rows += measure(main, name, settings, sampling.floor, interval=sampling.interval)
    for nfe in sampling.curve if model.nfe_curve else ():
        try:
            options = model.at_budget(sample, sampling.curve_method, nfe)
            point = evaluation_with(options, errors=False, where=f" at NFE {nfe}")
        except (ConfigError, Unsupported) as reason:  # a sampler of the user may refuse the method or its steps
            where = {"point": "curve", "solver": sampling.curve_method, "nfe": float(nfe)}
            rows += [row for name in curve_metrics for row in unsupported(name, str(reason), where)]
            continue
        for name in curve_metrics:
            rows += measure(point, name, of_samples[name], sampling.floor, point="curve")
    if sampling.split == "valid":
        note = "the validation split taking the place of the test split"
        rows = [row if row["value"] is None else row | {"protocol": f"{row['protocol']}, {note}"} for row in rows]
    return rows, main


def measure(
    evaluation: Evaluation,
    name: str,
    settings: Mapping,
    with_floor: bool,
    *,
    point: str = "main",
    interval: bool = False,
) -> list[dict[str, Any]]:
    """Measure one metric: one row per value, or one row with the reason why there is none.

    Args:
        interval: whether a metric that states no error gets an interval from random halves.
    """
    entry = metrics[name]
    of_samples = entry.traits["of"] == "samples"
    activity.report(f"measuring {name.partition('@')[0]}")
    row = {"metric": name, "value": None, "better": entry.traits["better"], "point": point}
    row |= {"solver": evaluation.options.get("method"), "nfe": evaluation.nfe} if of_samples else _NOT_SAMPLED
    try:
        values = values_of(entry, evaluation, settings)
    except Unsupported as reason:
        return unsupported(name, f"{reason}{_hint(reason, name, settings)}", row)
    with_floor = with_floor and of_samples and entry.traits.get("floor", True)
    rows = []
    for value in values:
        check_numbers(name, value)
        floor = value.floor
        if floor is None and with_floor:
            floor = floor_of(evaluation, name, settings, value)
        if floor is not None:
            check_number(f"the floor of {name}", floor)
        rows.append(
            row
            | {
                "metric": f"{name}.{value.part}" if value.part else name,
                "value": value.value,
                "floor": floor,
                "n": value.n,
                "protocol": value.protocol + (evaluation.stated_labels if of_samples else ""),
                "better": value.better or row["better"],
                **({"details": dict(value.details)} if value.details else {}),
            }
        )
    if why := impossible(rows):
        raise RunFailed(f"{why}: it is wrong, or the bounds that the metric declares are")
    silent = [row for row in rows if not _SPREAD & row.get("details", {}).keys()]
    if of_samples and silent and entry.traits.get("halves", interval) and (evaluation.errors or interval):
        halves = half_intervals(evaluation, name, settings, rows)
        for row in silent:
            if row["metric"] in halves:
                row["details"] = {"half_interval": halves[row["metric"]], **row.get("details", {})}
    return rows


def _hint(reason: Unsupported, name: str, settings: Mapping[str, Any]) -> str:
    """Return the option that asks for the samples that there are, if the metric has such a setting."""
    if not isinstance(reason, TooFewSamples) or "n" not in settings:
        return ""
    return f" (--set metric.{name.partition('@')[0]}.n={reason.available})"


class _OnlyData(Evaluation):
    """An evaluation before there are a model and samples, for which it raises AttributeError."""

    def __init__(self, data: Data) -> None:
        self.data, self.seed, self._cache, self._shared = data, 0, {}, []

    x = model = label = nfe = options = property()  # type: ignore[assignment]


def require_measurable(data: Data, components: Mapping[str, Mapping], asked: Iterable[str], *, trains: bool) -> None:
    """Refuse metrics that can have no value here, whatever the model: nothing is trained for them in vain.

    Args:
        components: the metrics of a spec.
        asked: the names of those that the user asked for.
        trains: whether a training follows. If not, metrics of networks pass: looking for a network may download it, a
            plan may be for another machine, and other metrics have values without it.

    Raises:
        ConfigError: with the reason that a metric gives.
    """
    for name in asked:
        settings = settings_in(components[name])
        if not trains and "features" in settings and data.event.is_image:
            continue
        try:
            _call_without_samples(data, name, settings)
        except Unsupported as reason:
            said = f"{reason}{_hint(reason, name, settings)}"
            raise ConfigError(f"{name.partition('@')[0]} cannot be measured here: {said}") from reason


def check_network(data: Data, name: str, settings: Mapping, trains: bool) -> None:
    """Check the network that a metric of features uses.

    Args:
        trains: whether a training follows, for which a failed download is an error. A network that is unavailable for
            another reason is not: the metric will give the reason, and the others are measured.

    Raises:
        ConfigError: with the reason, or if a file in the settings is wrong.
    """
    try:
        _call_without_samples(data, name, settings)
    except NotDownloaded as reason:
        if trains:
            raise ConfigError(f"{name}: {reason}; GENBENCH_OFFLINE=1 trains without its values") from reason
    except Unsupported:
        return


def _call_without_samples(data: Data, name: str, settings: Mapping) -> None:
    """Call a metric before there is a model; only ConfigError and Unsupported leave this function."""
    try:
        values_of(metrics[name], _OnlyData(data), settings)
    except (ConfigError, Unsupported):
        raise
    except (Exception, SystemExit):  # most metrics need samples or a model first; measuring reports their errors
        return


def unsupported(name: str, reason: str, row: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the row of a metric that has no value, with the reason."""
    blank = {"metric": name, "value": None, "better": metrics[name].traits["better"], "point": "main"} | _NOT_SAMPLED
    return [blank | dict(row or {}) | {"reason": reason}]


@lru_cache(maxsize=8)  # the same object each time, so that what is cached for a task is found again
def validation_as_test(data: Data) -> Data:
    """Return the task with its validation split in place of the test split, which becomes inaccessible."""
    return replace(data, test=data.valid)


def half_intervals(
    evaluation: Evaluation, name: str, settings: Mapping, rows: Sequence[Mapping[str, Any]], halves: int = HALVES
) -> dict[str, float]:
    """Return half the 95 % t interval of the values of a metric of samples, by the delete-half jackknife.

    A statistic of n samples varies as much as its values on random halves vary around their mean (Shao and Wu, 1989).
    The interval is for the mean of the metric over samples of this size and the same real data. It covers that mean in
    93 to 97 % of evaluations, and in more where a distance is near 0. A metric that needs more than half of the samples
    has no interval, nor has one with the same value for all halves, such as a share of 0, or with a value that is not
    finite.

    Args:
        settings: bound settings of the metric.
        rows: its values. Halves are cut from the first samples: as many as its value has, or its setting n (by default
            all) if the metric drops some of them.
    """
    n = settings.get("n") or len(evaluation.x)
    if not metrics[name].traits.get("drops"):
        n = min(rows[-1]["n"], len(evaluation.x))
    of_half = {**settings, "n": n // 2} if settings.get("n") else settings
    values: dict[str, list[float]] = defaultdict(list)
    for index in range(halves if n > 1 else 0):
        order = torch.randperm(n, generator=generator(evaluation.seed, "half", index))
        try:
            found = values_of(metrics[name], evaluation.part(order[: n // 2]), of_half)
        except Unsupported:
            return {}
        for value in found:
            values[f"{name}.{value.part}" if value.part else name].append(value.value)
    factor = float(stdtrit(halves - 1, 0.975))
    whole = {row: np.array(found) for row, found in values.items() if len(found) == halves}
    spread = {row: found for row, found in whole.items() if np.isfinite(found).all() and np.ptp(found) > 0}
    return {row: factor * float(found.std(ddof=1)) for row, found in spread.items()}
