"""Orders of methods at two budgets: what records say about them, and how well they agree."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np

from genbench.analysis.labels import listed
from genbench.analysis.means import mean_and_error
from genbench.analysis.significance import compare_all
from genbench.report.track_cells import by_one_protocol
from genbench.results.frames import protocols
from genbench.runs.record_types import Record, Row

DRAWS = 2000
LEAST = 5
"""Minimum number of methods for an order."""
COSTS = {"nfe", "failed", "tilt"}
"""Metrics with a better direction that do not measure the quality of samples: tilt is about training pairs."""
BEYOND = {"precision_recall.precision", "density_coverage.density"}
"""Metrics in which blurred images exceed real ones, so that higher is not better."""
AT = ", NFE "
"""What stands between a metric and the NFE at which it was measured."""

Values = Mapping[str, Mapping[int, float]]
"""{method: {seed: value, lower is better}}."""


class Rung(NamedTuple):
    """A budget on a data set.

    Args:
        numbers: {metric: values}, each with the model's own sampler or at an NFE.
        floor: {seed: value of real data} of the headline metric with the model's own sampler.
        unfinished: methods of which a training has not ended, with its seeds. Nothing is compared at such a budget:
            methods that train first would decide alone.
    """

    headline: str
    numbers: dict[str, dict[str, dict[int, float]]]
    floor: Mapping[int, float] | None = None
    unfinished: tuple[str, ...] = ()

    @property
    def main(self) -> Values:
        """The values of the headline metric."""
        return self.numbers.get(self.headline, {})

    @property
    def headlines(self) -> list[str]:
        """The headline metric with the model's own sampler, then at each NFE of its curve, as far as it has values."""
        names = [name for name in self.numbers if name.partition(AT)[0] == self.headline]
        return sorted(names, key=by_length)


Ladder = Mapping[str, Mapping[int, Rung]]
"""{data set: {steps: rung}}."""
Planned = Mapping[tuple[str, int], Mapping[str, Collection[int]]]
"""{(data set, steps): {method: its seeds}}."""


class Order(NamedTuple):
    """How well the order at a budget predicts the order at a longer one.

    Args:
        tau: Kendall's tau between the means.
        drawn: draws of tau between the true means.
        decided: pairs of methods separated at the shorter budget.
        held: separated pairs whose means have the same order at the longer budget.
        level: separated pairs of two methods that are at the floor at the longer budget.
        turned: separated pairs that are also separated at the longer budget, in the opposite order.
    """

    methods: int
    tau: float
    drawn: np.ndarray
    decided: int
    held: int
    level: int
    turned: tuple[tuple[str, str], ...]


class Margin(NamedTuple):
    """A pair of methods at two budgets, best first at the shorter one.

    Args:
        ratio: ratio of the means at the shorter budget, at least 1 for positive values.
        held: whether the means have the same order at the longer budget.
        separated: whether the pair is separated at the shorter budget.
    """

    pair: tuple[str, str]
    ratio: float
    held: bool
    separated: bool


class Contest(NamedTuple):
    """A data set at two budgets, and the order of the headline metric at both."""

    data: str
    short: int
    long: int
    first: Rung
    last: Rung
    order: Order


