"""Verify a results folder or submission: whether records are undamaged and consistent, and new measurements agree.

A checksum shows that a record is as it was written, not that it is true: an edited record can get a new checksum.
Measuring again from the weights confirms the values. Training again confirms that the weights come from the stated
training.
"""

import math
import os
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

from genbench.errors import ConfigError, Unsupported, reason_of
from genbench.metrics.bounds import impossible
from genbench.results.comparing import Deviation, compare
from genbench.runs.make_spec import repeatable_spec
from genbench.runs.memory_estimate import check_memory
from genbench.runs.record import check_request, read_kept
from genbench.runs.record_types import Record, Row, metric_of
from genbench.runs.run import run
from genbench.runs.spec import SPEC, Spec, content_of
from genbench.runs.store import Store, evaluation_name, labels_of, run_name
from genbench.runs.weights_file import read_weights
from genbench.storage import cache, tensors, trust

State = Literal["confirmed", "not confirmed", "not measured", "refused"]

NOT_SAMPLED, ONLY_TRAINED = "not in the sample", "only trained, for other runs"


class Guest(NamedTuple):
    """What a user grants to the records of another author.

    Args:
        data: files of the user that may be the data of a record.
        trusted: whether to open other files and downloads that a record names.
    """

    data: Sequence[Path] = ()
    trusted: bool = False


class Verdict(NamedTuple):
    """The verdict on one record.

    Args:
        name: RUN/EVALUATION.
        state: "refused" if its files are damaged, contradict one another, or repeat another run; "not measured";
            "confirmed" or "not confirmed" after its values were measured again.
        reason: why the state is not "confirmed"; otherwise empty.
        values: number of values that were measured again.
        worst: the largest deviation, however small.
        different: deviations beyond the tolerance.
        labels: remarks for the reader: chosen seeds, other data, weights of another run.
    """

    name: str
    state: State
    reason: str = ""
    values: int = 0
    worst: Deviation | None = None
    different: tuple[Deviation, ...] = ()
    labels: tuple[str, ...] = ()


class ReadRecord(NamedTuple):
    """A record that was read: its verdict before anything is measured, and hashes that show repetitions.

    Args:
        spec: None if the record cannot be read, or its spec cannot be built here; the verdict says why.
        seed: -1 if the record cannot be read.
        trained: whether its weights were trained from its seed.
        hashes: of its method and data, of its weights, and of its values, if it has them.
    """

    path: Path
    verdict: Verdict
    spec: Spec | None = None
    seed: int = -1
    trained: bool = False
    hashes: Mapping[str, str] = {}


def verify(
    store: Store, *, sample: int, retrain: int = 0, seed: int = 0, guest: Guest | None = None
) -> Iterator[Verdict]:
    """Yield the verdict on every record of a results folder.

    Args:
        sample: number of records to measure again, drawn from the records that can be measured.
        retrain: number of records of the sample that are also trained again.
        seed: seed of the sample.
        guest: given if another author made the records.
    """
    found = read(store, guest)
    able = [each.path for each in found if each.spec is not None and each.verdict.reason == NOT_SAMPLED]
    chosen = random.Random(seed).sample(able, min(sample, len(able)))
    for each in found:
        yield _measured(each, each.path in chosen[:retrain]) if each.path in chosen else each.verdict


def read(store: Store, guest: Guest | None = None) -> list[ReadRecord]:
    """Read every record with its weights, and find contradictions, without measuring anything."""
    read = (_read(path, guest) for path in store.record_paths())
    found = [each for each in read if each is not None]
    for what in ("values", "weights", "method"):
        same = defaultdict(list)
        for i, each in enumerate(found):
            if what in each.hashes:
                same[each.hashes[what]].append(i)
        for group in same.values():
            seeds = sorted({found[i].seed for i in group})
            runs = ", ".join(sorted({found[i].path.parts[-3] for i in group}))
            refused, label = "", ""
            if what == "method":
                if guest is not None and seeds != [*range(len(seeds))]:
                    label = f"chosen seeds: {', '.join(map(str, seeds))} instead of 0 to {len(seeds) - 1}"
            elif len(seeds) > 1 and all(found[i].trained for i in group):
                refused = f"seeds {seeds[0]} and {seeds[1]} have the same {what}: {runs}"
            elif ", " in runs and (what == "weights" or len(seeds) > 1):
                label = f"the same {what}: {runs}"
            for i in group:
                verdict = found[i].verdict
                if refused:
                    verdict = verdict._replace(state="refused", reason=refused)
                    found[i] = found[i]._replace(spec=None, verdict=verdict)
                elif label:
                    found[i] = found[i]._replace(verdict=verdict._replace(labels=(*verdict.labels, label)))
    return found


