"""genbench from Python: the same names, settings and results folder as on the command line."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from genbench.analysis.values import read_values
from genbench.core import Model
from genbench.errors import ConfigError
from genbench.models.build import build_model
from genbench.report.formats.writers import means
from genbench.results import frames
from genbench.results.reader import RECORDS, join, read_groups
from genbench.runs import run as runner
from genbench.runs import store, weights_file
from genbench.runs.make_spec import make_spec
from genbench.runs.record import identity
from genbench.runs.record_types import Record
from genbench.runs.spec import build_data
from genbench.runs.versions import without_outdated
from genbench.settings import Settings
from genbench.sweeps import suite, user_files
from genbench.sweeps.cells import CellEvent
from genbench.sweeps.execution import execute

log = logging.getLogger("genbench")


def run(
    model: str,
    dataset: str,
    *,
    seed: int = 0,
    metrics: Iterable[str] | None = None,
    settings: Settings | None = None,
    results: str | Path = "results",
) -> Record:
    """Train, sample and measure one model on one data set, or return the record if there already is one.

    Args:
        model: name of a model, as `genbench list models` shows it; or a Python file that registers one, `file.py:name`.
        dataset: name of a data set; or a file of points, a folder or archive of images, a Python file.
        seed: everything random derives from it.
        metrics: names of metrics; by default the data set's metrics.
        settings: nested by section, as `--set` writes them.
        results: the results folder.

    Raises:
        ConfigError: if the request is wrong.
        RunFailed: if training or a metric fails.

    Examples:
        >>> import genbench, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> record = genbench.run("cfm", "moons", metrics=["sliced_w2"], results=folder,
        ...                       settings={"plan": {"steps": 20}, "evaluation": {"n": 256, "curve": []}})
        >>> [row["metric"] for row in record["results"]]
        ['sliced_w2']
        >>> samples = genbench.load(folder, record["labels"]["run"]).sample
        >>> genbench.table(folder)[["model", "data", "metric", "seeds"]].values.tolist()
        [['cfm', 'moons', 'sliced_w2', 1]]
    """
    model, dataset, chosen, merged = user_files.request(model, dataset, metrics, settings or {})
    spec = make_spec(model, dataset, seed=seed, metrics=chosen, settings=merged)
    return runner.run(spec, store.Store(Path(results)))


def sweep(path: str | Path, *, results: str | Path = "results", jobs: int = 1) -> pd.DataFrame:
    """Run the missing cells of a suite, and return its table in the format of `table`.

    A cell that fails has no row; its reason is logged as a warning.

    Args:
        path: a suite file.
        results: as in `run`.
        jobs: number of processes.

    Raises:
        ConfigError: if the suite is wrong.
    """
    cells = suite.load(Path(path)).specs
    kept = store.writable_store(Path(results))
    missing = [spec for spec in cells if not kept.is_complete(spec, kept.record(spec))]
    reasons = execute(missing, kept, jobs, _log_warning)
    for spec, reason in zip(missing, reasons, strict=True):
        if reason is not None:
            log.warning("%s on %s, seed %d failed: %s", spec.model_label, spec.data_label, spec.seed, reason)
    return _summary(without_outdated(record for spec in cells if (record := kept.record(spec)) is not None))


def load(results: str | Path, run: str = "") -> Model:
    """Return a trained model, ready to sample, with the evaluated weights.

    Args:
        results: the results folder, or the folder of a run itself.
        run: name of the run in the results folder, as records state it (`record["labels"]["run"]`).

    Raises:
        ConfigError: if no such model is saved.
    """
    folder = Path(results) / "runs" / run if run else Path(results)
    spec = store.spec_at(folder)
    model = build_model(spec.model, spec.encoder, build_data(spec.data))
    weights_file.restore_weights(model, folder / "model.safetensors", spec)
    return model.eval()


def frame(results: str | Path = "results") -> pd.DataFrame:
    """Return every saved or published value that is not outdated, one row per value.

    Args:
        results: a results folder, or the folder of a suite in it.

    Raises:
        ConfigError: if there are no records.
    """
    return frames.frame(_records(Path(results)))


def table(results: str | Path = "results") -> pd.DataFrame:
    """Return the mean over seeds, standard error and floor of every saved or published value that is not outdated.

    Args:
        results: a results folder, or the folder of a suite in it.

    Returns:
        One row for each model, data set and metric after training, and one for each point of its curve and each step
            of training at which the metric was measured.

    Raises:
        ConfigError: if there are no records.
    """
    return _summary(_records(Path(results)))


def _records(results: Path) -> list[Record]:
    """Read the records that are not outdated. Records of one run in several suites are merged, with all metrics."""
    if not results.is_dir():
        raise ConfigError(f"no folder at {results}: name a results folder, or the folder of a suite in it")
    folder = results.resolve()
    is_suite = (folder / RECORDS).exists()
    groups = read_groups(store.Store(folder.parent if is_suite else results), [folder.name] if is_suite else ())
    merged: dict[tuple[str, str], Record | None] = {}
    for record in (run.record for group in groups for run in group.runs):
        merged[identity(record)] = join(merged.get(identity(record)), record)
    return [record for record in merged.values() if record is not None]


def _summary(records: Sequence[Record]) -> pd.DataFrame:
    rows = means(read_values(records)).dropna(subset="value")
    rows = rows.drop(columns=["reason", "failed_runs"]).rename(columns={"standard_error": "se"})
    return rows.reset_index(drop=True)


def _log_warning(event: CellEvent) -> None:
    """Log a warning of a process of a sweep."""
    if event.kind == "warning":
        log.warning("%s", event.message)
