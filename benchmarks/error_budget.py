"""The error budget of flow matching, and how fast the bias of a coupling falls (docs/error_budget.md).

    genbench sweep benchmarks/studies/error-budget.toml          # trains and measures the budgets
    genbench sweep benchmarks/studies/error-budget-tasks.toml    # other tasks, larger networks
    python -m benchmarks.error_budget                            # biases: two minutes of one core
    python -m benchmarks.error_budget --redraw                   # the page again, from the numbers

Writes results/error_budget.json (biases) and results/error_budget.md.
"""

import argparse
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.tables import markdown
from genbench.analysis.means import format_mean, mean_and_half
from genbench.metrics.error_budget import PARTS
from genbench.models.flow_matching.couplings.base import squared_distances
from genbench.numerics.ode import integrate
from genbench.numerics.optimal_transport import assignment
from genbench.numerics.weighted_pairs import ONE, exponential
from genbench.registry import datasets
from genbench.results.reader import RECORDS
from genbench.runs.record import read_published
from genbench.runs.record_types import Record, SpecJson
from genbench.seeds import generator

SUITES = ("error-budget", "error-budget-tasks")
REPEATS = 6
STD = 0.5
"""Standard deviation of the Gaussian that minibatch plans transport N(0, I) to."""
SIZES = (16, 32, 64, 128, 256, 512)
PLANNED = 4096
"""Total number of points in the plans of one size and repeat."""
KAPPAS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
SAMPLES = 512
ASYMPTOTIC = 8.0
"""Smallest kappa of the slope."""


DIMS = (2, 4, 8)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the slope of log y over log x by least squares.

    >>> round(slope([1, 2, 4], [8, 2, 0.5]), 6)
    -2.0
    """
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def plan_excess(dims: int, n: int, stream: torch.Generator) -> float:
    """Return the mean excess of the cost of a plan of n points over W2^2 from N(0, I) to N(0, STD^2 I).

    W2^2 = E f(x) + E g(y) for f(x) = (1 - STD) |x|^2 and g(y) = (1 - 1 / STD) |y|^2, and f(x) + g(y) <= |x - y|^2. The
    cost minus f and g of the same points has the expectation of the excess, a smaller variance, and is never negative.
    """
    excess = []
    for _ in range(PLANNED // n):
        x, y = (torch.randn(n, dims, generator=stream, dtype=torch.float64) for _ in range(2))
        y = STD * y
        cost = (x[assignment(squared_distances(x, y))] - y).square().sum(1)
        dual = (1 - STD) * x.square().sum(1) + (1 - 1 / STD) * y.square().sum(1)
        excess.append(float((cost - dual).mean()))
    return float(np.mean(excess))


def energy(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"], weight: Float[Tensor, " n"]) -> float:
    """Return the energy distance of weighted samples x from y without bias, where (x_i, weight_i, y_i) are independent.

    Terms i = j are left out; y_i may depend on x_i, and then much of the noise cancels.
    """
    w = weight / weight.mean()
    total = 2 * w[:, None] * torch.cdist(x, y) - w[:, None] * w * torch.cdist(x, x) - torch.cdist(y, y)
    return float((total.sum() - total.diagonal().sum()) / (len(x) * (len(x) - 1)))


def gibbs_bias(kappa: float, n: int, stream: torch.Generator) -> dict[str, float]:
    """Return the energy distances from 8gaussians of the data as W-CFM tilts it, and of the exact minimizer."""
    data = datasets["8gaussians"].build()
    field, kernel = data.truth.velocity, exponential(kappa * 2**0.5)
    assert field is not None
    x0 = torch.randn(n, 2, generator=stream, dtype=torch.float64)
    true, exact = (integrate(partial(field, kernel=of), x0, tol=1e-5).x for of in (ONE, kernel))
    spread = 1 + 2 * kernel.rate  # E exp(-rate |x1 - x0|^2) over the noise, given x1
    log_weight = kernel.log_weight - spread.log() - true.square().sum(1, keepdim=True) * (kernel.rate / spread)
    weight = log_weight.logsumexp(1).exp()
    return {"tilted data": energy(true, true, weight), "exact minimizer": energy(exact, true, torch.ones_like(weight))}


def measure() -> Iterator[dict[str, Any]]:
    """Yield the bias of each coupling: rows of a record."""
    for repeat in range(REPEATS):
        for dims in DIMS:
            for n in SIZES:
                bias = plan_excess(dims, n, generator(repeat, "plan", dims, n))
                yield {"of": f"plan in {dims}D", "repeat": repeat, "x": n, "bias": bias}
        for kappa in KAPPAS:
            for of, bias in gibbs_bias(kappa, SAMPLES, generator(repeat, "gibbs")).items():
                yield {"of": of, "repeat": repeat, "x": kappa, "bias": bias}


def curves(rows: Sequence[dict[str, Any]], of: str) -> dict[float, list[float]]:
    """Return {n or kappa: biases of all repeats}."""
    found: dict[float, list[float]] = {}
    for row in rows:
        if row["of"] == of:
            found.setdefault(row["x"], []).append(row["bias"])
    return found


def slopes(curve: dict[float, list[float]], least: float = 0.0) -> list[float]:
    """Return the slope of each repeat, from this x on."""
    x = [at for at in curve if at >= least]
    return [slope(x, y) for y in zip(*(curve[at] for at in x), strict=True)]


def theory(dims: int) -> str:
    """Return the slope over SIZES of the proven rate of E W2^2 between samples of N(0, I).

    In 2D it is log(n)^2 / n (upper bound: Ledoux, 2017; lower bound: Talagrand, 2018), above it is n^(-2/d) (Ledoux and
    Zhu, 2021).

    >>> theory(2), theory(8)
    ('-0.54', '-0.25')
    """
    rates = [math.log(n) ** 2 / n if dims == 2 else n ** (-2 / dims) for n in SIZES]
    return f"{slope(SIZES, rates):.2f}"


def of_plans(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of minibatch plans."""
    lines = []
    for dims in DIMS:
        curve = curves(rows, f"plan in {dims}D")
        values = (format_mean(*mean_and_half(curve[n])) for n in SIZES)
        lines.append([f"{dims}", *values, format_mean(*mean_and_half(slopes(curve))), theory(dims)])
    return markdown(("dimensions", *(f"n = {n}" for n in SIZES), "slope", "theory"), lines)


