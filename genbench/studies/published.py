"""Published numbers beside measured ones, and whether they agree.

Published numbers are data (published.toml beside this module) with tolerances that were fixed before anything was run.
They are compared with the published records of a suite in a results folder, and with nothing else.
"""

import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

from genbench.analysis.means import mean_and_half
from genbench.analysis.values import group_by
from genbench.errors import ConfigError
from genbench.report.blocks import Cell, Column, Row, Table
from genbench.results.reader import RECORDS
from genbench.runs.record import read_published
from genbench.runs.record_types import Record
from genbench.settings import NonNegative
from genbench.validation import explain

CLAIMS = Path(__file__).with_name("published.toml")

Verdict = Literal["agrees", "differs", "inconclusive", "not comparable", "not measured"]


class Claim(BaseModel):
    """A published number.

    Args:
        paper: authors, year, table.
        grade: A, read in the paper or its code; B, quoted by its reviews; C, a single secondary source.
        protocol: how it was measured.
        difference: what is different in our measurement.
        ours: the protocol under which our metric measures what the paper did, whatever the method; empty if none does.
        label: the method and the data, as the paper calls them.
        spread: the published error, if any.
        suite: the suite that measures it, if any.
        model: label of the model in the tables of the suite.
        nfe: point of the curve; None for the main solver.
        absolute: tolerance.
        relative: tolerance as a share of the value.
        incomparable: why the number is not comparable; empty if it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    paper: str
    url: str
    grade: Literal["A", "B", "C"]
    metric: str
    protocol: str
    difference: str
    ours: str = ""
    label: str
    value: float
    spread: NonNegative | None = None
    suite: str = ""
    model: str = ""
    data: str = ""
    nfe: float | None = None
    absolute: NonNegative = 0.0
    relative: NonNegative = 0.0
    incomparable: str = ""

    @model_validator(mode="after")
    def _judged(self) -> "Claim":
        if bool(self.incomparable) == bool(self.tolerance):
            raise ValueError(f"{self.label}: give it either a tolerance or the reason why it is incomparable")
        if self.tolerance and not (self.suite and self.model and self.data):
            raise ValueError(f"{self.label}: name the suite, the model and the data that measure it")
        return self

    @property
    def tolerance(self) -> float:
        """The allowed difference of a measured mean, apart from chance."""
        return self.absolute + self.relative * abs(self.value)


@dataclass(frozen=True)
class Finding:
    """A claim and its measurement.

    Args:
        values: (seed, measured value); empty if the suite was not run.
    """

    claim: Claim
    values: tuple[tuple[int, float], ...] = ()
    protocol: str = ""

    @property
    def half_interval(self) -> float:
        """Half the 95 % interval of the measured mean; 0 for a single seed."""
        return mean_and_half([value for _, value in self.values])[1] or 0.0

    @property
    def allowance(self) -> float:
        """The largest difference that agrees: tolerance, half the interval of the mean, and the published error."""
        return self.claim.tolerance + self.half_interval + (self.claim.spread or 0.0)

    @property
    def verdict(self) -> Verdict:
        """Whether both agree; inconclusive if they do, but the interval of the mean is wider than the tolerance."""
        if self.claim.incomparable:
            return "not comparable"
        if not self.values:
            return "not measured"
        mean, _ = mean_and_half([value for _, value in self.values])
        if abs(mean - self.claim.value) > self.allowance:
            return "differs"
        return "agrees" if self.half_interval <= self.claim.tolerance and len(self.values) > 1 else "inconclusive"


def read_claims(path: Path = CLAIMS) -> list[Claim]:
    """Read published numbers: groups with shared fields and a list of values.

    Raises:
        ConfigError: if one lacks a grade or a source, or has neither a tolerance nor a reason why it has none.
    """
    try:
        flat = []
        for group in tomllib.loads(path.read_text(encoding="utf-8"))["claims"]:
            shared = {key: part for key, part in group.items() if key not in ("values", "tolerance")}
            flat += [shared | group.get("tolerance", {}) | value for value in group["values"]]
        return TypeAdapter(list[Claim]).validate_python(flat)
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path} holds no published numbers: {explain(error)}") from error


def findings(claims: Iterable[Claim], results: Path) -> list[Finding]:
    """Compare claims with the published suites of a results folder."""
    records: dict[str, list[Record]] = {"": []}
    compared = []
    for claim in claims:
        if claim.suite not in records:
            path = results / claim.suite / RECORDS
            records[claim.suite] = read_published(path) if path.exists() else []
        compared.append(measured(claim, records[claim.suite]))
    return compared


def measured(claim: Claim, records: Sequence[Record]) -> Finding:
    """Return the measurement of a claim in the records of its suite.

    Raises:
        ConfigError: if the suite measured it twice, or under two protocols.
    """
    values, protocols = {}, set()
    for record in records:
        if (record["labels"]["model"], record["labels"]["data"]) != (claim.model, claim.data):
            continue
        for row in record["results"]:
            wanted = ("main", None) if claim.nfe is None else ("curve", claim.nfe)
            point = (row["point"], row["nfe"] if row["point"] == "curve" else None)
            if row["metric"] == claim.metric and point == wanted and row["value"] is not None:
                if record["spec"]["seed"] in values:
                    raise ConfigError(f"{claim.suite} measured {claim.metric} of {claim.model} twice for one seed")
                values[record["spec"]["seed"]] = row["value"]
                protocols.add(row["protocol"])
    if len(protocols) > 1:
        names = sorted(protocols)
        raise ConfigError(f"{claim.suite} measured {claim.metric} of {claim.model} under two protocols: {names}")
    return Finding(claim, tuple(sorted(values.items())), "".join(protocols))


def tables(compared: Sequence[Finding]) -> list[Table]:
    """Return published numbers beside measured ones: one table for each paper, metric and protocol."""
    groups = group_by(compared, lambda finding: (finding.claim.paper, finding.claim.metric, finding.claim.protocol))
    return [_table(group) for group in groups.values()]


def summary(compared: Sequence[Finding]) -> str:
    """Return a sentence on how many numbers agree.

    >>> summary(findings(read_claims(), Path("nowhere")))  # doctest: +ELLIPSIS
    'Of ... published numbers, ... are comparable: 0 agree, 0 differ, ... are not measured here.'
    """
    count = Counter(finding.verdict for finding in compared)
    inconclusive = f"{count['inconclusive']} are inconclusive, " if count["inconclusive"] else ""
    return (
        f"Of {len(compared)} published numbers, {len(compared) - count['not comparable']} are comparable: "
        f"{count['agrees']} agree, {count['differs']} differ, {inconclusive}{count['not measured']} are not measured "
        "here."
    )


def _table(group: Sequence[Finding]) -> Table:
    first = group[0].claim
    legend = [f"Source: {first.paper}, {first.url}.", f"Published: {first.protocol}."]
    legend.append(f"Ours: {first.difference}.")
    legend += [f"Measured: {protocol}." for protocol in dict.fromkeys(f.protocol for f in group if f.protocol)]
    legend += [f"Not comparable: {why}." for why in dict.fromkeys(f.claim.incomparable for f in group) if why]
    suites = sorted({f.claim.suite for f in group if f.verdict == "not measured"})
    legend += [f"Not measured: the suite '{suite}' has not been run here, or not completely." for suite in suites]
    seeds = sorted({len(f.values) for f in group if f.values})
    legend += [f"Measured: mean ± half its 95 % interval over {' or '.join(map(str, seeds))} seeds."] if seeds else []
    if any(not finding.claim.incomparable for finding in group):
        legend.append(
            "Agrees: the difference is at most what is allowed: the tolerance, fixed before the run, plus half the "
            "95 % interval of our mean, plus the published error. Inconclusive: it agrees, but half our interval is "
            "wider than the tolerance."
        )
    columns = ("published", "grade", "measured", "tolerance", "allowed", "verdict")
    title = f"Published vs. measured: {first.paper}, {first.metric}"
    return Table(title, tuple(Column(name) for name in columns), tuple(map(_row, group)), tuple(legend))


def _row(finding: Finding) -> Row:
    claim, values = finding.claim, finding.values
    mean, half = mean_and_half([value for _, value in values]) if values else (None, None)
    tolerance = "" if claim.incomparable else f"{claim.tolerance:.2g}"
    texts = [f"{claim.value:g}" + (f" ± {claim.spread:g}" if claim.spread else ""), claim.grade]
    texts += [tolerance, f"{finding.allowance:.2g}" if tolerance and values else "", finding.verdict]
    published, grade, *rest = (Cell(text=text) for text in texts)
    measurement = Cell(mean, half, len(values), "" if values else "-", values=values)
    return Row(claim.label, (published, grade, measurement, *rest))
