"""CSV: every mean in full precision, with standard error, number of seeds, floor and reasons."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genbench.analysis.labels import guarded, plain
from genbench.analysis.means import mean_and_error
from genbench.analysis.suite_results import SuiteResults
from genbench.analysis.values import Failure, Value, group_by

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("data", "model", "metric", "better", "point", "step", "solver", "n", "protocol", "original", "nfe", "value")
COLUMNS += ("standard_error", "seeds", "floor", "reason", "failed_runs")


def table(values: Sequence[Value], failures: Sequence[Failure] = ()) -> str:
    """Write the means of a suite."""
    return text(means(values, failures))


def document(suites: Sequence[SuiteResults]) -> str:
    """Write the means of several suites, with the suite in the first column."""
    import pandas as pd

    parts = [means(suite.values, suite.failures).assign(suite=suite.name) for suite in suites]
    return text(pd.concat(parts, ignore_index=True).reindex(columns=["suite", *COLUMNS]))


def means(values: Sequence[Value], failures: Sequence[Failure] = ()) -> "pd.DataFrame":
    """Return one row for each model, data set, metric and point; failed runs of a model have a row without a metric."""
    import pandas as pd

    rows = []
    names = ("data", "model", "metric", "better", "point", "step", "solver", "n", "protocol", "original")
    groups = group_by(
        values,
        lambda v: (
            (v.model, v.data, v.metric, v.point, v.solver, v.protocol, v.n, v.step)
            + ((v.nfe,) if v.point == "curve" else ())
        ),
    )
    for same in groups.values():
        row: dict[str, Any] = {name: getattr(same[0], name) for name in names} | {"failed_runs": 0}
        for name in ("nfe", "value", "floor"):
            known = [number for v in same if (number := getattr(v, name)) is not None]
            mean, error = mean_and_error(known) if known else (None, None)
            row |= {name: mean} | ({"standard_error": error, "seeds": len(known)} if name == "value" else {})
        rows.append(row | {"reason": "; ".join(dict.fromkeys(v.reason for v in same if v.reason))})
    for (data, model), failed in group_by(failures, lambda f: (f.data, f.model)).items():
        reason = "; ".join(dict.fromkeys(f.reason for f in failed))
        rows.append({"data": data, "model": model, "reason": reason, "failed_runs": len(failed)})
    whole, real = ("n", "seeds", "step"), ("nfe", "value", "standard_error", "floor")
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(whole, "Int64") | dict.fromkeys(real, float))


def text(frame: "pd.DataFrame") -> str:
    """Write a frame in full precision; its texts are no formulas, on one line, without control characters."""
    safe = frame.map(lambda cell: guarded(plain(cell)) if isinstance(cell, str) else cell)
    return safe.to_csv(index=False, lineterminator="\n")
