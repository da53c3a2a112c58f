"""Records: what a run measured, or why it failed, and how a record is written and read.

A record is plain JSON. Reading checks it against its typed model; later code trusts it. Reading takes the labels as
they are and builds neither data nor models, so that it takes no longer than the file needs.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from genbench.errors import ConfigError, RunFailed
from genbench.runs.record_types import (
    RECORD,
    Measurement,
    Origin,
    Provenance,
    Record,
    Row,
    SpecJson,
    metric_of,
    same_component,
)
from genbench.storage import files, trust
from genbench.storage.files import Damaged
from genbench.validation import explain

if TYPE_CHECKING:
    from genbench.runs.spec import Spec

MAX_PUBLISHED = 2**28
"""Largest size in bytes, unpacked, of a published file of records that is read."""


class Misfiled(Damaged):
    """A file belongs to another run than its folder, or the request, says."""


def identity(record: Record) -> tuple[str, str]:
    """Return what identifies an evaluation of a run: the names of its folders."""
    return record["labels"]["run"], record["labels"]["evaluation"]


def failure_line(record: Record) -> str:
    """Return the last line of the reason of a failure: after a traceback, it states the error."""
    return (record.get("failure") or "-").splitlines()[-1]


_SEAL = ',\n "sha256": "'


def format_record(record: Record) -> str:
    """Return a record as JSON, with one line per section and per result, so that diffs are readable.

    The last line is the sha256 of the lines before it.
    """
    lines = [f'"{name}": {json.dumps(record[name])}' for name in ("labels", "spec")]
    rows = ",\n  ".join(json.dumps(row, allow_nan=False) for row in record["results"])
    lines += [f'"results": [\n  {rows}\n ]', f'"provenance": {json.dumps(record["provenance"])}']
    lines += [f'"failure": {json.dumps(record["failure"])}'] if "failure" in record else []
    body = "{" + ",\n ".join(lines)
    return f'{body}{_SEAL}{hashlib.sha256(body.encode()).hexdigest()}"}}\n'


def check_readable(record: Record) -> None:
    """Raise RunFailed if `read_record` would refuse a record: its file would hide all its values."""
    try:
        RECORD.validate_json(json.dumps(record), strict=True)
    except ValueError as error:
        raise RunFailed(f"a metric has returned what no record can hold: {explain(error)}") from error


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        Damaged: if the file is not a record, or does not have its checksum.
        FileNotFoundError: if there is none.
    """
    body, seal, end = files.read(path).rpartition(_SEAL.encode())
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


def find_run(results: Path, name: str) -> Path | None:
    """Return the folder of a saved run or of one of its evaluations in a results folder; None if there is none.

    Args:
        name: the beginning of the name of the run, RUN/EVALUATION, or the path of such a folder or of a file in it.

    Raises:
        ConfigError: if several names have this beginning, or if the path is not in this results folder.
    """
    given, runs = Path(name), results / "runs"
    home = next((above for above in given.absolute().parents if above.resolve() == runs.resolve()), None)
    if home is not None:
        given = given.absolute().relative_to(home)
    elif len(given.parts) > 1 and given.exists():
        other = next((above.parent for above in given.parents if above.name == "runs"), None)
        advice = f"add --results {other}" if other else "name one of genbench list runs"
        raise ConfigError(f"{name} is not a run in {runs}: {advice}")
    run, *below = given.parts or (name,)
    saved = (*runs.glob("*/model.safetensors"), *runs.glob("*/*/record.json"))
    names = sorted({found for path in saved if (found := path.relative_to(runs).parts[0]).startswith(run)})
    if len(names) > 1 and run not in names:
        some = " and ".join(names[:2])
        raise ConfigError(f"{len(names)} runs begin with {run}, such as {some}: type more of the name")
    if not names:
        return None
    path = Path(runs, run if run in names else names[0], *below[:1])
    return path.parent if path.is_file() else path


def check_run(path: Path, folder: Path, run: str) -> None:
    """Raise Misfiled if a file is in RESULTS/runs and belongs to another run than its folder.

    Outside of RESULTS/runs, the folder of a run may have any name.
    """
    if folder.parent.name == "runs" and run != folder.name:
        raise Misfiled(f"{files.shown(path)} belongs to another run, {run}")


