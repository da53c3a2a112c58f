"""Cells of a track: a model on a task has a value for every seed of the budget, or a word that says what it lacks.

Seconds of training, measured alone, come from a file beside the track.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genbench.analysis.labels import counted
from genbench.analysis.variance_components import evaluation_error
from genbench.errors import ConfigError
from genbench.results.frames import doubtful_density, is_unsupported, protocols
from genbench.runs.record_types import Record
from genbench.validation import explain

Key = TypeVar("Key")
"""What identifies a run of a model, such as its seed."""


class Cell(NamedTuple):
    """A model on a task.

    Args:
        values: {seed: headline metric}.
        word: what a comparison lacks, such as "missing", "failed 2 of 10" or "unsupported"; empty if nothing.
        reason: reason for the word, if known.
        stated: settings chosen for the model on this task, in words.
        errors: standard errors of the evaluations.
        nfe: NFE of the samples.
    """

    values: Mapping[int, float]
    word: str
    reason: str = ""
    stated: str = ""
    errors: tuple[float, ...] = ()
    nfe: tuple[float, ...] = ()


def row_of(record: Record, metric: str, nfe: int | None) -> dict[str, Any]:
    """Return the row of a metric in a regime, with its whole protocol, or {"word": why there is none}.

    A model with a fixed NFE stands in every regime that allows this NFE. A value that is not about samples has no NFE.
    """
    stated = zip(record["results"], protocols(record), strict=True)
    rows: list[dict[str, Any]] = [{**row, "protocol": text} for row, text in stated if row["metric"] == metric]
    if (main := next((row for row in rows if row["point"] == "main"), None)) is None:
        return {"word": "not measured"}
    curve = {row["nfe"]: row for row in rows if row["point"] == "curve"}
    if nfe is None or main["value"] is None:
        return main
    if curve or main["nfe"] is None:
        return curve.get(float(nfe), {"word": "not measured"})
    return main if main["nfe"] <= nfe else {"word": f"takes {main['nfe']:.0f} NFE"}


def by_one_protocol(rows: Mapping[str, Mapping[Key, dict[str, Any]]]) -> dict[str, dict[Key, dict[str, Any]]]:
    """Return rows by model and run, with a word for each value that was not measured by the commonest protocol.

    Likelihoods of noisy data (of a flow that is trained with noise) and of clean data are not comparable. Nor are
    impossible likelihoods, and values of another version of the metric.
    """
    measured = [row for own in rows.values() for row in own.values() if row.get("value") is not None]
    counts = Counter(row.get("protocol") for row in measured if not doubtful_density(row))
    commonest = max(counts, key=counts.__getitem__, default=None)

    def alike(row: dict[str, Any]) -> dict[str, Any]:
        if row.get("value") is None or row.get("protocol") == commonest:
            return row
        return {"word": "impossible" if doubtful_density(row) else "other protocol", "reason": row.get("protocol")}

    return {model: {run: alike(row) for run, row in own.items()} for model, own in rows.items()}


def cell_of(
    rows: Mapping[int, Mapping[str, Any]], seeds: Sequence[int], failed: Mapping[int, str], stated: str
) -> Cell:
    """Return the cell of a model on a task.

    Args:
        rows: {seed: result of `row_of`}.
        seeds: of the budget.
        failed: {seed: reason} of failed runs.
    """
    found = {seed: rows[seed] for seed in seeds if seed in rows}
    values = {seed: float(row["value"]) for seed, row in found.items() if row.get("value") is not None}
    without = [row for row in found.values() if row.get("value") is None]
    errors = tuple(error for row in found.values() if (error := evaluation_error(row)) is not None)
    lost = [row.get("reason", "") for row in without if not is_unsupported(row)]
    lost += [failed[seed] for seed in seeds if seed in failed and seed not in found]
    absent = len(seeds) - len(values) - len(lost)
    if lost:
        missing = sum(seed not in found and seed not in failed for seed in seeds)
        more = f", missing {missing}" if missing else ""
        return Cell(values, f"failed {len(lost)}{more} of {len(seeds)}", lost[0], stated)
    whys = [(row.get("word", "unsupported"), row.get("reason", "")) for row in without]
    if whys and not values:
        return Cell({}, *whys[0])
    if absent:
        reason = ": ".join(filter(None, whys[0])) if whys else ""
        return Cell(values, f"{len(values)} of {len(seeds)} seeds" if values else "missing", reason, stated)
    nfe = tuple(row["nfe"] for row in found.values() if row.get("nfe") is not None)
    return Cell(values, "", stated=stated, errors=errors, nfe=nfe)


SECONDS = ".seconds.json"
"""Ending of the file beside a track, in place of .toml; benchmarks/perf/step_seconds.py writes it."""


class ShapeSeconds(BaseModel):
    """Processor seconds of 1,000 training steps on one thread, one model at a time, for tasks of one shape.

    Args:
        tasks: the tasks of this shape; the first was measured.
        seconds: by row of the track.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    tasks: list[str] = Field(min_length=1)
    seconds: dict[str, float]

    @property
    def task(self) -> str:
        """The task that was measured."""
        return self.tasks[0]


class Seconds(BaseModel):
    """Seconds of training of a track, measured on one task of each shape.

    Args:
        load: load average when the measurement began.
        shapes: in the order of the track; tables of costs have the first.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    machine: str
    load: float
    cores: int
    shapes: list[ShapeSeconds] = Field(min_length=1)

    @property
    def first(self) -> ShapeSeconds:
        """The shape that tables of costs have."""
        return self.shapes[0]

    @property
    def state(self) -> str:
        """The load of the machine, in words."""
        return f"load {self.load:.1f} on {counted(self.cores, 'core')} at the start"


def read_seconds(path: Path) -> Seconds | None:
    """Return the seconds of a track, given its suite file; None if they were not measured.

    Raises:
        ConfigError: if the file beside it is invalid.
    """
    place = path.with_suffix(SECONDS)
    try:
        return Seconds.model_validate_json(place.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ConfigError(f"{place} holds no seconds of training: {explain(error)}") from error
