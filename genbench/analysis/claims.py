"""Claims: whether published differences exceed chance, and how many seeds a study needs before it is run.

A value from one training and one evaluation has the variance  sd^2 = training^2 + evaluation^2;  the variance of an
evaluation is proportional to 1/samples. Published values share no seeds, so the difference of two means over S seeds
each has the standard error sqrt((sd_1^2 + sd_2^2) / S). A pair needs the number of seeds that detects the published
difference with 80 % power at the 5 % level (two-sided, noncentral t).
"""

import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, MinLen
from pydantic import BaseModel, ConfigDict, model_validator
from scipy import special

from genbench.analysis.means import LEVEL
from genbench.analysis.significance import seeds_needed
from genbench.errors import ConfigError, unknown
from genbench.validation import explain

PUBLISHED = Path(__file__).with_name("published.toml")
Grade = Literal["A", "B", "C", "measured"]
Share = Annotated[float, Ge(0)]
Range = tuple[Share, Share, Share]
Count = Annotated[int, Ge(1)]


class Table(BaseModel):
    """A table of the file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Spread(Table):
    """How a value of a metric varies: standard deviations as shares of the value, each lowest, usual and highest.

    Args:
        training: over trainings.
        evaluation: over evaluations of one model with this number of samples; 0 if it counts as training.
        note: where it was measured, or why it is assumed.
    """

    training: Range
    evaluation: Range
    samples: Count
    source: str
    grade: Grade = "measured"
    note: str

    def deviations(self, samples: int | None) -> tuple[Range, Range]:
        """Return both ranges for evaluations with this number of samples, by default the number of the spread."""
        factor = (self.samples / (samples or self.samples)) ** 0.5
        low, usual, high = (part * factor for part in self.evaluation)
        return self.training, (low, usual, high)


class Cost(Table):
    """Hours of a device: bounds for one training, and the hours to draw and measure `samples` samples."""

    training_hours: tuple[Share, Share]
    sampling_hours: Share
    samples: Count
    device: str
    source: str

    def hours(self, trainings: int, samples: int) -> tuple[float, float]:
        """Return the lowest and highest hours for trainings, each evaluated once on this number of samples."""
        sampling = self.sampling_hours * samples / self.samples
        return trainings * (self.training_hours[0] + sampling), trainings * (self.training_hours[1] + sampling)


class Number(Table):
    """A published number.

    Args:
        label: the method and the data, as the source calls them.
        error: its published error, taken as a standard error over the trainings of its study; 0 if none is stated.
        sd: standard deviation over trainings, if known for this number; 0 to use the spread of its study.
        model, data, nfe: the measurement in the suite of the study that repeats the number; nfe: a point of the curve.
    """

    label: str
    value: float
    error: Share = 0.0
    sd: Share = 0.0
    model: str = ""
    data: str = ""
    nfe: float | None = None


class Tolerance(Table):
    """Allowed deviation of a repeated measurement, in addition to chance: absolute + relative x |value|."""

    absolute: Share = 0.0
    relative: Share = 0.0


class Study(Table):
    """Numbers of one source, measured in the same way.

    Args:
        seeds: trainings behind each number; 1 if the source does not say.
        samples: number of samples of each evaluation, if stated.
        spread: name of the spread of its metric; empty if none is known.
        pairs: labels of two numbers that are claimed to differ.
        suite: the suite that repeats numbers; `difference` says how the suite differs from the study.
        tolerance: allowed deviation of the repeated numbers, fixed before they were measured.
    """

    paper: str
    url: str
    grade: Grade
    metric: str
    protocol: str
    values: Annotated[tuple[Number, ...], MinLen(1)]
    seeds: Count = 1
    samples: Count | None = None
    spread: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    note: str = ""
    suite: str = ""
    difference: str = ""
    tolerance: Tolerance | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "Study":
        labels = [value.label for value in self.values]
        if twice := [label for label in labels if labels.count(label) > 1]:
            raise ValueError(f"{self.paper}: {twice[0]} is listed twice")
        for label in (label for pair in self.pairs for label in pair):
            if label not in labels:
                raise unknown(f"{self.paper} has no value", label, labels)
        if (self.tolerance is None) != (not self.suite):
            raise ValueError(f"{self.paper}: give both a suite that repeats it and a tolerance, or neither")
        if any(bool(value.model) != bool(value.data) or (value.model and not self.suite) for value in self.values):
            raise ValueError(f"{self.paper}: a repeated value needs a suite, a model and a data set")
        return self

    def number(self, label: str) -> Number:
        return next(value for value in self.values if value.label == label)


class Published(Table):
    """The contents of a file of published numbers: spreads by name, costs by data set, and studies."""

    spreads: dict[str, Spread] = {}
    costs: dict[str, Cost] = {}
    studies: list[Study] = []


class Audit(NamedTuple):
    """A published difference compared with chance.

    Args:
        training, evaluation: standard errors of the difference from training and from evaluation, at the usual spread;
            None if unknown. If single numbers have an `sd` or `error`, `training` includes the evaluation.
        seeds: seeds of each method that detect the difference, at the usual, lowest and highest spread; each None if
            above MOST_PAIRS. None as a whole if the spread is unknown.
        verdict: "resolved" if the difference is significant at 5 % even at the highest spread.
    """

    study: Study
    one: Number
    other: Number
    training: float | None
    evaluation: float | None
    seeds: tuple[int | None, ...] | None
    verdict: Literal["resolved", "inconclusive", "unknown spread"]

    @property
    def difference(self) -> float:
        """The first minus the second."""
        return self.one.value - self.other.value

    def json(self) -> dict[str, Any]:
        study = self.study.model_dump(include={"paper", "url", "grade", "metric"})
        numbers = {"one": self.one.label, "other": self.other.label, "difference": self.difference}
        return {**study, **numbers, **{name: getattr(self, name) for name in self._fields[3:]}}


def read(path: Path = PUBLISHED, known: Published | None = None) -> Published:
    """Read a file of published numbers.

    Args:
        known: a file that was read before, whose spreads and costs this file may name.

    Raises:
        ConfigError: if the file is invalid, or names an unknown spread.
    """
    try:
        found = Published.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ConfigError(f"{path}: {explain(error)}") from error
    spreads, costs = ({**getattr(known, name, {}), **getattr(found, name)} for name in ("spreads", "costs"))
    for study in found.studies:
        if study.spread and study.spread not in spreads:
            raise unknown(f"{path}: {study.paper} has no spread", study.spread, spreads)
    return found.model_copy(update={"spreads": spreads, "costs": costs})


def audits(published: Published) -> Iterator[Audit]:
    """Judge all pairs of a file."""
    for study in published.studies:
        for one, other in study.pairs:
            yield _audit(study, study.number(one), study.number(other), published.spreads)


def _audit(study: Study, one: Number, other: Number, spreads: Mapping[str, Spread]) -> Audit:
    spread, freedom, root = spreads.get(study.spread), math.inf, study.seeds**0.5
    known = [number.sd or number.error * root for number in (one, other)]
    if all(known):
        training, evaluation = [math.hypot(*known)] * 3, [0.0] * 3
        freedom = max(study.seeds - 1, 1)
    elif spread:
        level = math.hypot(one.value, other.value)
        training, evaluation = ([level * sd for sd in part] for part in spread.deviations(study.samples))
    else:
        return Audit(study, one, other, None, None, None, "unknown spread")
    difference = abs(one.value - other.value)
    low, usual, high = map(math.hypot, training, evaluation)
    limit = float(special.stdtrit(freedom, 1 - LEVEL / 2) if freedom < math.inf else special.ndtri(1 - LEVEL / 2))
    seeds = tuple(seeds_needed(difference, sd) for sd in (usual, low, high))
    verdict = "resolved" if difference > limit * high / root else "inconclusive"
    return Audit(study, one, other, training[1] / root, evaluation[1] / root, seeds, verdict)


class Option(NamedTuple):
    """A way to detect a difference of two methods.

    Args:
        seeds: seeds of each method, at the usual, lowest and highest spread; each None if above MOST_PAIRS.
        hours: {data set: lowest and highest hours for both methods}, where a cost is known.
    """

    samples: int
    seeds: tuple[int | None, ...]
    hours: dict[str, tuple[float, float]]


def options(difference: float, spread: Spread, samples: Iterable[int], costs: Mapping[str, Cost]) -> list[Option]:
    """Return the seeds and hours of a study that compares two methods in pairs, for each number of samples.

    Args:
        difference: difference to detect, as a share of the value.
    """
    found = []
    for number in samples:
        low, usual, high = (seeds_needed(difference, 2**0.5 * sd) for sd in map(math.hypot, *spread.deviations(number)))
        hours = {name: cost.hours(2 * usual, number) for name, cost in costs.items()} if usual else {}
        found.append(Option(number, (usual, low, high), hours))
    return found
