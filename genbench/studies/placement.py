"""Placement of samples: their values beside published ones, those of the same protocol apart from all others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from genbench.analysis.statistics import format_mean, mean_and_half
from genbench.analysis.suite_results import SuiteResults
from genbench.analysis.values import group_by
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.formats.cells import heading
from genbench.report.tables import COUNTS
from genbench.studies.published import Claim

BEST, NEAR = 4, 2
"""Published values of a metric that are shown: the best, and those before and after the samples."""
MOST = 8
"""Published values under other protocols that are shown."""
COLUMNS = (Column("value"), Column("source"))


class Neighbor(NamedTuple):
    """A published value.

    Args:
        half: half its 95 % interval, or its published error; None if it is not known.
        source: the suite with its number of seeds, or the paper with its grade.
        same: whether the protocol is that of the samples.
    """

    label: str
    mean: float
    half: float | None
    source: str
    protocol: str
    same: bool


def place_among_published(
    rows: Sequence[Mapping[str, Any]],
    halves: Mapping[str, float],
    data: Mapping[str, Any],
    suites: Iterable[SuiteResults],
    claims: Iterable[Claim],
    title: str = "These samples",
) -> list[Table]:
    """Return a table of the samples among published values of the same protocol, and one of all others.

    Args:
        rows: values of the samples, as in a record; counts and metrics without a value are left out.
        halves: half the 95 % interval of each value.
        data: the data set they were compared with, as in a spec.
        title: title of the first table.
    """
    suites, claims = list(suites), list(claims)
    first: list[Row] = []
    second: list[Row] = []
    legend, how, alone = [], {}, []
    for row in rows:
        if row["value"] is None or row["metric"] in COUNTS:
            continue
        neighbors = sorted([*_of_suites(row, data, suites), *_of_papers(row, data, claims)], key=lambda item: item.mean)
        neighbors = [
            same[0] for same in group_by(neighbors, lambda item: item._replace(source="")).values()
        ]  # in two suites
        if row["better"] == "higher":
            neighbors.reverse()
        same = [item for item in neighbors if item.same]
        others = [item for item in neighbors if not item.same]
        stated = "" if "n=" in row["protocol"] else f", n={row['n']}"
        head = Row(heading(Column(row["metric"], row["better"])), (Cell(), Cell()))
        first += [head, *_listed(row, halves.get(row["metric"]), same)]
        legend.append(f"{row['metric']}: {row['protocol']}{stated}.")
        alone += [row["metric"]] if not same else []
        if others:
            second += [head, *map(_published, others[:MOST])]
            second += [Row(f"  ... {len(others) - MOST} more", (Cell(), Cell()))] if len(others) > MOST else []
            how |= {f"{item.source}: {item.protocol}.": None for item in others[:MOST]}
    legend.append("±: half the 95 % interval: of samples by random halves, of suites over seeds, of papers as stated.")
    if without := [row["metric"] for row in rows if row["metric"] not in halves and row["metric"] not in COUNTS]:
        legend.append(f"Without an interval, since they need all samples at once: {', '.join(without)}.")
    if alone:
        legend.append(f"No published value has this protocol: {', '.join(alone)}.")
    tables = [Table(title, COLUMNS, tuple(first), tuple(legend), head="metric, method")]
    if second:
        apart = "Under other protocols: not to be compared with these samples"
        tables.append(Table(apart, COLUMNS, tuple(second), tuple(how)[:MOST], head="metric, method"))
    return tables


def _of_suites(row: Mapping[str, Any], data: Mapping[str, Any], suites: Iterable[SuiteResults]) -> Iterator[Neighbor]:
    for suite in suites:
        specs = {run.record["labels"]["run"]: run.record["spec"]["data"] for run in suite.runs}
        values = [
            value
            for value in suite.values
            if value.metric == row["metric"]
            and value.value is not None
            and value.point != "training"
            and specs[value.run]["name"] == data["name"]
        ]
        alike = group_by(values, lambda v: (v.model, v.data, v.protocol, v.n, v.nfe if v.point == "curve" else None))
        for (model, label, protocol, n, nfe), of_method in alike.items():
            mean, half = mean_and_half([v.value for v in of_method if v.value is not None])
            same = (protocol, n, dict(specs[of_method[0].run])) == (row["protocol"], row["n"], dict(data))
            name = model if nfe is None else f"{model}, {nfe:g} evaluations"
            seeds = f"suite {suite.name}, {len(of_method)} seed{'' if len(of_method) == 1 else 's'}"
            how = f"{protocol}; {label}"
            yield Neighbor(name, mean, half, seeds, how, same)


def _of_papers(row: Mapping[str, Any], data: Mapping[str, Any], claims: Iterable[Claim]) -> Iterator[Neighbor]:
    for claim in claims:
        if claim.metric == row["metric"] and claim.data.partition(" ")[0] == data["name"]:
            same = f"{row['n']:,} samples" in claim.protocol
            source = f"{claim.paper} (grade {claim.grade})"
            yield Neighbor(claim.label, claim.value, claim.spread, source, claim.protocol, same)


def _listed(row: Mapping[str, Any], half: float | None, same: Sequence[Neighbor]) -> Iterator[Row]:
    """Yield the floor, then the samples among published values: the best of these and the nearest."""
    if row.get("floor") is not None:
        yield _row("floor: real data", row["floor"], None, "", floor=True)
    sign = -1 if row["better"] == "higher" else 1
    ahead = sum(sign * item.mean < sign * row["value"] for item in same)
    samples = _row("these samples", row["value"], half, "")
    shown = {*range(BEST), *range(ahead - NEAR, ahead + NEAR)}
    left = 0
    for index, listed in enumerate([*map(_published, same[:ahead]), samples, *map(_published, same[ahead:])]):
        if listed is not samples and index - (index > ahead) not in shown:
            left += 1
            continue
        if left:
            yield Row(f"  ... {left} more", (Cell(), Cell()))
        left = 0
        yield listed
    if left:
        yield Row(f"  ... {left} more", (Cell(), Cell()))


def _published(item: Neighbor) -> Row:
    return _row(item.label, item.mean, item.half, item.source)


def _row(label: str, value: float, half: float | None, source: str, *, floor: bool = False) -> Row:
    return Row(f"  {label}", (Cell(text=format_mean(value, half)), Cell(text=source)), floor)