def rungs(records: Iterable[Record], planned: Planned) -> dict[str, dict[int, Rung]]:
    """Return the ladder of the default settings of a track.

    All values of a metric (at an NFE) on a data set have one protocol, the commonest over all budgets. Runs that stop
    before the end of their budget are left out. A training has ended if it has a record: values, or its failure.

    Args:
        planned: the trainings of the track.
    """
    found: dict[str, dict[int, Rung]] = {}
    ended: dict[tuple[str, int], set[tuple[str, int]]] = {}
    rows: dict[tuple[str, str], dict[str, dict[tuple[int, int], dict[str, Any]]]] = {}
    floors: dict[tuple[str, int], dict[int, float]] = defaultdict(dict)
    for record in records:
        plan, data = record["spec"]["plan"], record["labels"]["data"]
        if not plan["steps"] or plan.get("stop", "steps") != "steps":
            continue
        for place in record.get("track", ()):
            if "default" in place["tables"]:
                found.setdefault(data, {}).setdefault(plan["steps"], Rung(place["headline"], {}))
                run = plan["steps"], record["spec"]["seed"]
                ended.setdefault((data, plan["steps"]), set()).add((place["row"], record["spec"]["seed"]))
                for row, protocol in zip(record["results"], protocols(record), strict=True):
                    if row["value"] is not None and (number := number_of(row)):
                        own = rows.setdefault((data, number), {}).setdefault(place["row"], {})
                        own[run] = {**row, "protocol": protocol}
    for (data, number), methods in rows.items():
        for name, own in by_one_protocol(methods).items():
            for (steps, seed), row in own.items():
                if row.get("value") is not None:  # it has the commonest protocol
                    sign = -1 if row["better"] == "higher" else 1
                    values = found[data][steps].numbers.setdefault(number, {})
                    values.setdefault(name, {})[seed] = sign * float(row["value"])
                    if number == found[data][steps].headline and row["floor"] is not None:
                        floors[data, steps][seed] = sign * float(row["floor"])
    return {
        data: {
            steps: rung._replace(
                floor=floors[data, steps],
                unfinished=unfinished(planned.get((named(data), steps), {}), ended[data, steps]),
            )
            for steps, rung in own.items()
        }
        for data, own in found.items()
    }


def unfinished(planned: Mapping[str, Collection[int]], ended: Collection[tuple[str, int]]) -> tuple[str, ...]:
    """Return the methods of which a planned training has not ended, with its seeds."""
    found = {method: [seed for seed in seeds if (method, seed) not in ended] for method, seeds in planned.items()}
    return tuple(f"{method} (seed {listed(map(str, seeds))})" for method, seeds in found.items() if seeds)


def among(contest: Contest, methods: Collection[str]) -> Contest:
    """Return a task with the values of some methods only; its field `order` still compares all methods."""

    def of(rung: Rung) -> Rung:
        numbers = {
            number: {method: own for method, own in values.items() if method in methods}
            for number, values in rung.numbers.items()
        }
        return rung._replace(numbers=numbers)

    return contest._replace(first=of(contest.first), last=of(contest.last))


def number_of(row: Row) -> str:
    """Return the name of a metric, with the NFE on a curve; an empty text if its values order no methods.

    Costs and metrics that blur improves order none. A loss on validation data has no better direction, although its
    protocol is equal for all methods: each method has a loss of its own. Likelihood models also have it as `bits`,
    whose protocol names the density. Points along a training are not the end of its budget.
    """
    unordered = row["metric"] in BEYOND or row["metric"].partition(".")[0] in COSTS
    if unordered or row["better"] == "none" or row["point"] == "training":
        return ""
    return f"{row['metric']}{AT}{row['nfe']:.0f}" if row["point"] == "curve" else row["metric"]


def complete(*rungs: Values) -> list[Values]:
    """Return, for each rung, the values of the methods over seeds that all of them have, in the same order.

    Of the lists of seeds that one method has, or two methods share, those count that keep the most methods, then the
    most seeds. So a seed on which a method fails is left out for all, and a seed that few methods have is not used.
    A list has at least two seeds and half of the longest list, unless no method has two.
    """
    found = [options(values) for values in rungs]

    def kept(seeds: tuple[frozenset[int], ...]) -> list[str]:
        pairs = [*zip(rungs, seeds, strict=True)]
        return [name for name in rungs[0] if all(own <= values.get(name, {}).keys() for values, own in pairs)]

    best = max(product(*found), key=lambda seeds: (len(kept(seeds)), sum(map(len, seeds))))
    return [
        {name: {seed: values[name][seed] for seed in sorted(own)} for name in kept(best)}
        for values, own in zip(rungs, best, strict=True)
    ]


def options(values: Values) -> list[frozenset[int]]:
    """Return the lists of seeds that can count on a rung, see `complete`."""
    own = {frozenset(seeds) for seeds in values.values()} or {frozenset()}
    least = max(2, max(map(len, own)) / 2)
    lists = sorted({one & other for one in own for other in own}, key=sorted)
    return [seeds for seeds in lists if len(seeds) >= least] or [max(own, key=len)]


def array(values: Values) -> np.ndarray:
    """Return the values of complete methods, (methods, seeds)."""
    return np.array([[*own.values()] for own in values.values()])


