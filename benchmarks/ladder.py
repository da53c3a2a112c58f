"""Ladders: whether the order of methods after a short training predicts their order after a longer one.

    python -m benchmarks.ladder plane-v1 latents-v1
    python -m benchmarks.ladder latents-v1 --predict 3000 27000 > results/latents-v1/predictions.toml
    python -m benchmarks.ladder latents-v1 --predictions results/latents-v1/predictions.toml

Reads the published records of trained models with default settings. A number is a metric with the model's own sampler
or at an NFE. For each number and pair of budgets, the table has Kendall's tau between the method means at the two
budgets, with a 95 % interval. It also counts the pairs of methods that are separated at the shorter budget, and how
many of them have the same sign at the longer budget. `to the headline` is the tau between the number at the shorter
budget and the headline metric at the longer budget.
"""

import argparse
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.tables import markdown
from genbench.analysis.significance import compare_all
from genbench.results.reader import RECORDS
from genbench.runs.record import read_published
from genbench.runs.record_types import Record

DRAWS = 2000
LEAST = 3
"""Minimum number of methods for an order."""

Values = Mapping[str, Mapping[int, float]]
"""{method: {seed: value, lower is better}}."""


class Rung(NamedTuple):
    """A budget of a track on a data set.

    Args:
        numbers: {number: values}; values are negated if higher is better.
    """

    headline: str
    numbers: dict[str, dict[str, dict[int, float]]]


class Order(NamedTuple):
    """How well the order at a budget predicts the order at a longer one.

    Args:
        low: lower end of the 95 % interval of tau.
        decided: pairs of methods separated at the shorter budget.
        held: how many of these have the same sign at the longer one.
    """

    methods: int
    tau: float
    low: float
    high: float
    decided: int
    held: int


def rungs(records: Iterable[Record]) -> dict[str, dict[int, Rung]]:
    """Return {data set: {steps: rung}} of the default settings of a track."""
    found: dict[str, dict[int, Rung]] = {}
    for record in records:
        steps, seed = record["spec"]["plan"]["steps"], record["spec"]["seed"]
        for place in record.get("track", ()):
            if steps and "default" in place["tables"]:
                of_data = found.setdefault(record["labels"]["data"], {})
                rung = of_data.setdefault(steps, Rung(place["headline"], {}))
                for row in record["results"]:
                    if (value := row.get("value")) is not None:
                        at = f", NFE {row['nfe']:.0f}" if row["point"] == "curve" else ""
                        sign = -1 if row["better"] == "higher" else 1
                        methods = rung.numbers.setdefault(row["metric"] + at, {})
                        methods.setdefault(place["row"], {})[seed] = sign * float(value)
    return found


def complete(*rungs: Values) -> list[Values]:
    """Return, for each rung, the values of the methods with all seeds, in the same order."""
    seeds = [sorted({seed for own in values.values() for seed in own}) for values in rungs]
    pairs = list(zip(rungs, seeds, strict=True))
    whole = [name for name in rungs[0] if all(set(own) <= values.get(name, {}).keys() for values, own in pairs)]
    return [{name: {seed: values[name][seed] for seed in own} for name in whole} for values, own in pairs]


def means_drawn(values: Values, stream: np.random.Generator) -> np.ndarray:
    """Return draws of the true means of complete methods, (draws, methods), up to a shift shared within a draw.

    Seeds have effects that all methods share, and errors of equal variance. The prior is flat in the means and in the
    logarithm of the variance, so that the mean of a draw is a t variable.
    """
    table = array(values)
    methods, seeds = table.shape
    residuals = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    variance = (residuals**2).sum() / stream.chisquare((methods - 1) * (seeds - 1), (DRAWS, 1))
    return table.mean(1) + np.sqrt(variance / seeds) * stream.standard_normal((DRAWS, methods))


def array(values: Values) -> np.ndarray:
    """Return the values of complete methods, (methods, seeds)."""
    return np.array([[*own.values()] for own in values.values()])


def order(short: Values, long: Values) -> Order | None:
    """Compare the order of methods at two budgets; None for fewer than three methods with two seeds at both."""
    one, other = complete(short, long)
    if len(one) < LEAST or min(len(own) for values in (one, other) for own in values.values()) < 2:
        return None
    stream = np.random.default_rng(0)
    low, high = np.quantile(tau(means_drawn(one, stream), means_drawn(other, stream)), (0.025, 0.975))
    compared = compare_all(one, "lower")
    decided = [pair for pair in compared.p if compared.apart(*pair)]
    held = sum(mean_of(other[ahead]) < mean_of(other[behind]) for ahead, behind in decided)
    middle = float(tau(array(one).mean(1), array(other).mean(1)))
    return Order(len(one), middle, float(low), float(high), len(decided), held)


