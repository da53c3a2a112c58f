"""Tables of published differences compared with chance, and of the seeds and samples that a study needs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from genbench.analysis.claims import Audit, Cost, Number, Option, Published, Spread
from genbench.analysis.means import LEVEL
from genbench.analysis.significance import MOST_PAIRS, POWER
from genbench.analysis.values import group_by
from genbench.report.blocks import Column, Row, Table, text_row

SETTLED = f"{100 * POWER:g} % power at {100 * LEVEL:g} %"
READING = (
    "Each pair is judged alone. Resolved: the difference is significant at "
    f"{100 * LEVEL:g} % even at the highest spread. Inconclusive: the table says how many seeds of each method would "
    f"settle the question with {SETTLED}, at the usual spread and, in parentheses, at the lowest and highest. Unknown "
    "spread: no source says how much the value varies. Errors are standard errors of the difference. A spread measured "
    "elsewhere is an assumption, and the two set-ups may differ in more than the method."
)


def claims_tables(audits: Sequence[Audit], published: Published) -> Iterator[Table]:
    """Yield a table for each study with pairs, then a table of the spreads that these studies assume."""
    columns = tuple(map(Column, ("against", "difference", "verdict", "error: training", "evaluation")))
    for study, own in group_by(audits, lambda audit: audit.study).items():
        seeds = (
            f"{study.seeds} training runs per value"
            if study.seeds > 1
            else "One training run per value, as far as the source says"
        )
        spread = (
            f"spread: {study.spread} (see the table of spreads)" if study.spread else study.note or "no spread is known"
        )
        legend = [f"{study.url}, grade {study.grade}. {study.protocol}.", f"{seeds}; {spread}."]
        legend += [f"{study.note}."] if study.spread and study.note else []
        yield Table(f"{study.paper}: {study.metric}", columns, tuple(map(_row, own)), tuple(legend), head="value")
    named = {audit.study.spread: published.spreads[audit.study.spread] for audit in audits if audit.study.spread}
    if named:
        rows = [text_row(name, *_deviations(spread), f"{spread.samples:,}") for name, spread in named.items()]
        legend = [f"{name}: {spread.source}, grade {spread.grade}; {spread.note}." for name, spread in named.items()]
        columns = tuple(map(Column, ("over training runs, %", "over evaluations, %", "samples")))
        yield Table("Spreads, as shares of a value", columns, tuple(rows), tuple(legend), head="spread")


def _row(audit: Audit) -> Row:
    errors = ("" if not error else f"{error:.2g}" for error in (audit.training, audit.evaluation))
    texts = (_number(audit.other), f"{audit.difference:.3g}", verdict_text(audit), *errors)
    return text_row(_number(audit.one), *texts)


def _number(number: Number) -> str:
    return f"{number.label}: {number.value:g}"


def verdict_text(audit: Audit) -> str:
    """Return the verdict in words."""
    if audit.verdict != "inconclusive" or audit.seeds is None:
        return audit.verdict
    return f"inconclusive, needs {seeds_text(audit.seeds)} seeds"


def seeds_text(seeds: Sequence[int | None]) -> str:
    """Write a number of seeds, with its range if there is one: usual, lowest, highest.

    >>> seeds_text((9, 4, None)), seeds_text((5, 5, 5))
    ('9 (4 to >100,000)', '5')
    """
    usual, low, high = (f">{MOST_PAIRS:,}" if number is None else f"{number:,}" for number in seeds)
    return usual if low == high else f"{usual} ({low} to {high})"


def summary(audits: Sequence[Audit]) -> str:
    """Return the number of pairs of each verdict, in a sentence."""
    counts = Counter(audit.verdict for audit in audits)
    return f"{len(audits)} published differences: " + ", ".join(
        f"{counts[verdict]} {words}"
        for verdict, words in (
            ("resolved", "resolved"), ("inconclusive", "inconclusive"), ("unknown spread", "with unknown spread")
        )
    ) + "."  # fmt: skip


def plan_table(title: str, found: Sequence[Option], spread: Spread, costs: Mapping[str, Cost]) -> Table:
    """Return the seeds and hours that a study needs, one row for each number of samples."""
    columns = [Column("seeds of each method"), *(Column(f"{name}: hours of {c.device}") for name, c in costs.items())]
    rows = []
    for option in found:
        hours = (option.hours.get(name, ()) for name in costs)
        texts = ("-".join(dict.fromkeys(f"{each:.3g}" for each in ends)) for ends in hours)
        rows.append(text_row(f"{option.samples:,}", seeds_text(option.seeds), *texts))
    training, evaluation = _deviations(spread)
    legend = [f"{SETTLED}, paired t test over seeds."]
    legend.append(
        f"Spread, usual (lowest to highest): {training} % over training runs, {evaluation} % over evaluations "
        f"with {spread.samples:,} samples; {spread.source}, grade {spread.grade}; {spread.note}."
    )
    legend += [f"Hours, for both methods together: {cost.source}." for cost in costs.values()]
    return Table(title, tuple(columns), tuple(rows), tuple(legend), head="samples")


def _deviations(spread: Spread) -> tuple[str, str]:
    """Return the standard deviations of a spread in percent: usual, lowest and highest."""
    training, evaluation = (
        f"{100 * usual:.2g} ({100 * low:.2g} to {100 * high:.2g})" if usual else "0"
        for low, usual, high in (spread.training, spread.evaluation)
    )
    return training, evaluation
