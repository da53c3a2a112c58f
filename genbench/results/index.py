"""The index: the measured values of a results folder in one file that loads fast, made anew from the records at will.

It knows each record by the place, size, time and number of its file; records that changed are read again, and proven
by their checksums, when the index is asked for. A damaged index is built again.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from genbench.results.frames import COLUMNS, NUMBERS, names_of, protocol
from genbench.runs import versions
from genbench.runs.record import Record, read_record
from genbench.runs.store import Store
from genbench.storage import files
from genbench.storage.files import Damaged

log = logging.getLogger("genbench")

FILE = "index.npz"
FORMAT = 2
TEXT = ("metric", "protocol", "better", "point", "solver", "reason", "rest")
FLOATS = ("value", "floor", "n", "nfe", "step")


class Index(NamedTuple):
    """What is known of records.

    Args:
        heads: per record: [path, signature of the file, run, model, data, seed, original, number of its spec].
        specs: specs but for their seeds, as JSON; many records share one.
        rows: one row a value; "record" is the number of its head.
    """

    heads: list[list[Any]]
    specs: list[str]
    rows: pd.DataFrame


def frame(store: Store) -> pd.DataFrame:
    """Return one row a measured value of all whole and current records, as `genbench.results.frames.frame` does."""
    index = refresh(store)
    known = [json.loads(text) for text in index.specs]
    old = [_stale(spec, index.heads, number) for number, spec in enumerate(known)]
    numbers = np.array([head[-1] for head in index.heads], dtype=int)
    kept = np.array([not isinstance(old[number], str) for number in numbers], dtype=bool)
    table = _where(index.rows, kept)
    for number, metrics in enumerate(old):
        if isinstance(metrics, Mapping) and metrics:
            family = pd.Series(table["metric"]).str.partition(".")[0]
            gone = (numbers[table["record"].to_numpy()] == number) & family.isin(metrics).to_numpy()
            table = table.loc[~gone]
    names = _names(index.heads, known)
    whose = pd.DataFrame(
        {
            "run": [head[2] for head in index.heads],
            "model": names,
            "data": [head[4] for head in index.heads],
            "seed": [head[5] for head in index.heads],
            "original": [head[6] for head in index.heads],
        }
    )
    table = pd.concat([table.reset_index(drop=True), whose.iloc[table["record"]].reset_index(drop=True)], axis=1)
    return _spread(table).astype(NUMBERS)


def refresh(store: Store) -> Index:
    """Return the index, brought up to date, and kept where the folder can be written."""
    place = store.root / FILE
    now = _files(store)
    before = _load(place)
    same = [head for head in before.heads if now.get(head[0]) == head[1]]
    if len(same) == len(now) == len(before.heads):
        return before
    fresh = _read(store, [path for path in now if path not in {head[0] for head in same}], now)
    index = _merged(_chosen(before, same), fresh)
    with suppress(OSError):
        for leftover in store.root.glob(f".{FILE}.*.tmp"):
            leftover.unlink(missing_ok=True)  # of a killed process; one that is at it now gives up its own
        files.replace(place, lambda temporary: _save(temporary, index))
    return index


def _files(store: Store) -> dict[str, list[int]]:
    """Return the signature of the file of each record; names of runs and evaluations by which it is found."""
    found = {}
    with suppress(FileNotFoundError):
        for run in os.scandir(store.runs):
            with suppress(NotADirectoryError, FileNotFoundError):
                for evaluation in os.scandir(run.path):
                    with suppress(NotADirectoryError, FileNotFoundError):
                        status = os.stat(f"{evaluation.path}/record.json")
                        signature = [status.st_mtime_ns, status.st_size, status.st_ino]
                        found[f"{run.name}/{evaluation.name}"] = signature
    return dict(sorted(found.items()))


def _read(store: Store, paths: Sequence[str], signatures: Mapping[str, list[int]]) -> Index:
    heads, specs, rows = [], {}, []
    for path in paths:
        try:
            record = read_record(store.runs / path / "record.json")
        except FileNotFoundError:
            continue
        except Damaged as error:
            log.warning("%s; it is left out", error)
            continue
        spec = specs.setdefault(json.dumps({**record["spec"], "seed": 0}), len(specs))
        labels, original = record["labels"], record["provenance"]["data"].get("original", True)
        whose = [labels["run"], labels["model"], labels["data"], record["spec"]["seed"], original]
        rows += [_row(row | {"protocol": protocol(row)}, len(heads)) for row in record["results"]]
        heads.append([path, signatures[path], *whose, spec])
    return Index(
        heads, list(specs), pd.DataFrame(rows, columns=["record", *TEXT, *FLOATS]).astype(dict.fromkeys(FLOATS, float))
    )


def _row(row: Mapping[str, Any], record: int) -> dict[str, Any]:
    rest = {name: value for name, value in row.items() if name not in TEXT and name not in FLOATS}
    return {"record": record, "rest": json.dumps(rest) if rest else None} | {
        name: row.get(name) for name in (*TEXT[:-1], *FLOATS)
    }


def _chosen(index: Index, heads: Sequence[list[Any]]) -> Index:
    paths = {head[0] for head in heads}
    kept = np.array([head[0] in paths for head in index.heads], dtype=bool)
    number = np.cumsum(kept) - 1
    rows = _where(index.rows, kept)
    return Index(list(heads), index.specs, rows.assign(record=number[rows["record"].to_numpy(dtype=int)]))


def _where(rows: pd.DataFrame, kept: np.ndarray) -> pd.DataFrame:
    """Return the rows of the records that are kept."""
    return rows.loc[kept[rows["record"].to_numpy(dtype=int)]]


def _merged(one: Index, other: Index) -> Index:
    """Return both in the order of their paths, with the specs that they use."""
    specs: dict[str, int] = {}
    heads = []
    for part in (one, other):
        heads += [[*head[:-1], specs.setdefault(part.specs[head[-1]], len(specs))] for head in part.heads]
    order = sorted(range(len(heads)), key=lambda i: heads[i][0])
    place = np.empty(len(heads), dtype=int)
    place[order] = np.arange(len(heads))
    parts = [one.rows, other.rows.assign(record=other.rows["record"] + len(one.heads))]
    rows = pd.concat([part for part in parts if len(part)] or parts[1:], ignore_index=True)
    rows = rows.assign(record=place[rows["record"].to_numpy(dtype=int)]).sort_values("record", kind="stable")
    return Index([heads[i] for i in order], list(specs), rows.reset_index(drop=True))


def _save(path: Path, index: Index) -> None:
    arrays: dict[str, np.ndarray] = {"record": index.rows["record"].to_numpy(np.int32)}
    arrays |= {name: index.rows[name].to_numpy(np.float64) for name in FLOATS}
    words = {}
    for name in TEXT:
        codes, values = pd.factorize(index.rows[name])
        arrays[name], words[name] = codes.astype(np.int32), list(values)
    head = {"format": FORMAT, "heads": index.heads, "specs": index.specs, "words": words}
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _load(path: Path) -> Index:
    nothing = Index([], [], pd.DataFrame(columns=["record", *TEXT, *FLOATS]).astype({"record": int}))
    if not path.exists():
        return nothing
    try:
        with np.load(path, allow_pickle=False) as arrays:
            head = json.loads(arrays["head"].tobytes())
            if head["format"] != FORMAT:
                return nothing
            columns = {"record": arrays["record"]}
            for name in TEXT:
                # The last word stands for code -1: there is none.
                columns[name] = np.array([*head["words"][name], None], dtype=object)[arrays[name]]
            columns |= {name: arrays[name] for name in FLOATS}
            return Index(head["heads"], head["specs"], pd.DataFrame(columns))
    except Exception:  # whatever is wrong with it, it can be built again
        log.warning("%s is damaged; it is built again", path)
        return nothing


def _stale(spec: Mapping[str, Any], heads: Sequence[list[Any]], number: int) -> str | dict[str, str]:
    """Return why records of a spec are stale, or which of their metrics are."""
    head = next((head for head in heads if head[-1] == number), None)
    if head is None:
        return {}
    record: Record = {"spec": {**spec, "seed": head[5]}, "labels": {"run": head[2]}}
    return versions.reason(record) or versions.stale_metrics(record)


def _names(heads: Sequence[list[Any]], specs: Sequence[Mapping[str, Any]]) -> list[str]:
    alike = dict.fromkeys((head[3], head[4], head[-1]) for head in heads)
    named = names_of([{"labels": {"model": m, "data": d}, "spec": specs[number]} for m, d, number in alike])
    found = dict(zip(alike, named, strict=True))
    return [found[head[3], head[4], head[-1]] for head in heads]


def _spread(table: pd.DataFrame) -> pd.DataFrame:
    """Give what is beyond the usual columns columns of its own."""
    codes, texts = pd.factorize(table["rest"])
    words = [json.loads(text) for text in texts]
    extra = sorted({name for word in words for name in word})
    for name in extra:
        values = np.empty(len(words) + 1, dtype=object)
        values[:-1] = [word.get(name) for word in words]
        values[-1] = None  # of code -1: there is nothing beyond
        table[name] = values[codes]
    return table.reindex(columns=[*COLUMNS, *extra])
