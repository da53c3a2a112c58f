"""Records: what a run measured, or why it failed, and how a record is written and read.

A record is plain JSON. Its typed model is checked where a record is read; inside, code trusts it. Reading takes the
labels as they are and builds neither data nor models, so that it costs what the file costs.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired

from annotated_types import Ge, Le
from pydantic import AfterValidator, ConfigDict, FiniteFloat, Strict, TypeAdapter, ValidationError, with_config
from pydantic_core import from_json
from typing_extensions import TypedDict

from genbench.errors import ConfigError
from genbench.storage import files, trust
from genbench.storage.files import Damaged
from genbench.validation import explain

if TYPE_CHECKING:
    from genbench.runs.spec import Spec

Number = Annotated[int, Ge(-(2**63)), Le(2**63)] | FiniteFloat
"""Integers stay integers, so that a record that is read and written again has the same bytes."""

Natural = Annotated[int, Ge(0), Le(2**63 - 1)]

MAX_PUBLISHED, MAX_LINES = 2**28, 100_000
"""Bytes, and records, above which a published file is not read."""


class Misfiled(Damaged):
    """A file belongs to another run than its folder, or than the requested one."""


def _named(component: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(component.get("name"), str) or not isinstance(component.get("version"), int):
        raise ValueError("a component needs a name and a version")
    for value in component.values():
        if isinstance(value, Mapping) and "name" in value:  # a component in a setting
            _named({"version": 1, **value})
    return component


def _seeded(member: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(member.get("seed"), int) or member["seed"] < 0:
        raise ValueError("a member of a stack needs a seed")
    return member


Component = Annotated[dict[str, Any], AfterValidator(_named)]
"""A component as plain JSON: its name, its version and every setting."""

Stack = list[Annotated[dict[str, Any], AfterValidator(_seeded)]]
"""The members of an ensemble: the seed of each, and the settings in which they differ."""

Seed = Annotated[int, Strict(), Ge(0)]
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
    """How a record is named: the folders of its run and evaluation, model and data with their non-default settings."""

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
    before values are compared; `floor` the value of real samples; `step` the training step at the point "training".
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
    """The version of genbench, its commit, and the version of its training (`genbench.training.plan.VERSION`)."""

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
    """Versions and hardware: nothing, the device alone, or all."""

    python: NotRequired[str]
    system: NotRequired[str]
    machine: NotRequired[str]
    processor: NotRequired[str]
    cores: NotRequired[int | None]
    device: NotRequired[str]
    libraries: NotRequired[dict[str, str | None]]


class Origin(TypedDict):
    """Which code made something, on which machine, and what it cost; each may be empty, if it is not known."""

    code: Code
    machine: Machine
    cost: dict[str, Number]


class Measurement(Origin):
    """The origin of the values of some metrics, which were measured together."""

    metrics: list[str]


class Provenance(TypedDict):
    """What values depend on in addition to the spec, and what they cost; see `genbench.runs.provenance`."""

    data: DataOrigin
    training: Origin
    measurements: list[Measurement]


TRAINING_COSTS = ("train_seconds", "train_peak_mib", "steps_per_second", "parameters")
MEASUREMENT_COSTS = ("sample_seconds", "evaluate_seconds", "evaluate_peak_mib")
"""What is known of a training, and of a measurement, that cost anything: a model that does not go with its data is
neither trained nor measured."""


@with_config(ConfigDict(extra="forbid"))
class Record(TypedDict):
    """What a run measured; for one that failed, why, and no results."""

    labels: Labels
    spec: SpecJson
    results: list[Row]
    provenance: Provenance
    failure: NotRequired[str]


def no_origin() -> Origin:
    """Return the origin of what was never made, or of which nothing is known."""
    return {"code": {}, "machine": {}, "cost": {}}


def cell(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what identifies a value within a record.

    The NFE of an adaptive solver differs between seeds and machines, so only on a curve does it identify a value.
    """
    return row["metric"], row["point"], row.get("step"), row["nfe"] if row["point"] == "curve" else None


def metric_of(row: Mapping[str, Any]) -> str:
    """Return the metric that gave a row: that of "tilt.data" is "tilt"."""
    return row["metric"].partition(".")[0]


def identity(record: Record) -> tuple[str, str]:
    """Return what identifies an evaluation of a run: the names of its folders."""
    return record["labels"]["run"], record["labels"]["evaluation"]


def failure_line(record: Record) -> str:
    """Return the last line of the reason of a failure, which says most."""
    return (record.get("failure") or "-").splitlines()[-1]


