"""Conformance of metrics: protocol, determinism, direction, and a floor that real data reaches."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from genbench.core import Data
from genbench.errors import RunFailed, Unsupported
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.metrics.sampling import noise
from genbench.registry import datasets, metrics
from genbench.settings import Settings, bind, call
from genbench.testing.assertions import assert_documented
from genbench.testing.toys import AffineFlow, toy_tasks

SIZE = 2048
"""Number of samples in a check: as many as an evaluation draws by default."""

Rows = list[dict[str, Any]]


def check_metric(name: str, settings: Settings | None = None, *, data: Sequence[str] = ()) -> list[str]:
    """Check a metric, and return a line per task: its values on real data, or why it has none.

    Args:
        data: names of data sets that the metric is made for, besides the toy tasks.

    Raises:
        AssertionError: with a sentence that says which requirement is violated.
        Unsupported: if the metric has no value on any task, so that it was mostly not checked.
    """
    entry = metrics[name]
    assert_documented(entry.build, name)
    bound = bind(entry.build, settings or {}, name)
    builders = {each: datasets[each].build for each in data}
    tasks = toy_tasks() | {each: call(build, settings=bind(build, {}, each)) for each, build in builders.items()}
    lines, measured = [], False
    for title, task in tasks.items():
        rows = _check_on(name, bound, task)
        reasons = [row["reason"] for row in rows if row["value"] is None]
        measured |= not reasons
        values = "; ".join(f"{row['metric']} = {row['value']:.4g}" for row in rows if row["value"] is not None)
        lines.append(f"metric {name} on {title}: {values or '- ' + reasons[0]}")
    if not measured:
        reasons = "; ".join(line.removeprefix(f"metric {name} ") for line in lines)
        raise Unsupported(f"it has no value on any task; name a data set that it is made for: {reasons}")
    return lines


def _check_on(name: str, settings: Mapping[str, Any], data: Data) -> Rows:
    split = data.train
    real = split.take(SIZE if split.size is None else min(SIZE, split.size), 1)
    good = _measured(name, settings, data, real.x, real.label)
    torch.rand(1)  # changes the value of a metric that draws from the global random state
    again = _measured(name, settings, data, real.x, real.label)
    assert _close(good, again), f"{name} must be deterministic, it reads {_values(good)}, then {_values(again)}"
    if any(row["value"] is None for row in good):
        assert len(good) == 1, f"{name} must return values or raise Unsupported, not both"
        assert good[0]["reason"], f"{name} has no value and must say why"
        return good
    names = [row["metric"] for row in good]
    assert len(set(names)) == len(names), f"the parts of {name} must have different names, not {names}"
    for row in good:
        assert str(row["protocol"]).strip(), f"{row['metric']} must state its protocol"
        assert row["n"] >= 1, f"{row['metric']} must state on how many samples it was measured, not {row['n']}"
    broken = real.x.clone()
    broken[0] = float("nan")
    _measured(name, settings, data, broken, real.label)
    if metrics[name].traits["of"] == "samples":
        shifted_noise = noise(data.source, len(real.x), 0) * 2 + 3
        _check_direction(name, good, _measured(name, settings, data, shifted_noise, real.label))
    return good


def _measured(name: str, settings: Mapping[str, Any], data: Data, x: Tensor, label: Tensor) -> Rows:
    model = AffineFlow(data.event, data.source)
    evaluation = Evaluation(data, 0, x=x, label=label if data.event.classes else None, nfe=1.0, model=model)
    try:
        return measure(evaluation, name, settings, with_floor=True)
    except RunFailed as error:
        raise AssertionError(str(error)) from error


def _check_direction(name: str, good: Rows, bad: Rows) -> None:
    """Check that real data is better than noise in the declared direction, and closer to the floor."""
    of_noise = {row["metric"]: row["value"] for row in bad}
    for row in good:
        worse, value, floor = of_noise.get(row["metric"]), row["value"], row["floor"]
        if worse is None or row["better"] == "none":
            continue
        assert value <= worse if row["better"] == "lower" else value >= worse, (
            f"{name} is declared better when {row['better']}; real data reads {value:.4g}, shifted noise {worse:.4g}"
        )
        assert floor is None or worse == value or abs(value - floor) < abs(worse - floor), (
            f"real data reads {value:.4g}, further from the floor {floor:.4g} than noise at {worse:.4g}"
        )


def _close(one: Any, other: Any) -> bool:
    """Return whether two results are the same up to rounding, which in linear algebra depends on memory alignment."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_close(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_close, one, other))
    return one == other


def _values(rows: Rows) -> str:
    return ", ".join(str(row["value"]) for row in rows)