def order(short: Values, long: Values, floor: Mapping[int, float] | None = None) -> Order | None:
    """Compare the order of methods at two budgets; None for fewer than five methods with two seeds at both.

    Args:
        floor: values of real data at the longer budget, by seed.
    """
    one, other = complete(short, long)
    if len(one) < LEAST or min(len(own) for values in (one, other) for own in values.values()) < 2:
        return None
    marked = compare_all(long, "lower", floor).at_floor  # over all seeds, as in tables: fewer give wider intervals
    before, after = compare_all(one, "lower"), compare_all(other, "lower")._replace(at_floor=marked)
    decided = [pair for pair in before.p if before.apart(*pair)]
    held = sum(mean_of(other[ahead]) < mean_of(other[behind]) for ahead, behind in decided)
    level = sum({*pair} <= marked for pair in decided)
    turned = tuple((ahead, behind) for ahead, behind in decided if after.beats(behind, ahead))
    middle = float(tau(array(one).mean(1), array(other).mean(1)))
    return Order(len(one), middle, tau(*means_drawn(one, other)), len(decided), held, level, turned)


def means_drawn(*rungs: Values) -> list[np.ndarray]:
    """Return draws of the true means of complete methods on each rung, (draws, methods).

    The difference of two methods is drawn from the distribution behind the paired t test over seeds: its mean plus its
    standard error times a t variable. Each method has its own variance: variances differ tenfold. A draw gives a
    seed the same random weight for all methods and rungs, because a seed shifts them together.

    Noise pulls tau toward 0, and draws add noise to means that already have some: see `interval`.
    """
    stream = np.random.default_rng(0)
    seeds = sorted({seed for values in rungs for own in values.values() for seed in own})
    weights = dict(zip(seeds, stream.standard_normal((len(seeds), DRAWS)), strict=True))
    drawn = []
    for values in rungs:
        table = array(values)
        own = np.array([weights[seed] for seed in next(iter(values.values()))])
        freedom = len(own) - 1
        scale = np.sqrt(stream.chisquare(freedom, DRAWS) * len(own))
        means = table.mean(1)
        drawn.append(means + (own / scale).T @ (table.T - means))
    return drawn


def tau(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return Kendall's tau of two (..., methods): (pairs in the same order - pairs in opposite order) / all pairs."""
    one, other = np.triu_indices(x.shape[-1], 1)
    return np.sign((x[..., one] - x[..., other]) * (y[..., one] - y[..., other])).mean(-1)


def interval(middle: float, drawn: np.ndarray) -> tuple[float, float]:
    """Return the ends of a 95 % interval that joins the percentile interval of draws and its mirror image at a value.

    Draws of tau lie lower than tau, which lies lower than the true tau. The percentile interval alone covers a true tau
    of 1 in 0 to 20 % of cases (15 methods with 5 and 5 seeds). Simulations had normal means of 6 to 15 methods, 3 to 10
    seeds, and true taus from 0.3 to 1: the joined interval covers the true tau in about 90 % of cases or more if the
    spread between methods is twice the spread between seeds, and in about 70 % or more if the two are equal.
    """
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(min(low, 2 * middle - high)), float(max(high, 2 * middle - low))


def margins(short: Values, long: Values) -> list[Margin]:
    """Return, for each pair of methods, the ratio of its means and whether its order lasts."""
    one, other = complete(short, long)
    tests, found = compare_all(one, "lower"), []
    for pair in combinations(one, 2):
        ahead, behind = sorted(pair, key=lambda method: mean_of(one[method]))
        ratio = mean_of(one[behind]) / mean_of(one[ahead])
        held = mean_of(other[ahead]) < mean_of(other[behind])
        found.append(Margin((ahead, behind), ratio, held, tests.apart(ahead, behind)))
    return found


def mean_of(values: Mapping[int, float]) -> float:
    """Return the mean over seeds."""
    return mean_and_error(values.values())[0]


def spread(own: Order) -> str:
    """Return tau with its interval over seeds."""
    low, high = (min(1.0, max(-1.0, end)) for end in interval(own.tau, own.drawn))
    return f"{own.tau:.2f} ({low:.2f} to {high:.2f})"


def by_length(number: str) -> tuple[int, str]:
    """Return the key that sorts the headline metric before its values at an NFE, and NFE 8 before NFE 16."""
    return len(number), number


def named(data: str) -> str:
    """Return the name of a data set without the hash of its images."""
    return data.partition(" images=")[0]