def check_origin(origin: Origin, costs: Sequence[str]) -> None:
    """Check that an origin states all of these costs or none, and the device that they belong to.

    Raises:
        ValueError: if it does not.
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
    """Check that rows, labels and provenance agree with the spec, no value is there twice, and no cost is left out."""
    spec, provenance = record["spec"], record["provenance"]
    if "failure" in record and record["results"]:
        raise ValueError("results: a run that failed has none")
    for part in ("model", "data"):
        if record["labels"][part].partition(" ")[0] != spec[part]["name"]:
            raise ValueError(f"labels.{part}: it is not the label of {spec[part]['name']!r}")
    seen = set()
    for row in record["results"]:
        if metric_of(row) not in spec["metrics"]:
            raise ValueError(f"results: its spec does not measure {row['metric']!r}")
        if cell(row) in seen:
            raise ValueError(f"results: {row['metric']!r} is there twice")
        seen.add(cell(row))
        if row["value"] is None and "reason" not in row:
            raise ValueError(f"results: {row['metric']!r} has neither a value nor a reason")
    sizes = [(name, spec["plan"].get(name)) for name in ("steps", "batch_size")]
    odd = [name for name, size in sizes if not isinstance(size, int) or not 0 <= size < 2**63]
    if odd and record["results"]:
        raise ValueError(f"spec.plan.{odd[0]} is no whole number")
    measured = sorted(name for measurement in provenance["measurements"] for name in measurement["metrics"])
    if measured != ([] if "failure" in record else sorted(spec["metrics"])):
        raise ValueError("provenance.measurements: they do not name each metric once")
    check_origin(provenance["training"], TRAINING_COSTS if record["results"] else ())
    for measurement in provenance["measurements"]:
        check_origin(measurement, MEASUREMENT_COSTS)
    return record


RECORD = TypeAdapter(Annotated[Record, AfterValidator(_consistent)])

_SEAL = ',\n "sha256": "'


def format_record(record: Record) -> str:
    """Return a record as JSON: one line a section and one line a result, so that differences read well.

    The last line is the sha256 of the lines before it.
    """
    lines = [f'"{name}": {json.dumps(record[name])}' for name in ("labels", "spec")]
    rows = ",\n  ".join(json.dumps(row, allow_nan=False) for row in record["results"])
    lines += [f'"results": [\n  {rows}\n ]', f'"provenance": {json.dumps(record["provenance"])}']
    lines += [f'"failure": {json.dumps(record["failure"])}'] if "failure" in record else []
    body = "{" + ",\n ".join(lines)
    return f'{body}{_SEAL}{hashlib.sha256(body.encode()).hexdigest()}"}}\n'


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        Damaged: if the file is not a record, or does not have its checksum.
        FileNotFoundError: if there is none.
    """
    return parse_record(files.read(path), path)


def parse_record(content: bytes, path: Path) -> Record:
    """Return the record that a file of this content holds. Raises Damaged as `read_record` does."""
    body, seal, end = content.rpartition(_SEAL.encode())
    try:
        if not seal:
            raise ValueError("it has no checksum")
        if end != f'{hashlib.sha256(body).hexdigest()}"}}\n'.encode():
            raise ValueError("its checksum differs")
        return RECORD.validate_json(body + b"}", strict=True)
    except ValueError as error:
        raise Damaged(f"{files.shown(path)} is not a record: {explain(error)}") from error


def read_kept(path: Path) -> Record:
    """Read a record in RESULTS/runs. Raises as `read_record` does, and Misfiled if it belongs to another folder."""
    record = read_record(path)
    folder = path.resolve().parent
    check_run(path, folder.parent, record["labels"]["run"])
    if folder.parents[1].name == "runs" and folder.name != (other := record["labels"]["evaluation"]):
        raise Misfiled(f"{files.shown(path)} belongs to another evaluation, {other}")
    return record


def check_run(path: Path, folder: Path, run: str) -> None:
    """Raise Misfiled if a file is in RESULTS/runs and belongs to another run than its folder.

    A folder of a run that was copied elsewhere may have any name.
    """
    if folder.parent.name == "runs" and run != folder.name:
        raise Misfiled(f"{files.shown(path)} belongs to another run, {run}")


def check_request(path: Path, kept: Mapping[str, Any], spec: "Spec") -> None:
    """Raise Misfiled unless a kept spec and a requested one agree, whatever metrics they name."""
    mine = spec.json()
    names = (kept.keys() | mine.keys()) - {"metrics"}
    if not all(_agree(kept.get(name), mine.get(name), spec) for name in names):
        raise Misfiled(f"{files.shown(path)} belongs to another run: its settings differ from those of its folder")


