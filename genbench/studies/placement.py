"""Placement of samples: their values beside published ones, those of the same protocol apart from all others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from genbench.analysis.means import format_mean, mean_and_half
from genbench.analysis.suite_results import SuiteResults
from genbench.analysis.values import group_by
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.report.formats.cells import heading
from genbench.report.tables import COUNTS
from genbench.results.frames import protocol
from genbench.runs.record import without_folder
from genbench.runs.record_types import Record
from genbench.runs.spec import build_data
from genbench.studies.published import Claim

BEST, NEAR = 4, 2
"""Published values of a metric that are shown: the best, and those before and after the samples."""
MAX_SHOWN = 8
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
        rows: values of the samples, as in a record; counts are left out.
        halves: half the 95 % interval of each value.
        data: the data set they were compared with, as in a spec.
        title: title of the first table.
    """
    suites, claims = list(suites), list(claims)
    rows = [row for row in rows if row["metric"] not in COUNTS]
    placed = [(row, _neighbors(row, data, suites, claims)) for row in rows if row["value"] is not None]
    missing = [row for row in rows if row["value"] is None]
    return [_comparable(placed, missing, halves, title), *_not_comparable(placed)]


def _neighbors(
    row: Mapping[str, Any], data: Mapping[str, Any], suites: Sequence[SuiteResults], claims: Sequence[Claim]
) -> list[Neighbor]:
    """Return the published values of a metric, the best first; a value of two suites counts once."""
    neighbors = [*_of_suites(row, data, suites), *_of_papers(row, data, claims)]
    neighbors.sort(key=lambda item: item.mean, reverse=row["better"] == "higher")
    return [same[0] for same in group_by(neighbors, lambda item: item._replace(source="")).values()]


Placed = Sequence[tuple[Mapping[str, Any], Sequence[Neighbor]]]
"""Values of the samples, each with the published ones of its metric."""


def _comparable(placed: Placed, missing: Sequence[Mapping[str, Any]], halves: Mapping[str, float], title: str) -> Table:
    """Return the table of values under the protocols of the samples, with a dash for the metrics without a value."""
    lines: list[Row] = []
    legend, alone = [], []
    for row, neighbors in placed:
        same = [item for item in neighbors if item.same]
        lines += [_head(row), *_listed(row, halves.get(row["metric"]), same)]
        stated = "" if "n=" in row["protocol"] else f", n={row['n']}"
        legend.append(f"{row['metric']}: {row['protocol']}{stated}.")
        alone += [row["metric"]] if not same else []
    lines += [Row(row["metric"], (Cell(text="-"), Cell())) for row in missing]
    legend += [f"{row['metric']}: {row['reason']}" for row in missing]
    how = "of samples by random halves, of suites over seeds, of papers as stated"
    legend += [f"±: half the 95 % interval: {how}."] if placed else []
    if without := [row["metric"] for row, _ in placed if row["metric"] not in halves]:
        legend.append(f"Without an interval, since they need all samples at once: {', '.join(without)}.")
    if alone:
        legend.append(f"No published value has this protocol: {', '.join(alone)}.")
    return Table(title, COLUMNS, tuple(lines), tuple(legend), head="metric, method")


def _not_comparable(placed: Placed) -> Iterator[Table]:
    """Yield the table of values under other protocols, if there are any."""
    lines: list[Row] = []
    protocols: dict[str, None] = {}
    for row, neighbors in placed:
        others = [item for item in neighbors if not item.same]
        if others:
            lines += [_head(row), *map(_published, others[:MAX_SHOWN])]
            lines += [Row(f"  ... {len(others) - MAX_SHOWN} more", (Cell(), Cell()))] if len(others) > MAX_SHOWN else []
            protocols |= {f"{item.source}: {item.protocol}.": None for item in others[:MAX_SHOWN]}
    if lines:
        title = "Under other protocols: not to be compared with these samples"
        yield Table(title, COLUMNS, tuple(lines), tuple(protocols)[:MAX_SHOWN], head="metric, method")


def _head(row: Mapping[str, Any]) -> Row:
    """Return the line above the values of a metric."""
    return Row(heading(Column(row["metric"], row["better"])), (Cell(), Cell()))


def _of_suites(row: Mapping[str, Any], data: Mapping[str, Any], suites: Iterable[SuiteResults]) -> Iterator[Neighbor]:
    for suite in suites:
        records = {run.record["labels"]["run"]: run.record for run in suite.runs}
        values = [
            value
            for value in suite.values
            if value.metric == row["metric"]
            and value.value is not None
            and value.point != "training"
            and records[value.run]["spec"]["data"]["name"] == data["name"]
        ]
        alike = group_by(values, lambda v: (v.model, v.data, v.protocol, v.n, v.nfe if v.point == "curve" else None))
        for (model, label, stated, n, nfe), of_method in alike.items():
            mean, half = mean_and_half([v.value for v in of_method if v.value is not None])
            same = (stated, n) == (protocol(row), row["n"]) and _is_of(records[of_method[0].run], data)
            name = model if nfe is None else f"{model}, {nfe:g} evaluations"
            seeds = f"suite {suite.name}, {len(of_method)} seed{'' if len(of_method) == 1 else 's'}"
            how = f"{stated}; {label}"
            yield Neighbor(name, mean, half, seeds, how, same)


def _is_of(record: Record, data: Mapping[str, Any]) -> bool:
    """Whether a record is of this data set: a path of that name, and of that content where the record states it."""
    if without_folder(record["spec"]["data"]) != without_folder(data):
        return False
    content = record["provenance"]["data"].get("sha256")
    return not data.get("path") or content in (None, build_data(data).provenance["sha256"])


def _of_papers(row: Mapping[str, Any], data: Mapping[str, Any], claims: Iterable[Claim]) -> Iterator[Neighbor]:
    for claim in claims:
        if claim.metric == row["metric"] and claim.data.partition(" ")[0] == data["name"]:
            same = claim.ours == row["protocol"] and not data.get("path")  # a path may hold other images
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
