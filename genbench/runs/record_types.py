"""The typed model of records: spec, results and provenance as plain JSON, and what must agree in them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired

from annotated_types import Ge, Le
from pydantic import AfterValidator, ConfigDict, FiniteFloat, Strict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from genbench.validation import explain

Number = Annotated[int, Ge(-(2**63)), Le(2**63)] | FiniteFloat
"""Integers stay integers, so that a record that is read and written again has the same bytes."""

Natural = Annotated[int, Ge(0), Le(2**63 - 1)]


def _named(component: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(component.get("name"), str) or not isinstance(component.get("version"), int):
        raise ValueError("a component needs a name and a version")
    return _with_named(component)


def _with_named(settings: dict[str, Any]) -> dict[str, Any]:
    """Check the components among settings."""
    for value in settings.values():
        if isinstance(value, Mapping) and "name" in value:
            _named({"version": 1, **value})
    return settings


def _seeded(member: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(member.get("seed"), int) or member["seed"] < 0:
        raise ValueError("a member of a stack needs a seed")
    return _with_named(member)


Component = Annotated[dict[str, Any], AfterValidator(_named)]
"""A component as plain JSON: its name, its version and every setting."""

Stack = list[Annotated[dict[str, Any], AfterValidator(_seeded)]]
"""The members of an ensemble: the seed of each, and the settings in which they differ."""

Seed = Annotated[int, Strict(), Ge(0), Le(2**63 - 1)]
Kind = Literal["model", "encoder"]


@with_config(ConfigDict(extra="forbid"))
class SpecJson(TypedDict):
    """What `Spec.json` returns. `make_spec.restore_spec` says whether its components and versions are installed."""

    data: Component
    model: Component
    plan: dict[str, Any]
    sample: dict[str, Any]
    evaluation: dict[str, Any]
    metrics: dict[str, Component]
    seed: Seed
    encoder: NotRequired[Component | None]
    stack: NotRequired[Stack | None]
    kind: NotRequired[Kind]


class Labels(TypedDict):
    """Names of a record: the folders of its run and evaluation; model and data with their non-default settings."""

    run: str
    evaluation: str
    model: str
    data: str


Spread = Annotated[Number, Ge(0)]
_SPREAD = TypeAdapter(Spread | None)
_BIAS = TypeAdapter(Number | None)


def _with_numbers(details: dict[str, Any]) -> dict[str, Any]:
    """Check the details that tables read: how far a value varies with other samples, and its bias."""
    for name, type_ in (("standard_error", _SPREAD), ("half_interval", _SPREAD), ("bias", _BIAS)):
        if name in details:
            try:
                type_.validate_python(details[name], strict=True)
            except ValidationError as error:
                raise ValueError(f"{name}: {explain(error)}") from error
    return details


Details = Annotated[dict[str, Any], AfterValidator(_with_numbers)]
"""Further numbers that belong to a value."""


@with_config(ConfigDict(extra="allow"))
class Row(TypedDict):
    """One measured value, or the reason why there is none.

    `nfe` is the number of function evaluations per sample; `n` the number of samples; `protocol` all that must agree
    before values are compared; `floor` the value of real samples; `step` the training step, if `point` is "training".
    """

    metric: str
    value: Number | None
    better: Literal["lower", "higher", "none"]
    point: Literal["main", "curve", "training"]
    solver: str | None
    nfe: Number | None
    floor: NotRequired[Number | None]
    n: NotRequired[Natural]
    protocol: NotRequired[str]
    details: NotRequired[Details]
    reason: NotRequired[str]
    step: NotRequired[Natural]


@with_config(ConfigDict(extra="allow"))
class Code(TypedDict):
    """The version of genbench, its commit, and the version of its training (`genbench.training.plan.VERSIONS`)."""

    genbench: NotRequired[str]
    commit: NotRequired[str | None]
    dirty: NotRequired[bool]
    training: NotRequired[int]


@with_config(ConfigDict(extra="allow"))
class DataOrigin(TypedDict):
    """Where the data comes from, and whether it is the checksummed original."""

    original: NotRequired[bool]


@with_config(ConfigDict(extra="allow"))
class Machine(TypedDict):
    """Versions and hardware of a machine: none of the fields, the device alone, or all of them."""

    python: NotRequired[str]
    system: NotRequired[str]
    machine: NotRequired[str]
    processor: NotRequired[str]
    cores: NotRequired[int | None]
    device: NotRequired[str]
    libraries: NotRequired[dict[str, str | None]]


class Origin(TypedDict):
    """Which code made something, on which machine, and what it cost. A part that is not known is empty."""

    code: Code
    machine: Machine
    cost: dict[str, Number]


class Measurement(Origin):
    """The origin of the values of some metrics, which were measured together.

    `training` is the origin of the measured model, if it was not made by the record's own training.
    """

    metrics: list[str]
    training: NotRequired[Origin]


class Provenance(TypedDict):
    """What values depend on in addition to the spec, and what they cost; see `genbench.runs.provenance`."""

    data: DataOrigin
    training: Origin
    measurements: list[Measurement]


TRAINING_COSTS = ("train_seconds", "train_peak_mib", "steps_per_second", "parameters")
MEASUREMENT_COSTS = ("sample_seconds", "evaluate_seconds", "evaluate_peak_mib")
"""Costs that the origin of a training, and of a measurement, must state. A model that cannot learn its data has no
costs, because it is neither trained nor measured."""


@with_config(ConfigDict(extra="forbid"))
class Place(TypedDict):
    """Where a run stands in a track: its table, and the row of its model, named by its default settings.

    Models are compared by the headline metric.
    """

    row: str
    headline: str
    tables: list[Literal["default", "tuned"]]


@with_config(ConfigDict(extra="forbid"))
class Record(TypedDict):
    """What a run measured. A failed run has the reason and no results. A published record of a track has its places."""

    labels: Labels
    spec: SpecJson
    results: list[Row]
    provenance: Provenance
    failure: NotRequired[str]
    track: NotRequired[list[Place]]


def no_origin() -> Origin:
    """Return an empty origin, for what was never made or is not known."""
    return {"code": {}, "machine": {}, "cost": {}}


def cell(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what identifies a value within a record.

    The NFE of an adaptive solver differs between seeds and machines, so only on a curve does it identify a value.
    """
    return row["metric"], row["point"], row.get("step"), row["nfe"] if row["point"] == "curve" else None


