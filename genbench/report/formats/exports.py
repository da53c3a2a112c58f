"""The leaderboard as files that other programs read: CSV, Parquet, and evaluation results of the Hugging Face hub."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from genbench.analysis.leaderboard import Leaderboard
from genbench.analysis.means import format_mean
from genbench.errors import ConfigError
from genbench.report.formats.leaderboard import document
from genbench.storage import files

SUFFIXES = (".csv", ".parquet", ".yaml")


def export(ranking: Leaderboard, path: Path) -> list[Path]:
    """Write the leaderboard in the format of the suffix, and return the files.

    .yaml writes one file for each method, NAME-METHOD.yaml, which belongs into the folder .eval_results of that model's
    repository on the hub (https://huggingface.co/docs/hub/eval-results).

    Raises:
        ConfigError: on another suffix, or where pyarrow is missing.
    """
    rows = ranking.rows()
    if path.suffix == ".csv":
        files.write(path, document(ranking))
    elif path.suffix == ".parquet":
        try:
            files.replace(path, lambda temporary: pd.DataFrame(rows).to_parquet(temporary))
        except ImportError as error:
            raise ConfigError("writing Parquet needs pyarrow: pip install 'genbench[parquet]'") from error
    elif path.suffix == ".yaml":
        return list(_eval_results([row for row in rows if row["mean"] is not None], path))
    else:
        raise ConfigError(f"--export {path}: the name ends with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    return [path]


def _eval_results(rows: list[dict[str, Any]], path: Path) -> Iterator[Path]:
    for method in dict.fromkeys(row["method"] for row in rows):
        name = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in method)
        target = path.with_name(f"{path.stem}-{name}.yaml")
        of_method = [row for row in rows if row["method"] == method]
        files.write(target, "".join(_entry(row) for row in of_method))
        yield target


def _entry(row: dict[str, Any]) -> str:
    """Return a YAML entry; JSON strings and numbers are YAML."""
    notes = f"{row['model']}: {format_mean(row['mean'], row['half_interval'])} (95 %), {row['seeds']} seeds; "
    notes += f"{row['steps']} steps of {row['batch_size']}; {row['protocol']}; measured by genbench"
    return (
        f"- dataset:\n    id: {json.dumps('genbench/' + row['data'])}\n    task_id: {json.dumps(row['metric'])}\n"
        f"  value: {json.dumps(row['mean'])}\n  notes: {json.dumps(notes)}\n"
    )
