"""The store: a folder of runs, each known by the hash of its training, with its evaluations below it.

RESULTS/runs/MODEL-DATA-SEED-TRAINKEY/
    model.safetensors       the evaluated weights, with the spec in the header
    train.csv               every logged scalar
    failure.txt             why the last attempt failed; gone once one succeeds
    EVALUATIONKEY/record.json, samples.npz, samples.png
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from genbench import files
from genbench.errors import ConfigError
from genbench.spec import Spec, restore

Record = Mapping[str, Any]
"""{"spec", "labels", "results", "provenance"} as plain JSON."""


@dataclass(frozen=True)
class Store:
    """A results folder.

    Args:
        root: the folder; made when something is written.
    """

    root: Path

    def folder(self, spec: Spec) -> Path:
        """Return the folder of a trained model."""
        name = f"{spec.model['name']}-{spec.data['name']}-{spec.seed}-{spec.train_key}"
        return self.root / "runs" / re.sub(r"[^\w.-]", "_", name)

    def record_path(self, spec: Spec) -> Path:
        """Return the path of the record of a run."""
        return self.folder(spec) / spec.evaluation_key / "record.json"

    def read(self, spec: Spec) -> Record | None:
        """Return the record of a run, if there is one that can be read."""
        path = self.record_path(spec)
        return read_record(path) if path.exists() else None

    def write(self, spec: Spec, record: Record) -> Path:
        """Write a record atomically and return its path; a reason of an earlier failure goes."""
        path = self.record_path(spec)
        files.write(path, format_record(record))
        (self.folder(spec) / "failure.txt").unlink(missing_ok=True)
        return path

    def failure(self, spec: Spec) -> str | None:
        """Return why the last attempt at a run failed, if it did and none has succeeded since."""
        path = self.folder(spec) / "failure.txt"
        return path.read_text(encoding="utf-8").strip() if path.exists() else None

    def fail(self, spec: Spec, reason: str) -> None:
        """Note why a run failed. A failure is a state, never a result: the next sweep tries again."""
        files.write(self.folder(spec) / "failure.txt", reason + "\n")

    def save_model(self, spec: Spec, state: Mapping[str, Tensor], cost: Mapping[str, float]) -> None:
        """Keep the trained weights with the spec and the cost of training, and drop the checkpoints."""
        header = {"spec": json.dumps(spec.json()), "cost": json.dumps(cost)}
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
        folder = self.folder(spec)
        files.replace(folder / "model.safetensors", lambda temporary: save_file(tensors, temporary, header))
        for leftover in folder.glob("*checkpoint.safetensors"):
            leftover.unlink()

    def missing(self, spec: Spec) -> dict[str, dict[str, Any]]:
        """Return the metrics of a spec that are not kept, or are with another version or other settings."""
        record = self.read(spec)
        have = record["spec"]["metrics"] if record is not None else {}
        return {name: part for name, part in spec.metrics.items() if have.get(name) != part}

    def records(self) -> Iterator[Record]:
        """Read every record, in the order of their paths."""
        for path in sorted(self.root.glob("runs/*/*/record.json")):
            yield read_record(path)


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, float]] | None:
    """Return trained weights and the cost of training, if the file is there.

    Raises:
        ConfigError: if it cannot be read.
    """
    if not path.exists():
        return None
    header = _header(path)
    try:
        return load_file(path), json.loads(header["cost"])
    except (SafetensorError, KeyError, OSError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); remove it to train again") from error


def _header(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); remove it to train again") from error


def format_record(record: Record) -> str:
    """Return a record as JSON: one line a part, and one line a result, so that differences read well."""
    lines = [f'"{name}": {json.dumps(record[name])}' for name in ("labels", "spec")]
    rows = ",\n  ".join(json.dumps(row, allow_nan=False) for row in record["results"])
    lines += [f'"results": [\n  {rows}\n ]', f'"provenance": {json.dumps(record["provenance"])}']
    return "{" + ",\n ".join(lines) + "}\n"


def read_record(path: Path) -> Record:
    """Read a record. Raises ConfigError with one line where it is none."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not a record: {error}") from error
    for part, kind in {"labels": dict, "spec": dict, "results": list, "provenance": dict}.items():
        if not isinstance(record, dict) or not isinstance(record.get(part), kind):
            raise ConfigError(f"{path} is not a record: it has no {part}, or one of the wrong kind")
    return record


def spec_at(run: Path) -> Spec:
    """Return the spec of a kept run: its folder, its record or its weights.

    Raises:
        ConfigError: if nothing there carries a spec, or if it was made by another version.
    """
    record, weights = (run if run.suffix == ".json" else run / "record.json"), run / "model.safetensors"
    if record.is_file():
        return _restored(record, read_record(record)["spec"])
    if weights.is_file():
        return _restored(weights, json.loads(_header(weights).get("spec", "{}")))
    for path in sorted(run.glob("*/record.json")):
        return _restored(path, read_record(path)["spec"])
    raise ConfigError(f"{run} is no kept run: it holds neither record.json nor model.safetensors")


def _restored(path: Path, spec: dict[str, Any]) -> Spec:
    try:
        return restore(spec)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row a measured value: the row of the record, with its run, model, data, seed."""
    columns = ["model", "data", "seed", "metric", "value", "floor", "n", "protocol", "better", "point", "solver", "nfe"]
    columns += ["reason", "original", "run"]
    records = list(records)
    names = _names(records)
    rows = [
        _whose(record) | {"model": name} | row
        for record, name in zip(records, names, strict=True)
        for row in record["results"]
    ]
    table = pd.DataFrame(rows, columns=[*columns, *sorted({k for row in rows for k in row} - set(columns))])
    return table.astype({"value": float, "floor": float, "nfe": float})


def costs(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row a run: what training and evaluation took."""
    records, rows = list(records), []
    for record, name in zip(records, _names(records), strict=True):
        cost = record["provenance"]["cost"]
        if cost:
            peak = max(cost["train_peak_mib"], cost["evaluate_peak_mib"])
            device = record["provenance"]["machine"]["device"]
            rows.append(_whose(record) | {"model": name} | cost | {"peak_mib": peak, "device": device})
    return pd.DataFrame(rows)


def _names(records: Sequence[Record]) -> list[str]:
    """Return what each record's model is called: its label, and the budget where that tells two of one label apart."""
    alike: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        alike.setdefault((record["labels"]["model"], record["labels"]["data"]), []).append(record)
    names = []
    for record in records:
        label = record["labels"]["model"]
        same = alike[label, record["labels"]["data"]]
        for part in ("plan", "evaluation"):
            for key, value in record["spec"][part].items():
                if any(other["spec"][part].get(key) != value for other in same):
                    label += f" {key}={json.dumps(value, separators=(',', ':'))}"
        names.append(label)
    return names


def _whose(record: Record) -> dict[str, Any]:
    labels = record["labels"]
    return {
        "run": labels["run"],
        "model": labels["model"],
        "data": labels["data"],
        "seed": record["spec"]["seed"],
        "original": record["provenance"]["data"].get("original", True),
    }
