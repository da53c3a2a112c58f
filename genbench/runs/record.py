"""Records: what a run measured, and how a record is written and read.

A record is plain JSON. Its typed model is checked where a record is read; inside, code trusts it.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, cast

from annotated_types import Ge, Le
from pydantic import AfterValidator, ConfigDict, FiniteFloat, TypeAdapter, ValidationError, WithJsonSchema, with_config
from pydantic_core import from_json
from typing_extensions import TypedDict

from genbench.errors import ConfigError
from genbench.registry import datasets
from genbench.runs.component import differences, same_component
from genbench.runs.spec import SPEC, Spec
from genbench.storage import files, trust
from genbench.storage.files import Damaged
from genbench.validation import explain

Number = Annotated[int, Ge(-(2**63)), Le(2**63)] | FiniteFloat
"""Integers stay integers, so that a record that is read and written again has the same bytes."""

Natural = Annotated[int, Ge(0), Le(2**63 - 1)]


class Misfiled(Damaged):
    """A file belongs to another run than its folder, or than the requested one."""


class Labels(TypedDict):
    """How a record is named: the folder of its run, and model and data with their settings that are not defaults.

    Those of model and data are computed again from the spec where a record is read.
    """

    run: str
    model: str
    data: str


Spread = Annotated[Number, Ge(0)]
_SPREAD = TypeAdapter(Spread | None)
_BIAS = TypeAdapter(Number | None)


def _with_numbers(details: dict[str, Any]) -> dict[str, Any]:
    """Check the details that tables read: how far a value varies with other samples, and its bias."""
    for name, type_ in (("standard_error", _SPREAD), ("half_interval", _SPREAD), ("bias", _BIAS)):
        try:
            type_.validate_python(details.get(name), strict=True)
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
    """The version of genbench, its commit, and the hash of the source of each component."""

    genbench: NotRequired[str]
    commit: NotRequired[str | None]
    dirty: NotRequired[bool]
    sources: NotRequired[dict[str, str]]


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


COSTS = ("train_seconds", "sample_seconds", "evaluate_seconds", "train_peak_mib", "evaluate_peak_mib")
COSTS += ("steps_per_second", "parameters")
"""What a run costs that was trained and measured; one of a model that does not go with its data costs nothing."""


class Provenance(TypedDict):
    """What values depend on in addition to the spec, and what they cost; see `genbench.runs.provenance`."""

    code: Code
    data: DataOrigin
    machine: Machine
    cost: dict[str, Number]


def _checked(spec: dict[str, Any]) -> dict[str, Any]:
    try:
        SPEC.validate_python(spec)
    except ValidationError as error:
        raise ValueError(explain(error)) from error
    return spec


SpecJson = Annotated[dict[str, Any], AfterValidator(_checked), WithJsonSchema(SPEC.json_schema())]
"""What `Spec.json` returns. `make_spec.restore_spec` says whether its components and versions are installed."""


@with_config(ConfigDict(extra="forbid"))
class Record(TypedDict):
    """What a run measured."""

    labels: Labels
    spec: SpecJson
    results: list[Row]
    provenance: Provenance


def cell(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what identifies a value within a record.

    The NFE of an adaptive solver differs between seeds and machines, so only on a curve does it identify a value.
    """
    return row["metric"], row["point"], row.get("step"), row["nfe"] if row["point"] == "curve" else None


def metric_of(row: Mapping[str, Any]) -> str:
    """Return the metric that gave a row: that of "tilt.data" is "tilt"."""
    return row["metric"].partition(".")[0]


def _consistent(record: Record) -> Record:
    """Check that every row is of a metric of the spec, no value is there twice, and no budget or cost is left out."""
    seen = set()
    for row in record["results"]:
        if metric_of(row) not in record["spec"]["metrics"]:
            raise ValueError(f"results: its spec does not measure {row['metric']!r}")
        if cell(row) in seen:
            raise ValueError(f"results: {row['metric']!r} is there twice")
        seen.add(cell(row))
        if row["value"] is None and "reason" not in row:
            raise ValueError(f"results: {row['metric']!r} has neither a value nor a reason")
    sizes = [(name, record["spec"]["plan"].get(name)) for name in ("steps", "batch_size")]
    odd = [name for name, size in sizes if not isinstance(size, int) or not 0 <= size < 2**63]
    if odd and record["results"]:
        raise ValueError(f"spec.plan.{odd[0]} is no whole number")
    cost, machine = record["provenance"]["cost"], record["provenance"]["machine"]
    missing = [name for name in COSTS if name not in cost] if record["results"] and cost else []
    if "python" in machine:  # then all of the machine is stated
        missing += [name for name in Machine.__annotations__ if name not in machine]
    elif cost and "device" not in machine:
        missing.append("device")
    if missing:
        raise ValueError(f"provenance lacks {', '.join(missing)}")
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
        return _labeled(RECORD.validate_json(body + b"}", strict=True))
    except ValueError as error:
        raise Damaged(f"{files.shown(path)} is not a record: {explain(error)}") from error


def read_kept(path: Path) -> Record:
    """Read a record in RESULTS/runs. Raises as `read_record` does, and Misfiled if it belongs to another folder."""
    record = read_record(path)
    folder = path.resolve().parent
    check_run(path, folder.parent, record["labels"]["run"], record["spec"])
    if folder.parents[1].name == "runs" and (key := _evaluation(record["spec"])) not in (None, folder.name):
        raise Misfiled(f"{files.shown(path)} belongs to another evaluation, {key}")
    return record


