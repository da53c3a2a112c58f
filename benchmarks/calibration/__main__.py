"""Which metric detects which fault of a sampler, and with how many samples? (docs/metric_power.md)

    python -m benchmarks.calibration                            # 8gaussians, digits, captions: 20 minutes of one core
    python -m benchmarks.calibration --images cifar10.tar.gz    # and CIFAR-10: 50 minutes more
    python -m benchmarks.calibration --task 8gaussians          # one task; the others keep their rows
    python -m benchmarks.calibration --redraw                   # tables and picture again, from the numbers

Writes calibration.json (numbers) and calibration.md (tables) in the results folder, and docs/images/calibration.svg.
A stopped calibration keeps the tasks that it finished. Exact fields are measured each time.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib import pyplot

from benchmarks.calibration.exact_fields import measure_fields
from benchmarks.calibration.power import FULL, TRUE, measure, smallest_n
from benchmarks.calibration.tasks import Task, captions, cifar10, digits, points
from benchmarks.tables import markdown
from genbench.analysis.means import LEVEL, format_mean, mean_and_half
from genbench.metrics.evaluation import NORMAL
from genbench.report.formats.figures import LIGHT, MUTED, encoded, styled

Rows = list[dict[str, Any]]

PICTURE = Path(__file__).parents[2] / "docs/images/calibration.svg"
ENOUGH = 0.9
"""The power that a number of samples must reach."""
SHOWN = 6
"""Metrics in the picture: those with most power."""
INTRODUCTION = f"""\
Made by `make calibration`. [Choose a metric](../docs/metric_power.md) draws the conclusions.

- **Defects**: the number of samples that one evaluation needs to detect the defect with {ENOUGH:.0%} power at level
  {LEVEL:.0%}. After >, not even the largest number tried is enough.
- **True sampler**: on draws without a defect, a metric should raise a false alarm in {LEVEL:.0%} of cases; ± is the
  range of chance (95 %). The columns n show mean ± standard deviation of one value (the mean of a distance is its
  bias), s the CPU seconds at the largest n, on a machine that may do other work.
"""


def main() -> None:
    """Measure the chosen tasks, write numbers, tables and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--images", type=Path, help="folder or archive of CIFAR-10; without it that task is left out")
    parser.add_argument("--task", nargs="+", help="by default all")
    parser.add_argument("--redraw", action="store_true", help="measure nothing")
    options = parser.parse_args()
    tasks: dict[str, Callable[[], Task]] = {"8gaussians": points, "digits": digits, "digits-captions": captions}
    if options.images:
        tasks["cifar10"] = partial(cifar10, options.images)
    if unknown := set(options.task or ()) - tasks.keys():
        parser.error(f"--task {' '.join(unknown)}: choose from {', '.join(tasks)}, or cifar10 with --images")
    path = options.results / "calibration.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {"draws": {}, "rows": []}
    for name in () if options.redraw else options.task or tasks:
        measured = list(measure(tasks[name](), FULL, print))
        found["rows"] = [row for row in found["rows"] if row["task"] != name] + measured
        found["draws"][name] = asdict(FULL)
        found["rows"].sort(key=lambda row: [*found["draws"]].index(row["task"]))  # the order of the page
        write(path, found)
    if not options.redraw:
        found["fields"] = list(measure_fields(range(5)))
        write(path, found)
    (options.results / "calibration.md").write_text(page(found["rows"], found["fields"]), encoding="utf-8")
    draw([row for row in found["rows"] if row["task"] == "digits" and row["sampler"] != TRUE], PICTURE)


def write(path: Path, found: dict[str, Any]) -> None:
    """Write the numbers, one row per line."""
    parts = []
    for name, value in found.items():
        inside = ",\n  ".join(json.dumps(row, allow_nan=False) for row in value) if isinstance(value, list) else ""
        parts.append(f'"{name}": [\n  {inside}\n]' if isinstance(value, list) else f'"{name}": {json.dumps(value)}')
    path.write_text("{" + ",\n ".join(parts) + "}\n", encoding="utf-8")


