"""Suites: the values and the costs of the runs that a results folder lists under a suite, or under none."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from genbench.analysis.values import Cost, Failure, Value, read_costs, read_values
from genbench.results.reader import Run, read_groups
from genbench.runs.record import failure_line
from genbench.runs.record_types import Record
from genbench.runs.store import Store


@dataclass(frozen=True)
class SuiteResults:
    """The results of a suite.

    Args:
        runs: without outdated ones.
    """

    name: str
    runs: tuple[Run, ...]
    failures: tuple[Failure, ...]

    @property
    def records(self) -> list[Record]:
        """The records of its runs."""
        return [run.record for run in self.runs]

    @cached_property
    def values(self) -> list[Value]:
        """All measured values."""
        return read_values(self.records)

    @cached_property
    def costs(self) -> list[Cost]:
        """The costs of all runs."""
        return read_costs(self.records)


def load_suites(store: Store, only: Collection[str] = ()) -> list[SuiteResults]:
    """Read the suites of a results folder, then its other runs. See `genbench.results.reader.read_groups`."""
    groups = read_groups(store, only)
    return [SuiteResults(group.name, group.runs, tuple(map(failure_of, group.failures))) for group in groups]


def failure_of(record: Record) -> Failure:
    """Return the row of a run that failed."""
    labels, seed = record["labels"], record["spec"]["seed"]
    return Failure(labels["model"], labels["data"], seed, failure_line(record))


def digest(*parts: Any) -> str:
    """Return a short hash of plain JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