def check_run(path: Path, folder: Path, run: str | None, spec: Mapping[str, Any]) -> None:
    """Raise Misfiled if a file is in RESULTS/runs and its label or its spec is of another run than its folder.

    A folder of a run that was copied elsewhere may have any name.
    """
    beginning = files.filename(f"{spec['model']['name']}-{spec['data']['name']}-{spec['seed']}-")
    name = folder.name
    if folder.parent.name == "runs" and ((run or name) != name or not name.startswith(beginning)):
        raise Misfiled(f"{files.shown(path)} belongs to another run, {run or beginning.rstrip('-')}")


def check_request(path: Path, kept: Mapping[str, Any], spec: Spec) -> None:
    """Raise Misfiled unless a kept spec and a requested one agree, whatever metrics they name."""
    mine = spec.json()
    names = (kept.keys() | mine.keys()) - {"metrics"}
    if not all(_agree(kept.get(name), mine.get(name), spec) for name in names):
        raise Misfiled(f"{files.shown(path)} belongs to another run: its settings differ from those of its folder")


def _agree(kept: Any, asked: Any, spec: Spec) -> bool:
    """Return whether settings agree. One that only one of them has is newer or older than the other, with its default;
    a path counts by its content, in the key of the run."""
    if kept == asked:
        return True
    if isinstance(kept, Mapping) and isinstance(asked, Mapping):
        return all(_agree(kept[name], asked[name], spec) for name in kept.keys() & asked.keys())
    with suppress(ConfigError):  # a component that is not installed here
        return isinstance(kept, str) and isinstance(asked, str) and asked in trust.texts(spec.parts())
    return False


def _evaluation(spec: Mapping[str, Any]) -> str | None:
    """Return the key of an evaluation; None if its component is not installed, or had other settings."""
    sampled = [spec["model"]["name"], spec["sample"], spec["evaluation"], spec.get("kind", "model")]
    with suppress(ConfigError, KeyError):
        return _evaluation_key(json.dumps(sampled))
    return None


@lru_cache(maxsize=1024)
def _evaluation_key(text: str) -> str:
    model, sample, evaluation, kind = json.loads(text)
    part = {"name": model, "version": 1}
    return Spec(part, part, {}, sample, evaluation, {}, 0, kind=kind).evaluation_key


def _labeled(record: Record) -> Record:
    """Return a record under the labels of its spec, which may have been stored in an earlier form, or forged.

    Stored ones are kept where they cannot be computed: those of components that are not installed as they were then,
    and those of data from a path, which name its content. They must begin with the name of the component all the same.
    """
    spec, labels = record["spec"], cast(dict[str, str], record["labels"])
    named = [spec["data"], spec["model"], spec["sample"], spec.get("encoder"), spec.get("kind", "model")]
    for part, known in zip(("model", "data"), _labels(json.dumps(named)), strict=True):
        name, stored = spec[part]["name"], labels[part]
        labels = {**labels, part: known or (stored if stored.partition(" ")[0] == name else name)}
    return cast(Record, {**record, "labels": labels})


@lru_cache(maxsize=4096)
def _labels(text: str) -> tuple[str, str]:
    """Return the labels of model and data, given what they depend on; empty where they cannot be computed."""
    data, model, sample, encoder, kind = json.loads(text)
    spec = Spec(data, model, {}, sample, {}, {}, 0, encoder=encoder, kind=kind)
    with suppress(ConfigError, KeyError, TypeError, OSError):
        if not any([*differences(datasets, data), *differences(spec.registry, model)]):
            trust.check(spec.parts())
            return spec.model_label, "" if data.get("path") else spec.data_label
    return "", ""


def missing_metrics(record: Record | None, spec: Spec, again: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Return the metrics of a spec that a record lacks, or has with another version or other settings.

    Args:
        again: metrics that are also measured again if they had no value.
    """
    kept = record["spec"]["metrics"] if record is not None else {}
    missing = {name: part for name, part in spec.metrics.items() if not same_component(kept.get(name), part)}
    without_value = {row["metric"] for row in record["results"] if row["value"] is None} if record is not None else {}
    return missing | {name: spec.metrics[name] for name in again if name in without_value}


def read_published(path: Path) -> list[Record]:
    """Read SUITE-records.jsonl.gz: one record per line, without provenance.

    Raises:
        Damaged: if the file is damaged or a line is not a record.
    """
    unknown = {"code": {}, "data": {}, "machine": {}, "cost": {}}
    try:
        if not path.stat().st_size:
            raise ValueError("it is empty")
        with files.open_regular(path) as file, gzip.open(file, "rt", encoding="utf-8") as content:
            lines = iter(lambda: content.readline(files.MAX_TEXT), "")
            read = ({**from_json(line, allow_inf_nan=False), "provenance": unknown} for line in lines)
            return [_labeled(RECORD.validate_python(record, strict=True)) for record in read]
    except (OSError, ValueError, EOFError, TypeError, RecursionError, zlib.error) as error:
        raise Damaged(f"{files.shown(path)} holds no records: {explain(error)}") from error


def format_published(record: Record) -> str:
    """Return a record as a line of SUITE-records.jsonl.gz."""
    return json.dumps({name: record[name] for name in ("labels", "spec", "results")}, separators=(",", ":")) + "\n"
