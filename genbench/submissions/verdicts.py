"""Judging a submission: what its files contradict, what stands out, and which values its weights give again.

A seal shows that a record is as it was written, not that it is true: an edited record can be sealed again. Values
are confirmed by measuring them again from the submitted weights; that the weights are those of the stated training,
by training again.
"""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from genbench.analysis.means import half_width, mean_and_error
from genbench.errors import ConfigError, MissingFile, RunFailed, Unsupported
from genbench.results.verifying import compare, measure_again, pairs
from genbench.runs.make_spec import restore_spec
from genbench.runs.record import read_record
from genbench.runs.record_types import Record, cell
from genbench.runs.run import run
from genbench.runs.spec import Spec, build_data
from genbench.runs.store import Store, evaluation_name, run_name
from genbench.runs.weights_file import WEIGHTS, read_weights
from genbench.storage import tensors

TOLERANCE = 1e-3
"""Relative difference up to which a value counts as the same: machines round differently."""

State = Literal["confirmed", "not confirmed", "not replayed", "refused"]


class Difference(NamedTuple):
    """A value that was measured again.

    Args:
        metric: its metric, with the point of a curve; or another field that differs, such as the floor.
        submitted: what the record says; None if it says nothing.
        again: what measuring again gives; None if it gives nothing.
        share: the absolute difference over half the 95 % interval of the mean over the submitted seeds; None for one
            seed.
    """

    metric: str
    submitted: Any
    again: Any
    share: float | None

    def __str__(self) -> str:
        text = f"{self.metric}: {self.submitted} submitted, {self.again} again"
        return text if self.share is None else f"{text}, {self.share:.2g} x half its interval"


class Verdict(NamedTuple):
    """The verdict on one record.

    Args:
        name: RUN/EVALUATION.
        state: refused if its files cannot be read, contradict one another, or repeat another run; otherwise whether its
            values were measured again.
        reason: why the state is not "confirmed"; otherwise empty.
        labels: what a reader should know: chosen seeds, other code, other data.
    """

    name: str
    state: State
    reason: str = ""
    values: int = 0
    different: tuple[Difference, ...] = ()
    labels: tuple[str, ...] = ()


def judge(
    store: Store, *, sample: int, retrain: int = 0, seed: int = 0, tolerance: float = TOLERANCE
) -> Iterator[Verdict]:
    """Judge every record of an unpacked submission.

    Args:
        sample: number of records to measure again, drawn from those whose weights are there.
        retrain: number of these to train again too.
        seed: selects them.
        tolerance: relative difference up to which values are the same.
    """
    submitted = [_read(path) for path in store.record_paths()]
    needy = {path: (record, reason) for path, record, spec, reason in submitted if record and not spec}
    refused = {path: reason for path, _, _, reason in submitted if reason and path not in needy}
    sound = [(path, record, spec) for path, record, spec, reason in submitted if record and spec and not reason]
    refused |= _repeated(sound)
    sound = [item for item in sound if item[0] not in refused]
    labels = _labels([record for path, record, _, _ in submitted if record and path not in refused])
    halves = _half_intervals([record for _, record, _ in sound])
    replayable = [path for path, _, _ in sound if (path.parents[1] / "model.safetensors").is_file()]
    chosen = random.Random(seed).sample(replayable, min(sample, len(replayable)))
    for path, _, _, _ in submitted:
        if path in refused:
            yield Verdict(evaluation_name(path), "refused", refused[path])
    for path, (record, reason) in needy.items():
        yield Verdict(evaluation_name(path), "not replayed", reason, labels=labels[id(record)])
    for path, record, spec in sound:
        verdict = Verdict(evaluation_name(path), "not replayed", "not in the sample", labels=labels[id(record)])
        if path not in replayable:
            verdict = verdict._replace(reason="its weights were not submitted")
        elif path in chosen:
            again = _replay(path, record, spec, halves, tolerance, verdict)
            if again.state == "confirmed" and chosen.index(path) < retrain:
                again = _train_again(record, spec, halves, tolerance, again)
            verdict = again
        yield verdict


def _read(path: Path) -> tuple[Path, Record | None, Spec | None, str]:
    """Return a record, its spec, and what its files contradict; without a spec, that it needs a file of its author."""
    try:
        record = read_record(path)
        try:
            spec = restore_spec(record["spec"])
        except MissingFile as error:
            return path, record, None, str(error)
        for name, label in (("model", spec.model_label), ("data", spec.data_label)):
            if record["labels"][name] != label:
                return path, record, spec, f"its label of the {name} is not that of its spec, {label}"
        if not run_name(spec) == record["labels"]["run"] == path.parts[-3]:
            return path, record, spec, f"its spec is that of {run_name(spec)}"
        if spec.evaluation_key != path.parts[-2]:
            return path, record, spec, "its spec is that of another evaluation"
        weights = path.parents[1] / "model.safetensors"
        if weights.is_file():
            trained = restore_spec(json.loads(tensors.head(weights, WEIGHTS)["spec"]))
            if trained.train_key != spec.train_key:
                return path, record, spec, f"its weights are those of {run_name(trained)}"
            read_weights(weights)
        return path, record, spec, ""
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError) as error:  # of any content
        return path, None, None, _line(error)


