"""Train published cells again, and print how well their values agree with the published ones.

    python -m benchmarks.reproduction plane-v1 digits-v1    # their samples of cells, declared below
    python -m benchmarks.reproduction plane-v1 --whole      # all cells

Ctrl-C stops it, and the same command resumes. New runs go to a separate folder. Exit codes are as for `genbench`.
"""

import argparse
import logging
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.reproduction.verdict import Cells, reproduction
from genbench.analysis.track_runs import Chosen
from genbench.cli import options as command_line
from genbench.cli.main import exit_code, stop_on_signals
from genbench.errors import ConfigError, RunFailed
from genbench.results.frames import tables_of
from genbench.results.reader import RECORDS
from genbench.results.status import cell_names
from genbench.runs.record import identity, read_published, without_metrics
from genbench.runs.record_types import Record
from genbench.runs.spec import Spec
from genbench.runs.store import labels_of, writable_store
from genbench.storage import files
from genbench.storage.memory import keep_freed
from genbench.suites import FOLDER, find
from genbench.sweeps import suite
from genbench.sweeps.durations import recorded_durations
from genbench.sweeps.ensembles import among
from genbench.sweeps.execution import execute
from genbench.sweeps.progress import ProgressDisplay


class Sample(NamedTuple):
    """Cells of a track that show whether it can be reproduced.

    Args:
        tables: {label of a data set: the table of its cells}. Cells for which tuning kept the defaults are in both.
    """

    tables: Mapping[str, Chosen]
    steps: int
    seeds: tuple[int, ...]

    def has(self, data: str, steps: int, seed: int, tables: Collection[str]) -> bool:
        """Return whether a cell, declared or published, is in the sample."""
        return steps == self.steps and seed in self.seeds and self.tables.get(data) in tables

    def cells(self, track: suite.Sweep) -> list[Spec]:
        """Return the cells. An ensemble of them has no other seeds.

        Raises:
            ConfigError: if there are none.
        """
        found = [
            among(spec, self.seeds)
            for spec, own in zip(track.specs, track.places, strict=True)
            if self.has(spec.data_label, spec.plan["steps"], spec.seed, tables_of({"track": own}))
        ]
        if not found:
            raise ConfigError(f"the sample of {track.name} holds no cell of the track: mend SAMPLES, or give --whole")
        return found


SAMPLES = {
    "plane-v1": Sample({"moons": "tuned", "checkerboard": "default", "pinwheel": "default"}, 2000, (0, 1)),
    "digits-v1": Sample({"digits": "tuned"}, 800, (0,)),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, print the verdict, and return the exit code: 0 it agrees, 1 it does not, 2 the request was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="+", help="published suites, or tracks")
    parser.add_argument("--whole", action="store_true", help="all cells, not the samples of tracks")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--results", type=Path, default=Path("reproduced"), help="folder of the new runs")
    parser.add_argument(
        "--against", type=Path, help="folder with the published values; default: results, or the package's own"
    )
    given = parser.parse_args(arguments)
    if given.jobs < 1:
        parser.error(f"--jobs {given.jobs}: write 1 or more")
    logging.basicConfig(format="%(message)s")
    keep_freed()
    stop_on_signals()

    def command() -> int:
        return reproduce([find(name) for name in given.suites], given.whole, given.jobs, given.results, given.against)

    return exit_code(command)


def reproduce(paths: list[Path], whole: bool, jobs: int, results: Path, against: Path | None) -> int:
    """Train the cells of suites into `results`, and print how well they agree with the values published in `against`.

    A track is represented by the cells of its sample, another suite by all cells.

    Raises:
        ConfigError: if nothing can be compared, or `results` is the folder of the published values.
        RunFailed: if values do not agree, or a published run was not repeated.
    """
    usual = Path("results")
    against = against or (usual if all((usual / path.stem).is_dir() for path in paths) else FOLDER)
    files.require_folder(against, there=True)
    if results.resolve() == against.resolve():
        raise ConfigError(f"--results {results}: train into a folder of its own, not into --against")
    specs, published, every, unpublished, changed = _chosen(paths, whole, against)
    store = writable_store(results)
    missing = [spec for spec in specs if not store.is_complete(spec, store.record(spec))]
    print(f"{len(specs)} published cells, {len(missing)} to run", file=sys.stderr)
    durations, skipped = recorded_durations(missing, every), len(specs) - len(missing)
    with ProgressDisplay(cell_names(missing), command_line.stderr(), skipped, durations, jobs) as display:
        execute(missing, store, jobs, display.on_event, durations=durations)
    again = [record for spec in specs if (record := store.record(spec)) is not None]
    found = reproduction(again, published, every)
    for sentence in found.sentences():
        command_line.print_wrapped(sentence)
    lacking = f"; not: {_some(unpublished)}" if unpublished else ""
    command_line.print_wrapped(f"{len(specs)} of {len(specs) + len(unpublished)} declared cells are published{lacking}")
    if changed:
        raise RunFailed(
            f"{len(changed)} published runs match no declared cell, because a version or a setting has changed: "
            f"{_some(changed)}"
        )
    if found.absent:
        raise RunFailed(
            f"{len(found.absent)} published runs were not repeated, or not as a whole: {_some(found.absent)}"
        )
    if found.problems:
        raise RunFailed(f"these do not agree with the values published in {against}: {_some(found.problems)}")
    return 0


class _Chosen(NamedTuple):
    """What is to be reproduced.

    Args:
        published: the published records of the cells.
        every: all published records, for the spread over seeds.
        unpublished: the declared cells without a published record.
        changed: published runs that should be repeated, but that match no declared cell any more.
    """

    specs: list[Spec]
    published: list[Record]
    every: list[Record]
    unpublished: list[str]
    changed: list[str]


def _chosen(paths: list[Path], whole: bool, against: Path) -> _Chosen:
    found = _Chosen([], [], [], [], [])
    for path in paths:
        loaded = suite.load(path)
        if not (against / loaded.name / RECORDS).exists():
            raise ConfigError(f"{against} publishes no {loaded.name}: there is nothing to compare with")
        records = [r for r in read_published(against / loaded.name / RECORDS) if "failure" not in r and r["results"]]
        found.every.extend(records)
        by_run, alike = {identity(r): r for r in records}, Cells(records)
        sample = None if whole else SAMPLES.get(path.stem)
        declared = sample.cells(loaded) if sample else loaded.specs
        matched = set()
        for spec in declared:
            labels = labels_of(spec)
            record = by_run.get((labels["run"], labels["evaluation"])) or alike.get(spec.json())
            # A record may have metrics of other suites, too.
            others = record["spec"]["metrics"].keys() - spec.metrics.keys() if record is not None else set()
            if record is not None and (own := without_metrics(record, others)) is not None:
                matched.add(identity(record))
                found.specs.append(spec)
                found.published.append(own)
            else:
                found.unpublished.append(f"{labels['model']} on {labels['data']}, seed {spec.seed}")
        wanted = [r for r in records if sample is None or sample.has(*_place(r), tables_of(r))]
        found.changed.extend(r["labels"]["run"] for r in wanted if identity(r) not in matched)
    if not found.specs and not found.changed:
        raise ConfigError(f"{against} publishes no cell of {', '.join(path.stem for path in paths)}")
    return found


def _place(record: Record) -> tuple[str, int, int]:
    return record["labels"]["data"], record["spec"]["plan"]["steps"], record["spec"]["seed"]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f", and {len(names) - 3} others" if len(names) > 3 else "")


if __name__ == "__main__":
    sys.exit(main())