def metric_of(row: Mapping[str, Any]) -> str:
    """Return the metric that gave a row: "tilt" for "tilt.data"."""
    return row["metric"].partition(".")[0]


def check_origin(origin: Origin, costs: Sequence[str]) -> None:
    """Check that an origin states all of these costs or none, and the device that they belong to.

    Raises:
        ValueError: if one of them is missing.
    """
    cost, machine = origin["cost"], origin["machine"]
    missing = [name for name in costs if name not in cost] if cost else []
    if "python" in machine:  # then all of the machine is stated
        missing += [name for name in Machine.__annotations__ if name not in machine]
    elif cost and "device" not in machine:
        missing.append("device")
    if missing:
        raise ValueError(f"provenance lacks {', '.join(missing)}")


def _consistent(record: Record) -> Record:
    """Check that rows, labels and provenance agree with the spec, no value occurs twice, and no cost is missing."""
    spec, provenance = record["spec"], record["provenance"]
    if "failure" in record and record["results"]:
        raise ValueError("results: a failed run has no results")
    for part in ("model", "data"):
        if record["labels"][part].partition(" ")[0] != spec[part]["name"]:
            raise ValueError(f"labels.{part}: it is not the label of {spec[part]['name']!r}")
    seen = set()
    for row in record["results"]:
        if metric_of(row) not in spec["metrics"]:
            raise ValueError(f"results: its spec does not measure {row['metric']!r}")
        if cell(row) in seen:
            raise ValueError(f"results: {row['metric']!r} occurs twice")
        seen.add(cell(row))
        if row["value"] is None and "reason" not in row:
            raise ValueError(f"results: {row['metric']!r} has neither a value nor a reason")
    sizes = [(name, spec["plan"].get(name)) for name in ("steps", "batch_size")]
    odd = [name for name, size in sizes if not isinstance(size, int) or not 0 <= size < 2**63]
    if odd and record["results"]:
        raise ValueError(f"spec.plan.{odd[0]} is not a whole number")
    measured = sorted(name for measurement in provenance["measurements"] for name in measurement["metrics"])
    if measured != ([] if "failure" in record else sorted(spec["metrics"])):
        raise ValueError("provenance.measurements: each metric must occur once")
    check_origin(provenance["training"], TRAINING_COSTS if record["results"] else ())
    for measurement in provenance["measurements"]:
        check_origin(measurement, MEASUREMENT_COSTS)
        check_origin(measurement.get("training", no_origin()), TRAINING_COSTS)
    return record


RECORD = TypeAdapter(Annotated[Record, AfterValidator(_consistent)])


def by_content(settings: Mapping[str, Any], content: Mapping[str, str]) -> Mapping[str, Any]:
    """Return settings in which the hashes of their content, given as {setting: sha256}, replace paths."""
    for name, sha256 in content.items():
        name, _, nested = name.partition(".")
        settings = {**settings, name: by_content(settings[name], {nested: sha256}) if nested else sha256}
    return settings


def same_component(one: Mapping[str, Any] | None, other: Mapping[str, Any]) -> bool:
    """Return whether two components agree in version and settings. Paths may differ if their content agrees."""
    if one is None:
        return False
    return by_content(one, one.get("content", {})) == by_content(other, other.get("content", {}))