def tau(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return Kendall's tau of two (..., methods): (pairs in the same order - other pairs) / all pairs."""
    one, other = np.triu_indices(x.shape[-1], 1)
    return np.sign((x[..., one] - x[..., other]) * (y[..., one] - y[..., other])).mean(-1)


def mean_of(values: Mapping[int, float]) -> float:
    """Return the mean over seeds."""
    return sum(values.values()) / len(values)


def predicted(values: Values) -> dict[tuple[str, str], float]:
    """Return {(one, other): probability that the first is better} for each pair of methods with all seeds."""
    (known,) = complete(values)
    drawn = means_drawn(known, np.random.default_rng(0))
    first, second = np.triu_indices(len(known), 1)
    share = ((drawn[:, first] < drawn[:, second]).sum(0) + 1) / (DRAWS + 2)
    return dict(zip(combinations(known, 2), map(float, share), strict=True))


def brier(probabilities: Mapping[tuple[str, str], float], values: Values) -> float:
    """Return the mean squared error of the probabilities of the pairs with values; 0.25 if all are tied."""
    known = {pair: p for pair, p in probabilities.items() if set(pair) <= values.keys()}
    errors = [(p - (mean_of(values[a]) < mean_of(values[b]))) ** 2 for (a, b), p in known.items()]
    return float(np.mean(errors)) if errors else 0.25


def tables(track: str, found: Mapping[str, Mapping[int, Rung]]) -> Iterator[str]:
    """Yield a table for each data set of a track and each pair of budgets."""
    columns = ("number", "methods", "tau", "95 % interval", "decided", "of these held", "to the headline")
    for data, of_data in found.items():
        for short, long in combinations(sorted(of_data), 2):
            first, last = of_data[short], of_data[long]
            rows = []
            for name, values in first.numbers.items():
                same = order(values, last.numbers.get(name, {}))
                to_headline = order(values, last.numbers.get(last.headline, {}))
                if same is not None:
                    interval = f"{same.low:.2f} to {same.high:.2f}"
                    rest = "" if to_headline is None else f"{to_headline.tau:.2f}"
                    rows.append((name, same.methods, f"{same.tau:.2f}", interval, same.decided, same.held, rest))
            if rows:
                yield f"### {track}, {data}: {short:,} to {long:,} steps\n\n{markdown(columns, rows)}"


def predictions(track: str, found: Mapping[str, Mapping[int, Rung]], short: int, long: int) -> str:
    """Return the predictions of the order of each headline at a budget from a shorter one, as TOML."""
    lines = [f'track = "{track}"', f"from = {short}", f"to = {long}"]
    for data, of_data in found.items():
        if short in of_data:
            rung = of_data[short]
            lines += ["", "# the probability that the first is better", f'["{data}"."{rung.headline}"]']
            pairs = predicted(rung.numbers[rung.headline])
            lines += [f"'{one} | {other}' = {p:.3f}" for (one, other), p in pairs.items()]
    return "\n".join(lines) + "\n"


def scores(path: Path, found: Mapping[str, Mapping[int, Rung]]) -> str:
    """Return the table of the scores of earlier predictions."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    rows = []
    for data, of_data in ((name, part) for name, part in content.items() if isinstance(part, dict)):
        for number, stated in of_data.items():
            pairs = {tuple(pair.split(" | ")): p for pair, p in stated.items()}
            rung = found.get(data, {}).get(content["to"])
            score = "not measured" if rung is None else f"{brier(pairs, rung.numbers.get(number, {})):.3f}"
            rows.append((f"{data}, {number}", len(pairs), score, "0.250"))
    return markdown(("predicted", "pairs", "Brier score", "all tied"), rows)


def main() -> None:
    """Print the tables of tracks, the predictions for a longer budget, or the scores of such predictions."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tracks", nargs="+")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--predict", nargs=2, type=int, metavar=("FROM", "TO"))
    parser.add_argument("--predictions", type=Path, help="file whose predictions are scored")
    arguments = parser.parse_args()
    for track in arguments.tracks:
        found = rungs(read_published(arguments.results / track / RECORDS))
        if arguments.predict:
            print(predictions(track, found, *arguments.predict), end="")
        elif arguments.predictions:
            print(scores(arguments.predictions, found), end="")
        else:
            print("\n".join(tables(track, found)))


if __name__ == "__main__":
    main()