def _repeated(records: Sequence[tuple[Path, Record, Spec]]) -> dict[Path, str]:
    """Return the records whose values or weights are those of another seed, with the reason."""
    found: dict[Path, str] = {}
    values: dict[tuple[str, ...], tuple[Path, int]] = {}
    weights: dict[str, tuple[str, Path]] = {}
    for path, record, spec in records:
        measured = [(row["metric"], row["value"]) for row in record["results"] if isinstance(row["value"], float)]
        content = (record["labels"]["model"], record["labels"]["data"], path.parts[-2], json.dumps(measured))
        other, other_seed = values.setdefault(content, (path, spec.seed))
        if measured and other_seed != spec.seed:
            found[path] = found[other] = f"seeds {other_seed} and {spec.seed} have the same values"
        file = path.parents[1] / "model.safetensors"
        if file.is_file():
            run, first = weights.setdefault(_digest(read_weights(file)[0]), (path.parts[-3], path))
            if run != path.parts[-3]:
                found[path] = found[first] = f"its weights are also those of {run}"
    return found


def _digest(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _labels(records: Sequence[Record]) -> dict[int, tuple[str, ...]]:
    """Return what a reader should know of each record."""
    seeds: dict[tuple[str, str], set[int]] = defaultdict(set)
    for record in records:
        seeds[record["labels"]["model"], record["labels"]["data"]].add(record["spec"]["seed"])
    found = {}
    for record in records:
        labels = []
        own = sorted(seeds[record["labels"]["model"], record["labels"]["data"]])
        if own != list(range(len(own))):
            labels.append(f"chosen seeds: {', '.join(map(str, own))} instead of 0 to {len(own) - 1}")
        if not record["provenance"]["training"]["code"].get("genbench"):
            labels.append("its code is not stated")
        if record["provenance"]["data"].get("original") is False:
            labels.append("not the original data")
        found[id(record)] = tuple(labels)
    return found


def _half_intervals(records: Sequence[Record]) -> dict[tuple[Any, ...], float | None]:
    """Return half the 95 % interval of the mean over seeds of every value."""
    values: dict[tuple[Any, ...], dict[int, float]] = defaultdict(dict)
    for record in records:
        for row in record["results"]:
            if row["value"] is not None:
                values[_place(record, row)][record["spec"]["seed"]] = row["value"]
    return {cell: half_width(mean_and_error(own.values())[1], len(own)) for cell, own in values.items()}


def _place(record: Record, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what the values of several seeds share."""
    return record["labels"]["model"], record["labels"]["data"], *cell(row)


def _replay(
    path: Path,
    record: Record,
    spec: Spec,
    halves: Mapping[tuple[Any, ...], float | None],
    tolerance: float,
    verdict: Verdict,
) -> Verdict:
    """Measure a record again from its weights."""
    try:
        data = dict(build_data(spec.data).provenance)
        rows = measure_again(path, spec)
    except (ConfigError, Unsupported, OSError) as error:
        return verdict._replace(reason=f"cannot be measured here: {_line(error)}")
    except RuntimeError as error:  # RunFailed too: the weights do not fit, or give no finite samples
        return verdict._replace(state="not confirmed", reason=f"its weights give no values: {_line(error)}")
    stated = record["provenance"]["data"]
    if any(stated.get(name) != data.get(name) for name in ("sha256", "source")):
        labels = (*verdict.labels, "made with other data than that of the same name here")
        verdict = verdict._replace(labels=labels)
    return _compared(record, spec, rows, halves, tolerance, verdict, "other values from its weights")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _train_again(
    record: Record, spec: Spec, halves: Mapping[tuple[Any, ...], float | None], tolerance: float, verdict: Verdict
) -> Verdict:
    """Train and measure a record's run again."""
    with TemporaryDirectory(prefix="genbench-") as folder:
        try:
            again = run(spec, Store(Path(folder)))
        except (ConfigError, Unsupported, RunFailed) as error:
            return verdict._replace(labels=(*verdict.labels, f"cannot be trained here: {_line(error)}"))
    return _compared(record, spec, again["results"], halves, tolerance, verdict, "other values after training again")


def _compared(
    record: Record,
    spec: Spec,
    rows: Sequence[Mapping[str, Any]],
    halves: Mapping[tuple[Any, ...], float | None],
    tolerance: float,
    verdict: Verdict,
    reason: str,
) -> Verdict:
    """Compare the rows of a record, except those during training, whose weights are not kept, with those made again."""
    different: list[Difference] = []
    compared = 0
    for row, other in pairs(record, rows, spec.metrics):
        compared += 1
        if row is not None and other is not None:
            different += _differences(row, other, halves.get(_place(record, row)), tolerance)
        else:
            found = row or other or {}
            different.append(Difference(_row_name(found), row and row["value"], other and other["value"], None))
    if record["results"] and not compared:
        return verdict._replace(reason="its metrics are outdated")
    state: State = "not confirmed" if different else "confirmed"
    return verdict._replace(
        state=state, reason=reason if different else "", values=compared, different=tuple(different)
    )


def _differences(
    submitted: Mapping[str, Any], again: Mapping[str, Any], half: float | None, tolerance: float
) -> Iterator[Difference]:
    """Yield what differs in a row."""
    for field in compare(submitted, again):
        if field.difference <= tolerance:
            continue
        name = f"{_row_name(submitted)}, {field.name}" if field.name else _row_name(submitted)
        known = half and not field.name and None not in (field.kept, field.again)
        yield Difference(name, field.kept, field.again, abs(field.again - field.kept) / half if known else None)


def _row_name(row: Mapping[str, Any]) -> str:
    return row["metric"] if row["point"] == "main" else f"{row['metric']} at {row['nfe']:g} evaluations"
