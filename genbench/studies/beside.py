"""Where samples stand: their values beside published ones, those of the same protocol apart from all others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from genbench.analysis.statistics import format_mean, mean_and_half
from genbench.analysis.suite_results import SuiteResults
from genbench.analysis.values import group_by
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.studies.published import Claim

MOST = 20
"""Rows of a table that are shown."""
COLUMNS = (Column("value"), Column("n"), Column("source"))


class Neighbor(NamedTuple):
    """A published value.

    Args:
        mean: the value, over seeds where there are several.
        half: half its 95 % interval, or its published error; None if it is not known.
        n: number of samples; None if it is not stated.
        source: the suite with its number of seeds, or the paper with its grade.
        protocol: how it was measured.
        same: whether the protocol is that of the samples.
    """

    label: str
    mean: float
    half: float | None
    n: float | None
    source: str
    protocol: str
    same: bool


def beside(
    rows: Sequence[Mapping[str, Any]],
    halves: Mapping[str, float],
    data: Mapping[str, Any],
    suites: Iterable[SuiteResults],
    claims: Iterable[Claim],
) -> list[Table]:
    """Return two tables for each measured metric: published values of the same protocol, and all others.

    Args:
        rows: of the samples, as in a record.
        halves: half the 95 % interval of each value.
        data: the data set they were compared with, as in a spec.
        suites: published suites.
        claims: numbers of papers.
    """
    suites, claims = list(suites), list(claims)
    tables = []
    for row in rows:
        if row["value"] is None:
            continue
        found = sorted([*_of_suites(row, data, suites), *_of_papers(row, data, claims)], key=lambda item: item.mean)
        if row["better"] == "higher":
            found.reverse()
        same = [item for item in found if item.same]
        others = [item for item in found if not item.same]
        tables.append(_table(row, halves.get(row["metric"]), same))
        if others:
            tables.append(_others(row, others))
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
        for (model, label, protocol, n, nfe), own in alike.items():
            mean, half = mean_and_half([v.value for v in own if v.value is not None])
            same = (protocol, n, dict(specs[own[0].run])) == (row["protocol"], row["n"], dict(data))
            name = model if nfe is None else f"{model}, {nfe:g} evaluations"
            seeds = f"suite {suite.name}, {len(own)} seed{'' if len(own) == 1 else 's'}"
            how = f"{protocol}; {label}"
            yield Neighbor(name, mean, half, n, seeds, how, same)


def _of_papers(row: Mapping[str, Any], data: Mapping[str, Any], claims: Iterable[Claim]) -> Iterator[Neighbor]:
    for claim in claims:
        if claim.metric == row["metric"] and claim.data.partition(" ")[0] == data["name"]:
            same = f"{row['n']:,} samples" in claim.protocol
            source = f"{claim.paper} (grade {claim.grade})"
            yield Neighbor(claim.label, claim.value, claim.spread, None, source, claim.protocol, same)


def _table(row: Mapping[str, Any], half: float | None, same: Sequence[Neighbor]) -> Table:
    arrow = {"lower": ", lower is better", "higher": ", higher is better"}.get(row["better"], "")
    rows = (
        [_row("floor: real data", row["floor"], None, row["n"], "", floor=True)] if row.get("floor") is not None else []
    )
    own = _row("these samples", row["value"], half, row["n"], "")
    sign = -1 if row["better"] == "higher" else 1
    ahead = [item for item in same if sign * item.mean < sign * row["value"]]
    listed = [_published(item) for item in same]
    listed.insert(len(ahead), own)
    legend = [f"Protocol: {row['protocol']}, n={row['n']}."]
    legend.append(
        "± half the 95 % interval: of these samples by random halves, of suites over seeds; of papers, as stated."
    )
    if half is None:
        legend.append("These samples have no interval: the metric needs all of them at once.")
    if not same:
        legend.append("No published value has this protocol.")
    return Table(f"{row['metric']}{arrow}", COLUMNS, tuple([*rows, *listed][: MOST + 1]), tuple(legend))


def _others(row: Mapping[str, Any], others: Sequence[Neighbor]) -> Table:
    how = tuple(f"{source}: {protocol}." for source, protocol in dict.fromkeys((o.source, o.protocol) for o in others))
    left = len(others) - MOST
    legend = (*how[:MOST], *([f"{left} more are not shown."] if left > 0 else []))
    title = f"{row['metric']} under other protocols: not to be compared with these samples"
    return Table(title, COLUMNS, tuple(map(_published, others[:MOST])), legend)


def _published(item: Neighbor) -> Row:
    return _row(item.label, item.mean, item.half, item.n, item.source)


def _row(label: str, value: float, half: float | None, n: float | None, source: str, *, floor: bool = False) -> Row:
    cells = format_mean(value, half), "" if n is None else f"{n:,g}", source
    return Row(label, tuple(Cell(text=text) for text in cells), floor)
