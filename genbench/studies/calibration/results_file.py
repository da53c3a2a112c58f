"""The file of a calibration, calibration.json in a results folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NotRequired

from annotated_types import Ge, Le
from pydantic import AfterValidator, FiniteFloat, TypeAdapter
from typing_extensions import TypedDict

from genbench.errors import ConfigError
from genbench.registry import datasets, metrics
from genbench.storage import files
from genbench.studies.calibration import exact_fields
from genbench.studies.calibration.power import FULL, TRUE, VERSION, Draws

FILE = "calibration.json"


class Row(TypedDict):
    """A value of a metric on one sampler: lists over the numbers of samples."""

    task: str
    metric: str
    sampler: str
    fault: NotRequired[str]
    size: NotRequired[FiniteFloat]
    n: list[Annotated[int, Ge(1), Le(2**53)]]
    alarms: NotRequired[list[FiniteFloat]]
    alarms_sd: NotRequired[list[FiniteFloat]]
    power: NotRequired[list[FiniteFloat]]
    mean: list[FiniteFloat]
    sd: list[FiniteFloat]
    seconds: NotRequired[list[FiniteFloat]]


class Field(TypedDict):
    """A value of a metric on the exact field of a task."""

    task: str
    metric: str
    seed: int
    value: FiniteFloat | None


def _complete(row: Row) -> Row:
    """Check that the parts of a row are there for its kind of sampler, one number for each number of samples."""
    lists = ("mean", "sd", "alarms", "alarms_sd", "seconds") if row["sampler"] == TRUE else ("mean", "sd", "power")
    parts = lists if row["sampler"] == TRUE else (*lists, "fault", "size")
    if absent := [name for name in parts if name not in row]:
        raise ValueError(f"{absent[0]} is missing")
    if not row["n"] or any(len(row[name]) != len(row["n"]) for name in lists):  # type: ignore[literal-required]
        raise ValueError("its lists differ in length, or are empty")
    return row


class Kept(TypedDict):
    """The file of a calibration."""

    versions: dict[str, int]
    draws: dict[str, dict[str, int]]
    rows: list[Annotated[Row, AfterValidator(_complete)]]
    fields: list[Field]


KEPT = TypeAdapter(Kept)


def load(results: Path) -> list[dict[str, Any]]:
    """Return the rows of a results folder; none if there are none, or if they are of other versions."""
    return _kept(results).get("rows", [])


def fields(results: Path) -> list[dict[str, Any]]:
    """Return the rows of exact fields, as `load` does."""
    return _kept(results).get("fields", [])


def write(
    results: Path, rows: Sequence[Mapping[str, Any]], of_fields: Sequence[Mapping[str, Any]], draws: Mapping[str, Draws]
) -> None:
    """Write the rows of samplers and of exact fields, a row a line, and the numbers of draws of tasks measured now."""
    of_task = _kept(results).get("draws", {}) | {name: asdict(numbers) for name, numbers in draws.items()}
    parts = {"versions": _versions(), "draws": of_task}
    lines = [f'"{name}": {json.dumps(value)}' for name, value in parts.items()]
    for name, listed in (("rows", rows), ("fields", of_fields)):
        inside = ",\n  ".join(json.dumps(row, allow_nan=False) for row in listed)
        lines.append(f'"{name}": [\n  {inside}\n]')
    files.write(results / FILE, "{" + ",\n ".join(lines) + "}\n")


def _kept(results: Path) -> dict[str, Any]:
    """Return the content of the file; empty without a file, or if it is of other versions."""
    path, versions = results / FILE, _versions()
    try:
        kept = json.loads(files.read(path)) if path.exists() else {}
        if kept.get("versions") != versions:
            return {}
        KEPT.validate_python(kept)
        return kept
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged; remove it, then genbench calibrate creates it again") from error


def _versions() -> dict[str, int]:
    """Return the versions of the calibration, its data sets and the metrics of exact fields."""
    names = (*FULL, *exact_fields.FIELDS)
    known = {f"data set {name}": datasets[name].version for name in names}
    return {"calibration": VERSION} | known | {f"metric {name}": metrics[name].version for name in exact_fields.METRICS}