def of_kernels(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of W-CFM's tilt."""
    lines = []
    for of in ("tilted data", "exact minimizer"):
        curve = curves(rows, of)
        found = format_mean(*mean_and_half(slopes(curve, ASYMPTOTIC)))
        lines.append([of, *(format_mean(*mean_and_half(curve[kappa])) for kappa in KAPPAS), found, "-2"])
    return markdown(("8gaussians", *(f"kappa = {kappa:g}" for kappa in KAPPAS), "slope", "theory"), lines)


def row_of(spec: SpecJson) -> str:
    """Return the method of a run, with what differs from 2,000 steps of an MLP of width 64 and depth 3."""
    model, net, steps = spec["model"], spec["model"]["net"], spec["plan"]["steps"]
    parts = [model["name"], f"kappa {kappa:g}" if (kappa := model.get("kappa")) else ""]
    parts += [f"{name} {net[name]}" if net[name] != usual else "" for name, usual in (("width", 64), ("depth", 3))]
    parts += [f"{steps:,} steps" if steps != 2000 else "", f"NFE {spec['sample']['steps']}"]
    return ", ".join(part for part in parts if part)


def budgets(records: Iterable[Record]) -> Iterator[str]:
    """Yield the budgets on each data set. Each sum stands beside the same metric, measured on the run's own samples."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for record in records:
        spec = record["spec"]
        values = {row["metric"]: row["value"] for row in record["results"] if row["value"] is not None}
        dims = f" in {dims}D" if (dims := spec["data"].get("dims")) else ""
        row = found.setdefault(spec["data"]["name"] + dims, {}).setdefault(row_of(spec), {})
        for column in (*(f"error_budget.{part}" for part in PARTS), "error_budget", "energy_distance"):
            row.setdefault(column, []).append(values[column])
    for data, rows in found.items():
        lines = [[label, *(format_mean(*mean_and_half(each)) for each in row.values())] for label, row in rows.items()]
        yield f"## Energy distance on {data}\n"
        yield markdown(("method", *PARTS, "sum", "other samples"), lines)


def page(rows: Sequence[dict[str, Any]], results: Path) -> str:
    """Return the page."""
    parts = ["# Error budgets\n", "Made by `python -m benchmarks.error_budget`; read in docs/error_budget.md.\n"]
    parts += ["Mean over seeds ± 95 % CI half-width. 2,000 steps and MLPs of width 64 and depth 3 unless stated.\n"]
    parts += budgets(record for suite in SUITES for record in read_published(results / suite / RECORDS))
    parts += ["## Excess cost of the plan of n points\n", of_plans(rows)]
    parts += [
        f"Plans lead from N(0, I) to N(0, {STD:g}^2 I). The excess is {STD:g} E W2^2 between two samples of N(0, I). "
    ]
    parts[-1] += "The rates are proven (2D: Ledoux, 2017, and Talagrand, 2018; 4D and 8D: Ledoux and Zhu, 2021).\n"
    parts += ["## Energy distance of the tilt of W-CFM\n", of_kernels(rows)]
    parts += [f"Slopes use kappa >= {ASYMPTOTIC:g}, over {REPEATS} repeats of {SAMPLES} samples.\n"]
    return "\n".join(parts)


def main() -> None:
    """Measure the biases unless they are known, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--redraw", action="store_true", help="measure nothing")
    options = parser.parse_args()
    path = options.results / "error_budget.json"
    if not options.redraw:
        lines = ",\n".join(json.dumps(row) for row in measure())
        path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    text = page(json.loads(path.read_text("utf-8")), options.results)
    (options.results / "error_budget.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
