"""Print the table of the README from the committed records (`python -m benchmarks.readme_table`).

Rows have default settings, cells are means over seeds, and a dagger marks a training shorter than the column's.
"""

import json
from pathlib import Path

import pandas as pd
from scipy import stats

from benchmarks.tables import markdown
from genbench.results.frames import cost_of, frame
from genbench.results.reader import load_records
from genbench.suites import find

RESULTS = Path(__file__).parents[1] / "results"
METHODS = {"cfm": "CFM", "otcfm": "OT-CFM", "sdcfm": "SD-CFM", "wcfm": "W-CFM", "reflow": "Reflow"}
METHODS |= {"meanflow": "MeanFlow", "starflow": "STARFlow", "nsf": "NSF"}
# Rows beside the default one of a method: tuned, with labels, with another network, controls.
OTHER_ROWS = r"tuned$|conditional=|weigh=|net=unet|blocks="
# Track, task, training steps, and which rows of the frame.
COLUMNS = {
    "moons": ("plane-v1", "moons", 20_000, "metric == 'sliced_w2' and point == 'main'"),
    "50-D mixture": ("plane-v1", "mixture dims=50", 20_000, "metric == 'sliced_w2' and point == 'main'"),
    "digits": ("digits-v1", "digits", 800, "metric == 'fd-digits_cnn' and point == 'main'"),
    "digits, NFE 1": ("digits-v1", "digits", 800, "metric == 'fd-digits_cnn' and nfe == 1"),
    "latents": ("latents-v1", "cifar10", 27_000, "metric == 'fd-efficientnet_lite0' and point == 'main'"),
}


def written(value: float) -> str:
    """Return three significant digits."""
    return f"{value:#.3g}".rstrip(".")


def measured(track: str, task: str) -> pd.DataFrame:
    """Return the default rows of a task with their method, training steps and parameters."""
    records = {record["labels"]["run"]: record for record in load_records(RESULTS / track)}
    rows = frame(records.values())
    rows = rows[rows.data.str.startswith(task) & ~rows.model.str.contains(OTHER_ROWS)].copy()
    rows["steps"] = rows.run.map(lambda run: records[run]["spec"]["plan"]["steps"])
    rows["parameters"] = rows.run.map(lambda run: cost_of(records[run]).get("parameters"))
    return rows.assign(method=rows.model.str.split().str[0])


def seconds(track: str, task: str) -> pd.Series:
    """Return the training seconds per method on a task, measured on an idle machine."""
    shapes = json.loads(find(track).with_suffix(".seconds.json").read_text("utf-8"))["shapes"]
    (timed,) = (pd.Series(shape["seconds"]) for shape in shapes if shape["tasks"][0].startswith(task))
    return timed.loc[~timed.index.str.contains(OTHER_ROWS)].rename(lambda row: row.split()[0])


def main() -> None:
    """Print the table."""
    table = pd.DataFrame("-", index=["real data", *METHODS, "a tie, if closer than"], columns=[*COLUMNS])
    costs = {"parameters": [], "training time": []}
    for column, (track, task, steps, query) in COLUMNS.items():
        rows = measured(track, task).query(query).query("steps <= @steps and value.notna()")
        values = rows.pivot_table("value", ["method", "steps"], "seed")
        budgets = rows[rows.method.isin(METHODS)].groupby("method").steps.max()
        for method, longest in budgets.items():
            table.loc[method, column] = written(values.loc[method, longest].mean()) + "†" * (longest < steps)
        differences = values.xs(steps, level="steps") - values.loc["cfm", steps]
        others = differences.loc[budgets[budgets == steps].index.drop("cfm")].T
        half_widths = others.sem() * stats.t.ppf(0.975, others.count() - 1)
        table.loc["real data", column] = written(rows[rows.steps == steps].floor.mean())
        table.loc["a tie, if closer than", column] = f"{half_widths.median():.2g}"
        costs["parameters"].append(rows.groupby("method").parameters.mean())
        costs["training time"].append(seconds(track, task))
    for name, measurements in costs.items():
        ratios = pd.concat([cost / cost["cfm"] for cost in measurements], axis=1).loc[[*METHODS]].round(1)
        spans = zip(ratios.min(axis=1), ratios.max(axis=1), strict=True)
        table.loc[[*METHODS], name] = [f"{low:g}" if low == high else f"{low:g}-{high:g}" for low, high in spans]
    print(markdown(["", *table], table.fillna("").rename(METHODS).reset_index().to_numpy()), end="")


if __name__ == "__main__":
    main()
