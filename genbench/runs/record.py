"""Records: what a run measured, and how a record is written and read.

A record is plain JSON. Its typed model is checked where a record is read; inside, code trusts it.
"""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError, WithJsonSchema, with_config
from typing_extensions import TypedDict

from genbench.runs.spec import SPEC
from genbench.settings import explain
from genbench.storage import files
from genbench.storage.files import Damaged

Number = int | float
"""Integers stay integers, so that a record that is read and written again has the same bytes."""


class Labels(TypedDict):
    """How a record is named: the folder of its run, and model and data with their settings that are not defaults."""

    run: str
    model: str
    data: str


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
    n: NotRequired[int]
    protocol: NotRequired[str]
    details: NotRequired[dict[str, Any]]
    reason: NotRequired[str]
    step: NotRequired[int]


class Provenance(TypedDict):
    """What values depend on in addition to the spec, and what they cost; see `genbench.runs.provenance`."""

    code: dict[str, Any]
    data: dict[str, Any]
    machine: dict[str, Any]
    cost: dict[str, Number]


def _checked(spec: dict[str, Any]) -> dict[str, Any]:
    try:
        SPEC.validate_python(spec)
    except ValidationError as error:
        raise ValueError(explain(error)) from error
    return spec


SpecJson = Annotated[dict[str, Any], AfterValidator(_checked), WithJsonSchema(SPEC.json_schema())]
"""What `Spec.json` returns. `genbench.runs.spec.restore` says whether its components and versions are installed."""


@with_config(ConfigDict(extra="forbid"))
class Record(TypedDict):
    """What a run measured."""

    labels: Labels
    spec: SpecJson
    results: list[Row]
    provenance: Provenance


RECORD = TypeAdapter(Record)

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
    """Read a record. Records of early versions carry no checksum; theirs is not verified.

    Raises:
        Damaged: if the file is no record, or does not have its checksum.
        FileNotFoundError: if there is none.
    """
    text = path.read_bytes()
    body, seal, end = text.rpartition(_SEAL.encode())
    try:
        if not seal:
            return RECORD.validate_json(text, strict=True)
        if end != f'{hashlib.sha256(body).hexdigest()}"}}\n'.encode():
            raise ValueError("its checksum differs")
        return RECORD.validate_json(body + b"}", strict=True)
    except ValueError as error:
        raise Damaged(f"{files.shown(path)} is not a record: {explain(error)}") from error


def read_published(path: Path) -> list[Record]:
    """Read SUITE-records.jsonl.gz: one record per line, without provenance.

    Raises:
        Damaged: if the file is damaged or a line is no record.
    """
    unknown = {"code": {}, "data": {}, "machine": {}, "cost": {}}
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [RECORD.validate_python({**json.loads(line), "provenance": unknown}, strict=True) for line in lines]
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise Damaged(f"{files.shown(path)} holds no records: {explain(error)}") from error


def format_published(record: Record) -> str:
    """Return a record as a line of SUITE-records.jsonl.gz."""
    kept = {name: record[name] for name in ("labels", "spec", "results")}
    return json.dumps(kept, separators=(",", ":")) + "\n"