def page(rows: Rows, fields: Rows) -> str:
    """Return the tables of all tasks and of exact fields."""
    parts = ["# Calibration of metrics\n", INTRODUCTION]
    for task in dict.fromkeys(row["task"] for row in rows):
        of_task = [row for row in rows if row["task"] == task]
        parts += [f"## {task}\n", *of_faults(of_task), *of_true_sampler(of_task)]
    parts += ["## Exact fields\n", *of_fields(fields)]
    return "\n".join(parts)


def of_faults(rows: Rows) -> Iterator[str]:
    """Yield the smallest number of samples at which each metric detects each fault."""
    metrics = [row["metric"] for row in rows if row["sampler"] == TRUE]
    lines = []
    for sampler in dict.fromkeys(row["sampler"] for row in rows if row["sampler"] != TRUE):
        of_sampler = [row for row in rows if row["sampler"] == sampler]
        needed = {
            row["metric"]: smallest_n(row["n"], row["power"], ENOUGH) or f"> {row['n'][-1]}" for row in of_sampler
        }
        lines.append([sampler, *(needed.get(metric, "") for metric in metrics)])
    yield markdown(("defect", *metrics), lines)


def of_true_sampler(rows: Rows) -> Iterator[str]:
    """Yield false alarms, and mean and standard deviation by number of samples."""
    rows = [row for row in rows if row["sampler"] == TRUE]
    counts = sorted({n for row in rows for n in row["n"]})
    lines, outside = [], 0
    for row in rows:
        at = {n: format_mean(mean, sd) for n, mean, sd in zip(row["n"], row["mean"], row["sd"], strict=True)}
        share = sum(row["alarms"]) / len(row["alarms"])
        band = NORMAL * math.hypot(*row["alarms_sd"]) / len(row["alarms"])  # draws at other n are independent
        outside += abs(share - LEVEL) > band
        values = (at.get(n, "") for n in counts)
        lines.append([row["metric"], f"{share:.1%} ± {band:.1%}", *values, f"{row['seconds'][-1]:.2g}"])
    yield markdown(("true sampler", "false alarms", *(f"n = {n}" for n in counts), "s"), lines)
    yield f"In {outside} of {len(rows)} rows, the false alarms differ from {LEVEL:.0%} by more than chance (±).\n"


def of_fields(rows: Rows) -> Iterator[str]:
    """Yield the values of exact fields, by metric and task."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    lines = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        values = [[r["value"] for r in rows if (r["metric"], r["task"]) == (metric, task)] for task in tasks]
        lines.append([metric, *(format_mean(*mean_and_half(each)) for each in values)])
    yield (
        "The values of a perfectly trained cfm: dopri5 integrates the closed-form field of flow matching with "
        "independent pairs. Mean ± 95 % CI half-width over evaluation seeds.\n"
    )
    yield markdown(("metric", *tasks), lines)


@styled
def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the power against the number of samples: a chart for the middle size of each fault."""
    by_power: dict[str, list[float]] = {}
    for row in rows:
        by_power.setdefault(row["metric"], []).append(max(row["power"]))
    shown = sorted(by_power, key=lambda metric: -sum(by_power[metric]) / len(by_power[metric]))[:SHOWN]
    sizes: dict[str, list[float]] = {}
    for row in rows:
        if row["size"] not in sizes.setdefault(row["fault"], []):
            sizes[row["fault"]].append(row["size"])
    figure, axes = pyplot.subplots(3, 3, figsize=(8, 7), sharex=True, sharey=True, layout="constrained")
    for axis, (fault, of_fault) in zip(axes.flat, sizes.items(), strict=True):
        middle = of_fault[(len(of_fault) - 1) // 2]
        for row in rows:
            if (row["fault"], row["size"]) == (fault, middle) and row["metric"] in shown:
                axis.plot(row["n"], row["power"], ".-", color=LIGHT[shown.index(row["metric"])], label=row["metric"])
        axis.axhline(LEVEL, color=MUTED, linestyle=":")
        axis.set(title=fault.format(middle), xscale="log")
        axis.xaxis.set_major_formatter("{x:,.0f}")
    figure.supxlabel("samples")
    figure.supylabel("power")
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    path.write_bytes(encoded(figure))
    pyplot.close(figure)


if __name__ == "__main__":
    main()