def check_request(path: Path, kept: Mapping[str, Any], spec: "Spec") -> None:
    """Raise Misfiled unless a saved spec and a requested one agree in everything but their metrics."""
    mine = spec.json()
    names = (kept.keys() | mine.keys()) - {"metrics"}
    if not all(_agree(kept.get(name), mine.get(name), spec) for name in names):
        raise Misfiled(f"{files.shown(path)} belongs to another run: its settings differ from the folder's")


def _agree(kept: Any, asked: Any, spec: "Spec") -> bool:
    """Return whether settings agree. A setting that only one side has is skipped, because versions of genbench add and
    remove settings with their defaults. Paths may differ, because the key of the run contains their content."""
    if kept == asked:
        return True
    if isinstance(kept, Mapping) and isinstance(asked, Mapping):
        return all(_agree(kept[name], asked[name], spec) for name in kept.keys() & asked.keys())
    with suppress(ConfigError):  # the component is not installed here
        return isinstance(kept, str) and isinstance(asked, str) and asked in trust.texts(spec.parts())
    return False


def missing_metrics(record: Record | None, spec: "Spec", again: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Return the metrics of a spec that a record lacks, or has with another version or other settings.

    Args:
        again: metrics to measure again if they had no value.
    """
    kept = record["spec"]["metrics"] if record is not None else {}
    missing = {name: part for name, part in spec.metrics.items() if not same_component(kept.get(name), part)}
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
    """Return the measurements without these metrics."""
    rest = [[name for name in measurement["metrics"] if name not in metrics] for measurement in measurements]
    return [{**each, "metrics": names} for each, names in zip(measurements, rest, strict=True) if names]


def beside(measurements: Iterable[Measurement], own: Origin, other: Origin) -> list[Measurement]:
    """Return measurements for the record of another training: each states its own training if that differs."""
    moved: list[Measurement] = []
    for measurement in measurements:
        training = measurement.get("training", own)
        rest: Measurement = {name: measurement[name] for name in measurement if name != "training"}  # type: ignore[assignment]
        moved.append(rest if training == other else {**rest, "training": training})
    return moved


def merge_records(kept: Record, new: Record, measured: Collection[str]) -> Record:
    """Return a record extended by another record of the same evaluation with its values of some metrics."""
    chosen = {name: new["spec"]["metrics"][name] for name in measured}
    metrics = dict(sorted({**kept["spec"]["metrics"], **chosen}.items()))
    rows = [row for row in new["results"] if metric_of(row) in measured]
    others = new["spec"]["metrics"].keys() - set(measured)
    measurements = without_measured(kept["provenance"]["measurements"], measured)
    trained, own = kept["provenance"]["training"], new["provenance"]["training"]
    for more in beside(without_measured(new["provenance"]["measurements"], others), own, trained):
        # A measurement of which other metrics stay is stated once, and its cost is counted once.
        same = next((each for each in measurements if each == {**more, "metrics": each["metrics"]}), None)
        if same is not None:
            measurements.remove(same)
            more["metrics"] = sorted([*same["metrics"], *more["metrics"]])
        measurements.append(more)
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
    """Read records.jsonl.gz of a suite: one record per line, failures included.

    Raises:
        Damaged: if the file is damaged, too large, or a line is not a record.
    """
    try:
        if not path.stat().st_size:
            raise ValueError("the file is empty")
        with files.open_regular(path, files.MAX_TEXT) as file, gzip.open(file) as content:
            text = content.read(MAX_PUBLISHED + 1)
        if len(text) > MAX_PUBLISHED:
            raise ValueError(f"unpacked, it has more than {MAX_PUBLISHED:,} bytes")
        lines = (from_json(line, allow_inf_nan=False) for line in text.splitlines())
        return [RECORD.validate_python(line, strict=True) for line in lines]
    except (OSError, ValueError, EOFError, RecursionError, zlib.error) as error:
        raise Damaged(f"{files.shown(path)} holds no records: {explain(error)}") from error


def format_published(records: Iterable[Record]) -> bytes:
    """Return the content of records.jsonl.gz: one line per record.

    Raises:
        ConfigError: if the file would be too large to be read.
    """
    lines = (json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n" for record in records)
    text = "".join(lines).encode()
    content = gzip.compress(text, mtime=0)
    if len(text) > MAX_PUBLISHED or len(content) > files.MAX_TEXT:
        size = f"{len(text):,} bytes ({len(content):,} compressed)"
        most = f"{MAX_PUBLISHED:,} bytes ({files.MAX_TEXT:,} compressed)"
        raise ConfigError(f"the records have {size}; genbench reads at most {most}: split the suite")
    return content
