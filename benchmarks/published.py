"""Published numbers beside measured ones, and whether they agree.

    python -m benchmarks.published    # writes results/published.md

Published numbers are data (published.toml) with tolerances that were fixed before anything was run. They are compared
with the published records of the suites in a results folder.
"""

import argparse
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.tables import markdown
from genbench.analysis.means import format_mean, mean_and_half
from genbench.results.reader import RECORDS
from genbench.runs.record import Record, read_published

CLAIMS = Path(__file__).with_name("published.toml")

Verdict = Literal["agrees", "differs", "inconclusive", "not comparable", "not measured"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A published number.

    Args:
        paper: authors, year, table.
        grade: A, read in the paper or its code; B, quoted by its reviews; C, a single secondary source.
        protocol: how it was measured.
        difference: what is different in our measurement.
        label: the method and the data, as the paper calls them.
        spread: the published error, if any.
        suite: the suite that measures it, if any.
        model: label of the model in the tables of the suite.
        nfe: point of the curve; None for the main solver.
        absolute: tolerance.
        relative: tolerance as a share of the value.
        incomparable: why the number is not comparable; empty if it is.
    """

    paper: str
    url: str
    grade: Literal["A", "B", "C"]
    metric: str
    protocol: str
    difference: str
    label: str
    value: float
    spread: float = 0.0
    suite: str = ""
    model: str = ""
    data: str = ""
    nfe: float | None = None
    absolute: float = 0.0
    relative: float = 0.0
    incomparable: str = ""

    def __post_init__(self) -> None:
        if self.grade not in ("A", "B", "C"):
            raise ValueError(f"{self.label}: its grade is A, B or C, not {self.grade}")
        if bool(self.incomparable) == bool(self.tolerance):
            raise ValueError(f"{self.label}: give it either a tolerance or the reason why it is incomparable")
        if self.tolerance and not (self.suite and self.model and self.data):
            raise ValueError(f"{self.label}: name the suite, the model and the data that measure it")

    @property
    def tolerance(self) -> float:
        """The allowed difference of a measured mean, apart from chance."""
        return self.absolute + self.relative * abs(self.value)


@dataclass(frozen=True)
class Finding:
    """A claim and its measurement: the values of all seeds (none if the suite was not run), and their protocol."""

    claim: Claim
    values: tuple[float, ...] = ()
    protocol: str = ""

    @property
    def half_interval(self) -> float:
        """Half the 95 % interval of the measured mean; 0 for a single seed."""
        return mean_and_half(self.values)[1] or 0.0

    @property
    def allowance(self) -> float:
        """The largest difference that agrees: tolerance, half the interval of the mean, and the published error."""
        return self.claim.tolerance + self.half_interval + self.claim.spread

    @property
    def verdict(self) -> Verdict:
        """Whether both agree; inconclusive if they do, but the interval of the mean is wider than the tolerance."""
        if self.claim.incomparable:
            return "not comparable"
        if not self.values:
            return "not measured"
        if abs(mean_and_half(self.values)[0] - self.claim.value) > self.allowance:
            return "differs"
        return "agrees" if self.half_interval <= self.claim.tolerance and len(self.values) > 1 else "inconclusive"


def read_claims(path: Path = CLAIMS) -> list[Claim]:
    """Read published numbers: groups with shared fields and a list of values."""
    claims = []
    for group in tomllib.loads(path.read_text(encoding="utf-8"))["claims"]:
        shared = {key: part for key, part in group.items() if key not in ("values", "tolerance")}
        claims += [Claim(**shared | group.get("tolerance", {}) | value) for value in group["values"]]
    return claims


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


def measured(claim: Claim, records: Sequence[Any]) -> Finding:
    """Return the measurement of a claim in the records of its suite."""
    point = ("main", None) if claim.nfe is None else ("curve", claim.nfe)
    rows = [
        (record["spec"]["seed"], row)
        for record in records
        if (record["labels"]["model"], record["labels"]["data"]) == (claim.model, claim.data)
        for row in record["results"]
        if row["metric"] == claim.metric and row["value"] is not None
        if (row["point"], row["nfe"] if row["point"] == "curve" else None) == point
    ]
    protocols = {row["protocol"] for _, row in rows}
    if len(protocols) > 1 or len({seed for seed, _ in rows}) < len(rows):
        raise ValueError(f"{claim.suite} measured {claim.metric} of {claim.model} twice, or under two protocols")
    return Finding(claim, tuple(row["value"] for _, row in rows), "".join(protocols))


def page(compared: Sequence[Finding]) -> str:
    """Return all findings: a summary, and a table for each paper, metric and protocol."""
    count = Counter(finding.verdict for finding in compared)
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in compared:
        claim = finding.claim
        groups.setdefault((claim.paper, claim.metric, claim.protocol), []).append(finding)
    head = (
        "# Published vs. measured\n\nMade by `python -m benchmarks.published`.\n\n"
        f"{len(compared) - count['not comparable']} of {len(compared)} published numbers are comparable: "
        f"{count['agrees']} agree, {count['differs']} differ, {count['inconclusive']} are inconclusive, "
        f"{count['not measured']} are not measured here.\n\n"
        "They agree if they differ by at most what is allowed: the tolerance, fixed before the run, plus half the 95 % "
        "interval of our mean, plus the published error. An agreement is inconclusive if half our interval is wider "
        "than the tolerance. Grades: A, read in the paper or its code; B, quoted by its reviews; C, a single secondary "
        "source.\n"
    )
    return "\n".join([head, *("\n".join(_section(group)) for group in groups.values())])


def _section(group: Sequence[Finding]) -> Iterator[str]:
    first = group[0].claim
    yield f"## {first.paper}, {first.metric}\n"
    columns = ("method", "published", "grade", "measured", "seeds", "tolerance", "allowed", "verdict")
    yield markdown(columns, map(_row, group))
    yield f"- Source: {first.url}."
    yield f"- Published: {first.protocol}."
    yield f"- Ours: {first.difference}."
    yield from (f"- Measured: {protocol}." for protocol in dict.fromkeys(f.protocol for f in group if f.protocol))
    yield from (f"- Not comparable: {why}." for why in dict.fromkeys(f.claim.incomparable for f in group) if why)
    yield ""


def _row(finding: Finding) -> Sequence[object]:
    claim, values = finding.claim, finding.values
    published = f"{claim.value:g}" + (f" ± {claim.spread:g}" if claim.spread else "")
    found = format_mean(*mean_and_half(values)) if values else "-"
    tolerance = "" if claim.incomparable else f"{claim.tolerance:.2g}"
    allowed = f"{finding.allowance:.2g}" if tolerance and values else ""
    return claim.label, published, claim.grade, found, len(values) or "", tolerance, allowed, finding.verdict


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    folder = parser.parse_args().results
    (folder / "published.md").write_text(page(findings(read_claims(), folder)), encoding="utf-8")