def _read(path: Path, guest: Guest | None) -> ReadRecord | None:
    """Read a record, with its weights; None if it was removed meanwhile."""
    name, weights = evaluation_name(path), path.parents[1] / "model.safetensors"
    try:
        record, state, digest = read_kept(path), {}, ""
        if why := impossible(record["results"]):
            return ReadRecord(path, Verdict(name, "refused", why))
        if os.path.lexists(weights):
            state, header, _ = read_weights(weights)
            own = SPEC.validate_python(record["spec"])
            check_request(weights, header | {"sample": own.sample, "evaluation": own.evaluation}, own)
            digest = tensors.digest(state, {})
        seed, trained = record["spec"]["seed"], record["spec"]["plan"].get("steps") != 0 and (bool(state) or not digest)
        hashes = _hashes(record, path.parts[-2], digest)
        try:
            spec = _spec(record, guest)
            if guest is not None and spec.kind == "model":
                check_memory(spec)
        except (ConfigError, Unsupported) as error:
            return ReadRecord(path, Verdict(name, "not measured", _line(error)), None, seed, trained, hashes)
        other, data_path = "", record["spec"]["data"].get("path") or ""
        if run_name(spec, data_path) != path.parts[-3]:
            other = f"its spec belongs to {run_name(spec, data_path)}"
        elif spec.evaluation_key != path.parts[-2]:
            other = "its spec belongs to another evaluation"
        elif record["labels"] != labels_of(spec, data_path):
            other = f"its labels do not match its spec, {spec.model_label} on {spec.data_label}"
        if other:
            return ReadRecord(path, Verdict(name, "refused" if guest else "not measured", other))
    except Exception as error:  # a file may raise anything
        if not os.path.lexists(path):  # removed since the folder was listed
            return None
        return ReadRecord(path, Verdict(name, "refused", _line(error)))
    reason = NOT_SAMPLED if digest else "its weights are not here"
    reason = reason if record["results"] else ONLY_TRAINED
    return ReadRecord(path, Verdict(name, "not measured", reason), spec, seed, trained, hashes)


def _spec(record: Record, guest: Guest | None) -> Spec:
    """Return the spec of a record, after a check of the files and downloads that its author names.

    Raises:
        ConfigError: if the spec cannot be built here, for example because its data is missing, or if it names a file or
            a download.
    """
    kept = record["spec"]
    if guest is not None:
        data = {name: value for name, value in kept["data"].items() if name != "path"}
        if not guest.trusted:
            trust.check(replace(SPEC.validate_python(kept), data=data).parts())
        if kept["data"].get("path") is not None:
            kept = {**kept, "data": {**data, "path": _given(record, guest.data)}}
    return repeatable_spec(kept)  # a part of its values confirms no record


def _given(record: Record, given: Sequence[Path]) -> str:
    """Return the file of the user whose content is the data of a record."""
    content, data = record["provenance"]["data"].get("sha256"), record["spec"]["data"]
    for path in given:
        try:
            if content_of({**data, "path": str(path)}) == content:
                return str(path)
        except ConfigError:  # it cannot be read
            continue
    raise ConfigError(f"it needs its data {Path(data['path']).name} (sha256 {str(content)[:8]}...): add --dataset FILE")


def _hashes(record: Record, evaluation: str, weights: str) -> dict[str, str]:
    """Return hashes of a record: of its method and data, of its weights, and of its values with its evaluation.

    There is no hash of values that are all counts or shares of samples, because they may be equal by chance.
    """
    method = [record["labels"]["model"], record["labels"]["data"]]
    values = [(row["metric"], row["value"]) for row in record["results"] if isinstance(row["value"], float)]
    hashes = {"method": cache.key(content=method)}
    if weights:
        hashes["weights"] = weights
    if any(map(_telling, record["results"])):
        hashes["values"] = cache.key(content=[*method, evaluation, values])
    return hashes


def _telling(row: Row) -> bool:
    """Return whether a value is neither a count, such as NFE, nor a share of samples, such as an accuracy."""
    value = row["value"]
    if not isinstance(value, float) or metric_of(row) == "nfe":
        return False
    count = value * max(row.get("n", 1), 1)
    return not math.isclose(count, round(count), rel_tol=1e-6)


def _measured(each: ReadRecord, retrain: bool) -> Verdict:
    """Measure a record again from its weights, and on request after training again."""
    spec, verdict = each.spec, each.verdict
    assert spec is not None
    record = read_kept(each.path)
    for train, what in ((False, "from its weights"), (True, "after training again"))[: 1 + retrain]:
        try:
            again = measure_again(each.path, spec, train)
        except (ConfigError, Unsupported, OSError, MemoryError) as error:
            return verdict._replace(reason=f"no values {what} here: {_line(error)}")
        except Exception as error:  # the weights give no finite samples
            return verdict._replace(state="not confirmed", reason=f"no values {what}: {_line(error)}")
        stated, here = record["provenance"]["data"], again["provenance"]["data"]
        if spec.data.get("path") is None and any(stated.get(name) != here.get(name) for name in ("sha256", "source")):
            verdict = verdict._replace(
                labels=(*verdict.labels, "made with other data than the data set of this name here")
            )
        found = compare(record, again, training=False)  # weights of earlier steps are not saved
        if not found.rows:
            return verdict._replace(reason="its metrics are outdated")
        different = found.different
        worst = max(found.deviations, key=lambda each: each.relative, default=None)
        verdict = verdict._replace(state="confirmed", reason="", values=found.rows, worst=worst, different=different)
        if different:
            return verdict._replace(state="not confirmed", reason=f"other values {what}")
    return verdict


def measure_again(path: Path, spec: Spec, train: bool = False) -> Record:
    """Run the spec of a record in a temporary folder, with the weights beside the record or after training again.

    Raises as `genbench.runs.run.run` does.
    """
    with TemporaryDirectory(prefix="genbench-") as folder:
        store = Store(Path(folder))
        if not train:
            store.folder(spec).mkdir(parents=True)
            store.weights_path(spec).symlink_to((path.parents[1] / "model.safetensors").resolve())
        return run(spec, store, may_train=train)


def _line(error: Exception) -> str:
    return " ".join((str(error) if isinstance(error, ConfigError) else reason_of(error)).split())[:300]