def _agree(kept: Any, asked: Any, spec: "Spec") -> bool:
    """Return whether settings agree. One that only one of them has is newer or older than the other, with its default;
    a path counts by its content, in the key of the run."""
    if kept == asked:
        return True
    if isinstance(kept, Mapping) and isinstance(asked, Mapping):
        return all(_agree(kept[name], asked[name], spec) for name in kept.keys() & asked.keys())
    with suppress(ConfigError):  # a component that is not installed here
        return isinstance(kept, str) and isinstance(asked, str) and asked in trust.texts(spec.parts())
    return False


def missing_metrics(record: Record | None, spec: "Spec", again: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Return the metrics of a spec that a record lacks, or has with another version or other settings.

    Args:
        again: metrics that are also measured again if they had no value.
    """
    kept = record["spec"]["metrics"] if record is not None else {}
    missing = {name: component for name, component in spec.metrics.items() if kept.get(name) != component}
    rows = record["results"] if record is not None else []
    without_value = {row["metric"] for row in rows if row["value"] is None and row["point"] != "training"}
    return missing | {name: spec.metrics[name] for name in again if name in without_value}


def merge_rows(record: Record | None, rows: Sequence[Any], measured: Collection[str]) -> list[Row]:
    """Return the rows of a record with newly measured metrics, in an order that does not depend on its history."""
    kept = record["results"] if record is not None else []
    points = ("main", "curve", "training")

    def place(row: Row) -> tuple:
        return points.index(row["point"]), row["metric"], row["nfe"] or 0.0, row.get("step", 0)

    return sorted([*(row for row in kept if metric_of(row) not in measured), *rows], key=place)


def without_measured(measurements: Iterable[Measurement], metrics: Collection[str]) -> list[Measurement]:
    """Return measurements without these metrics, whose values are left out or measured again."""
    rest = [[name for name in measurement["metrics"] if name not in metrics] for measurement in measurements]
    return [{**each, "metrics": names} for each, names in zip(measurements, rest, strict=True) if names]


def merge_records(kept: Record, new: Record, measured: Collection[str]) -> Record:
    """Return a record with the values that another record of the same evaluation has of some metrics."""
    chosen = {name: new["spec"]["metrics"][name] for name in measured}
    metrics = dict(sorted({**kept["spec"]["metrics"], **chosen}.items()))
    rows = [row for row in new["results"] if metric_of(row) in measured]
    others = new["spec"]["metrics"].keys() - set(measured)
    measurements = without_measured(kept["provenance"]["measurements"], measured)
    measurements += without_measured(new["provenance"]["measurements"], others)
    provenance: Provenance = {**kept["provenance"], "measurements": measurements}
    spec: SpecJson = {**kept["spec"], "metrics": metrics}
    return {**kept, "spec": spec, "results": merge_rows(kept, rows, measured), "provenance": provenance}


def without_metrics(record: Record, names: Collection[str]) -> Record | None:
    """Return a record without these metrics; None if no value is left."""
    rows = [row for row in record["results"] if metric_of(row) not in names]
    metrics = {name: part for name, part in record["spec"]["metrics"].items() if name not in names}
    measurements = without_measured(record["provenance"]["measurements"], names)
    if not rows:
        return None
    provenance: Provenance = {**record["provenance"], "measurements": measurements}
    return {**record, "spec": {**record["spec"], "metrics": metrics}, "results": rows, "provenance": provenance}


def read_published(path: Path) -> list[Record]:
    """Read records.jsonl.gz of a suite: one record per line, those of failures included.

    Raises:
        Damaged: if the file is damaged, too large, or a line is not a record.
    """
    try:
        if not path.stat().st_size:
            raise ValueError("it is empty")
        with files.open_regular(path, files.MAX_TEXT) as file, gzip.open(file) as content:
            text = content.read(MAX_PUBLISHED + 1)
        if len(text) > MAX_PUBLISHED or text.count(b"\n") > MAX_LINES:
            raise ValueError(f"it has more than {MAX_PUBLISHED:,} bytes or {MAX_LINES:,} lines")
        lines = (from_json(line, allow_inf_nan=False) for line in text.splitlines())
        return [RECORD.validate_python(line, strict=True) for line in lines]
    except (OSError, ValueError, EOFError, RecursionError, zlib.error) as error:
        raise Damaged(f"{files.shown(path)} holds no records: {explain(error)}") from error


def format_published(records: Iterable[Record]) -> bytes:
    """Return the content of records.jsonl.gz: one line per record, which names no folder of its data."""
    lines = []
    for record in records:
        spec: SpecJson = {**record["spec"], "data": without_folder(record["spec"]["data"])}
        lines.append(json.dumps({**record, "spec": spec}, separators=(",", ":"), allow_nan=False) + "\n")
    return gzip.compress("".join(lines).encode(), mtime=0)


def without_folder(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a spec for publication: a path is named by its last part only."""
    return dict(part) if part.get("path") is None else {**part, "path": Path(part["path"]).name}
