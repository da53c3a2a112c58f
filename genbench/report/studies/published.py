"""Published against measured: what papers state, what our suites read, and whether the two agree.

Claims are data (published.toml beside this module), with tolerances that were written before anything was run.
Measured are the records that a suite has published in a results folder; there is no verdict on anything else.
"""

import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from genbench.errors import ConfigError
from genbench.report.compare import load
from genbench.report.statistics import half_width, mean_and_error
from genbench.report.suites import RECORDS, published_file
from genbench.report.table import Cell, Column, Row, Table
from genbench.runs.record import Record
from genbench.settings import NonNegative

CLAIMS = Path(__file__).with_name("published.toml")

Verdict = Literal["agrees", "differs", "inconclusive", "not comparable", "not measured"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One published number.

    Args:
        paper: authors, year, table.
        url: where it is.
        grade: A, read in the paper or its code; B, quoted by its reviews; C, one secondary source.
        metric: what it is a value of.
        protocol: how it was measured, in words.
        difference: what we do otherwise, in words.
        called: the method and the data, as the paper calls them.
        value: the number.
        spread: the published error; None where there is none.
        suite: name of the suite that measures it; empty where none does.
        model: row of its tables.
        data: data set of its tables.
        nfe: point of the curve against evaluations; None for the main solver.
        absolute: tolerance.
        relative: tolerance as a share of the value.
        incomparable: why no verdict would mean anything; empty where one does.
    """

    paper: str
    url: str
    grade: Literal["A", "B", "C"]
    metric: str
    protocol: str
    difference: str
    called: str
    value: float
    spread: NonNegative | None = None
    suite: str = ""
    model: str = ""
    data: str = ""
    nfe: float | None = None
    absolute: NonNegative = 0.0
    relative: NonNegative = 0.0
    incomparable: str = ""

    @property
    def tolerance(self) -> float:
        """How far a measured mean may be off, apart from what chance explains."""
        return self.absolute + self.relative * abs(self.value)


@dataclass(frozen=True)
class Finding:
    """A claim and what was measured of it.

    Args:
        claim: what is published.
        values: measured values by seed, of our suite; none if it was not run.
        protocol: how they were measured.
    """

    claim: Claim
    values: tuple[tuple[int, float], ...] = ()
    protocol: str = ""

    @property
    def chance(self) -> float:
        """Half the interval of our mean; a single seed is granted none."""
        return half_width(mean_and_error(value for _, value in self.values)[1], len(self.values)) or 0.0

    @property
    def allowance(self) -> float:
        """The largest difference that still agrees: tolerance, half the interval of our mean, published spread."""
        return self.claim.tolerance + self.chance + (self.claim.spread or 0.0)

    @property
    def verdict(self) -> Verdict:
        """Whether both agree; inconclusive where they do, but only chance could tell."""
        if self.claim.incomparable:
            return "not comparable"
        if not self.values:
            return "not measured"
        mean, _ = mean_and_error(value for _, value in self.values)
        if abs(mean - self.claim.value) > self.allowance:
            return "differs"
        return "agrees" if self.chance <= self.claim.tolerance and len(self.values) > 1 else "inconclusive"


def claims(path: Path = CLAIMS) -> list[Claim]:
    """Read published numbers.

    Raises:
        ConfigError: if one lacks a grade or a source, or has neither a tolerance nor a reason why there is none.
    """
    try:
        groups = tomllib.loads(path.read_text(encoding="utf-8"))["claims"]
        return [_claim(group, value) for group in groups for value in group["values"]]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValidationError, ValueError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise ConfigError(f"{path} holds no published numbers: {reason}") from error


def _claim(group: dict[str, Any], value: dict[str, Any]) -> Claim:
    shared = {key: part for key, part in group.items() if key not in ("values", "tolerance")}
    claim = TypeAdapter(Claim).validate_python(shared | group.get("tolerance", {}) | value)
    if bool(claim.incomparable) == bool(claim.tolerance):
        raise ValueError(f"{claim.called}: give it either a tolerance or the reason why it is incomparable")
    if claim.tolerance and not (claim.suite and claim.model and claim.data):
        raise ValueError(f"{claim.called}: say which suite, model and data measure it")
    return claim


def findings(known: Iterable[Claim], results: Path) -> list[Finding]:
    """Set what the suites in a results folder have published beside each claim."""
    kept: dict[str, list[Record]] = {"": []}
    found = []
    for claim in known:
        if claim.suite not in kept:
            path = published_file(results, claim.suite, RECORDS)
            kept[claim.suite] = load(path) if path.exists() else []
        found.append(measured(claim, kept[claim.suite]))
    return found


def measured(claim: Claim, records: Sequence[Record]) -> Finding:
    """Look for a claim in the records of its suite.

    Raises:
        ConfigError: if the suite measured it in two ways, or twice.
    """
    values, protocols = {}, set()
    for record in records:
        if (record["labels"]["model"], record["labels"]["data"]) != (claim.model, claim.data):
            continue
        for row in record["results"]:
            there = ("main", None) if claim.nfe is None else ("curve", claim.nfe)
            here = (row["point"], row["nfe"] if row["point"] == "curve" else None)
            if row["metric"] == claim.metric and here == there and row["value"] is not None:
                if record["spec"]["seed"] in values:
                    raise ConfigError(f"{claim.suite} measured {claim.metric} of {claim.model} twice for one seed")
                values[record["spec"]["seed"]] = row["value"]
                protocols.add(row["protocol"])
    if len(protocols) > 1:
        raise ConfigError(f"{claim.suite} measured {claim.metric} of {claim.model} in two ways: {sorted(protocols)}")
    return Finding(claim, tuple(sorted(values.items())), "".join(protocols))


def tables(results: Path, path: Path = CLAIMS) -> list[Table]:
    """Return published numbers beside measured ones: one table a paper, metric and protocol."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings(claims(path), results):
        claim = finding.claim
        groups.setdefault((claim.paper, claim.metric, claim.protocol), []).append(finding)
    return [_table(group) for group in groups.values()]


def counted(results: Path, path: Path = CLAIMS) -> str:
    """Say in a sentence how many agree.

    >>> counted(Path("nowhere"))  # doctest: +ELLIPSIS
    'Of ... published numbers, ... may be compared: 0 agree, 0 differ, ... are not measured here.'
    """
    verdicts = [finding.verdict for finding in findings(claims(path), results)]
    count = Counter(verdicts)
    open_ = f"{count['inconclusive']} are inconclusive, " if count["inconclusive"] else ""
    return (
        f"Of {len(verdicts)} published numbers, {len(verdicts) - count['not comparable']} may be compared: "
        f"{count['agrees']} agree, {count['differs']} differ, {open_}{count['not measured']} are not measured here."
    )


def _table(group: Sequence[Finding]) -> Table:
    first = group[0].claim
    columns = ("published", "grade", "measured", "tolerance", "allowed", "verdict")
    rows = []
    for finding in group:
        claim, values = finding.claim, finding.values
        mean, error = mean_and_error(value for _, value in values) if values else (None, None)
        told = "" if claim.incomparable else f"{claim.tolerance:.2g}"
        allowed = f"{finding.allowance:.2g}" if told and values else ""
        rows.append(
            Row(
                claim.called,
                (
                    Cell(text=f"{claim.value:g}" + (f" ± {claim.spread:g}" if claim.spread else "")),
                    Cell(text=claim.grade),
                    Cell(mean, error, len(values), "" if values else "-", values=values),
                    Cell(text=told),
                    Cell(text=allowed),
                    Cell(text=finding.verdict),
                ),
            )
        )
    legend = [f"Source: {first.paper}, {first.url}.", f"Published: {first.protocol}."]
    legend.append(f"Ours: {first.difference}.")
    legend += [f"Measured: {protocol}." for protocol in dict.fromkeys(f.protocol for f in group if f.protocol)]
    legend += [f"Not comparable: {why}." for why in dict.fromkeys(f.claim.incomparable for f in group) if why]
    suites = sorted({f.claim.suite for f in group if f.verdict == "not measured"})
    legend += [f"Not measured: the suite '{suite}' has not, or not wholly, been run here." for suite in suites]
    seeds = sorted({len(f.values) for f in group if f.values})
    legend += [f"Measured: mean ± standard error over {' or '.join(map(str, seeds))} seeds."] if seeds else []
    if any(not finding.claim.incomparable for finding in group):
        legend.append(
            "Agrees: the difference is at most what is allowed: the tolerance, written before the run, and half the "
            "95 % interval of our mean, and the published spread, together. Inconclusive: it is, but half our interval "
            "is more than the tolerance."
        )
    title = f"Published against measured: {first.paper}, {first.metric}"
    return Table(title, tuple(Column(name) for name in columns), tuple(rows), tuple(legend))
