"""Tracks: every model on every task at every budget, and in three regimes of sampling.

A cell has a value for every seed of its budget, or a word that says what it lacks. Only cells with all seeds are
compared, within a task by pairs and across tasks by their excess over the floor, both as in any leaderboard.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from genbench.analysis.effects import Effects, Task, effects
from genbench.analysis.means import mean_and_error, mean_and_half
from genbench.analysis.pairwise import Pairwise, compare_all
from genbench.analysis.track_runs import Chosen, Place, read_track, track_runs
from genbench.report.track_seconds import Seconds, read_seconds
from genbench.results.frames import doubtful_density
from genbench.results.reader import Run
from genbench.runs.record_types import Record
from genbench.runs.store import Store
from genbench.sweeps.set_options import as_set_options
from genbench.sweeps.suite import track_rows
from genbench.sweeps.suite_file import Budget, Suite

REGIMES = (1, 4, None)
"""Network evaluations of a sample that tables show; None is the solver of the model's own settings."""
LIKELIHOODS = ("nll", "bits_per_dim")
"""Metrics that have a table of their own."""
TARGET = 1.1
"""The excess of the baseline's own sampler, times this, is the common target of all methods."""


class Cell(NamedTuple):
    """A model on a task.

    Args:
        values: {seed: headline metric}.
        word: what it lacks for a comparison, such as "missing", "failed 2 of 10" or "unsupported"; empty if nothing.
        reason: why, if that is known.
        stated: settings that were chosen for it on this task, in words.
        errors: standard errors of the evaluations.
    """

    values: Mapping[int, float]
    word: str
    reason: str = ""
    stated: str = ""
    errors: tuple[float, ...] = ()


ABSENT = Cell({}, "not at this budget")


class Contest(NamedTuple):
    """The models on a task, at one budget and in one regime.

    Args:
        cells: {model: cell}.
        floor: {seed: value of real data}.
        pairs: the comparison of the models with all seeds.
    """

    data: str
    metric: str
    better: str
    protocol: str
    cells: Mapping[str, Cell]
    floor: Mapping[int, float]
    pairs: Pairwise

    def above_floor(self, model: str) -> float:
        """Return how much worse than real data the mean of a model is."""
        mean, floor = (mean_and_error(values.values())[0] for values in (self.cells[model].values, self.floor))
        return floor - mean if self.better == "higher" else mean - floor

    @property
    def noise(self) -> float | None:
        """The error of an evaluation over the spread of seeds, in the median over models; None if it is not known."""
        shares = []
        for cell in self.cells.values():
            _, error = mean_and_error(cell.values.values()) if cell.values else (0.0, None)
            if error and cell.errors:
                square = sum(each**2 for each in cell.errors) / len(cell.errors)
                shares.append(math.sqrt(square / len(cell.values)) / error)
        return median(shares) if shares else None


class Heat(NamedTuple):
    """All tasks at one budget and in one regime, and the effects across them.

    Args:
        nfe: network evaluations of a sample; None is the method's own sampler.
    """

    steps: int
    seeds: tuple[int, ...]
    nfe: int | None
    contests: tuple[Contest, ...]
    effects: Effects


class TrackBoard(NamedTuple):
    """A track.

    Args:
        models: all rows: by their ratio at the longest whole budget, then as the track lists them.
        further: the rows that the track does not list.
        shown: the shortest budget with values, the longest whole one, which lacks no cell of the track that it has,
            and those of further rows.
        likelihoods: the tasks by likelihood instead of the headline metric, by budget.
        seconds: of training; None if they were not measured.
        lacking: {steps: {word: number of cells}} with each method's own sampler; "" counts the cells with all seeds.
    """

    name: str
    settings: Chosen
    baseline: str
    models: tuple[str, ...]
    further: tuple[str, ...]
    shown: tuple[int, ...]
    heats: tuple[Heat, ...]
    likelihoods: Mapping[int, tuple[Contest, ...]]
    seconds: Seconds | None
    lacking: Mapping[int, Mapping[str, int]]

    @property
    def budgets(self) -> list[int]:
        """Training steps, from few to many."""
        return sorted(self.lacking)

    def heat(self, steps: int, nfe: int | None) -> Heat:
        """Return the contests at a budget in a regime."""
        return next(heat for heat in self.heats if (heat.steps, heat.nfe) == (steps, nfe))

    def evaluations(self, steps: int) -> dict[str, dict[str, float | None]]:
        """Return {scored task: {model with all seeds: the fewest measured NFE that reach the target}}.

        The target is the floor plus `TARGET` times the excess of the baseline with its own sampler. Infinity if that of
        the model alone reaches it, None if that does not either.
        """
        converged = self.heat(steps, None)
        curve = sorted(
            (heat for heat in self.heats if heat.steps == steps and heat.nfe), key=lambda heat: heat.nfe or 0
        )
        found: dict[str, dict[str, float | None]] = {}
        for index, contest in enumerate(converged.contests):
            if contest.data not in converged.effects.scored:
                continue
            target = TARGET * contest.above_floor(self.baseline)
            for model in (model for model in self.models if not contest.cells[model].word):
                heats = (heat for heat in curve if not heat.contests[index].cells[model].word)
                reached = (heat.nfe for heat in heats if heat.contests[index].above_floor(model) <= target)
                alone = math.inf if contest.above_floor(model) <= target else None
                found.setdefault(contest.data, {})[model] = next(reached, alone)
        return found

    def json(self) -> dict[str, Any]:
        """Return plain JSON: the effects of each budget and regime, and one row for each cell there."""
        parts = [{"steps": h.steps, "nfe": h.nfe, "seeds": list(h.seeds), **h.effects.json()} for h in self.heats]
        shared = {"track": self.name, "settings": self.settings, "baseline": self.baseline}
        return {**shared, "cells": self.lacking, "across": parts, "rows": list(self.rows())}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one plain row for each cell of each budget and regime."""
        for heat in self.heats:
            for contest, model in product(heat.contests, self.models):
                cell, pairs = contest.cells[model], contest.pairs
                mean, half = mean_and_half(cell.values.values()) if cell.values else (None, None)
                floor = mean_and_error(contest.floor.values())[0] if contest.floor else None
                row = {"data": contest.data, "model": model, "steps": heat.steps, "nfe": heat.nfe}
                row |= {"metric": contest.metric, "better": contest.better, "mean": mean, "half_interval": half}
                row |= {"floor": floor, "seeds": len(cell.values), "letters": pairs.letters.get(model)}
                row |= {"at_floor": model in pairs.at_floor, "word": cell.word, "reason": cell.reason}
                yield row | {"stated": cell.stated, "protocol": contest.protocol}


def track_board(path: Path, store: Store, settings: Chosen | None = None, added: Iterable[Record] = ()) -> TrackBoard:
    """Return the board of a track, from its published records and the records of a results folder.

    Args:
        path: of the suite file.
        settings: the table: by default settings, or by those that tuning chose; by default these, once there are some.
        added: records of submissions.

    Raises:
        ConfigError: if the suite is not a track.
    """
    suite, track = read_track(path)
    settings = settings or ("tuned" if suite.chosen else "default")
    rows = track_rows(suite)
    headlines = {row.dataset: row.metrics[0] for row in rows}
    listed = tuple(dict.fromkeys(row.label for row in rows))
    runs, failures, further = track_runs(path, rows, store, settings, added)
    models = (*listed, *further)
    chosen = suite.chosen if settings == "tuned" else {}
    curve = suite.evaluation.get("curve", [])
    regimes = [*sorted({*curve, *(nfe for nfe in REGIMES if nfe is not None)}), None]
    likelihoods = {row.dataset: metric for row in rows for metric in row.metrics if metric in LIKELIHOODS}

    def contests(budget: Budget, nfe: int | None, metrics: Mapping[str, str]) -> Iterator[Contest]:
        for data, metric in metrics.items():
            lengths = {row.label: row.model.at(budget) for row in rows if row.dataset == data}
            lengths |= {row: {"plan": {"steps": budget.steps}} for row in further}
            places = {row: Place(data, row, length["plan"]["steps"]) for row, length in lengths.items() if length}
            own = {row: [*runs.get(place, {}).values()] for row, place in places.items()}
            lost = {row: failures.get(place, set()) for row, place in places.items()}
            tuned = {row: _stated(chosen.get(data, {}).get(row, {})) for row in models}
            contest = _contest(data, metric, nfe, budget.seeds, own, lost, tuned)
            yield contest._replace(cells={row: contest.cells.get(row, ABSENT) for row in models})

    heats = []
    for budget, nfe in product(suite.budgets, regimes):
        found = tuple(contests(budget, nfe, headlines))
        compared = [Task(c.data, c.better, _complete(c.cells), c.floor, c.pairs) for c in found]
        heats.append(Heat(budget.steps, tuple(budget.seeds), nfe, found, effects(compared, track.baseline)))
    trained = {row.label for row in rows if row.model.sections["plan"].get("steps") != 0}
    whole = _whole([heat for heat in heats if heat.nfe is None], trained)
    own = {h.steps for h in heats if any(contest.cells[row].values for contest in h.contests for row in further)}
    return TrackBoard(
        path.stem,
        settings,
        track.baseline,
        _ordered(models, next(heat for heat in heats if (heat.steps, heat.nfe) == (whole[-1], None))),
        further,
        tuple(sorted({*whole, *own})),
        tuple(heats),
        {budget.steps: tuple(contests(budget, None, likelihoods)) for budget in suite.budgets},
        read_seconds(path),
        _lacking(heats, suite, listed),
    )


def _contest(
    data: str,
    metric: str,
    nfe: int | None,
    seeds: Sequence[int],
    runs: Mapping[str, Sequence[Run]],
    failed: Mapping[str, Collection[int]],
    tuned: Mapping[str, str],
) -> Contest:
    rows = {m: {run.seed: _row(run.record, metric, nfe) for run in own if run.seed in seeds} for m, own in runs.items()}
    measured = [row for own in rows.values() for row in own.values() if row.get("value") is not None]
    floors: dict[int, list[float]] = {}
    for own in rows.values():
        for seed, row in own.items():
            if row.get("value") is not None and row.get("floor") is not None:
                floors.setdefault(seed, []).append(row["floor"])
    floor = {seed: mean_and_error(values)[0] for seed, values in sorted(floors.items())}
    better = measured[0]["better"] if measured else "lower"
    stated = {
        model: " ".join(filter(None, [tuned[model], *{run.stated for run in own}])) for model, own in runs.items()
    }
    cells = {model: _cell(own, seeds, failed[model], stated[model]) for model, own in rows.items()}
    protocol = measured[0].get("protocol") or "" if measured else ""
    return Contest(data, metric, better, protocol, cells, floor, compare_all(_complete(cells), better, floor))


def _complete(cells: Mapping[str, Cell]) -> dict[str, Mapping[int, float]]:
    return {model: cell.values for model, cell in cells.items() if not cell.word}


def _row(record: Record, metric: str, nfe: int | None) -> dict[str, Any]:
    """Return the row of a metric in a regime, or {"word": why there is none}.

    A model whose samples take a fixed number of evaluations stands in each regime that allows as many.
    """
    rows: list[dict[str, Any]] = [dict(row) for row in record["results"] if row["metric"] == metric]
    if (main := next((row for row in rows if row["point"] == "main"), None)) is None:
        return {"word": "not measured"}
    curve = {row["nfe"]: row for row in rows if row["point"] == "curve"}
    if nfe is None or main["value"] is None:
        return main
    if curve:
        return curve.get(float(nfe), {"word": "not measured"})
    return main if main["nfe"] <= nfe else {"word": f"takes {main['nfe']:.0f}"}


def _cell(rows: Mapping[int, Mapping[str, Any]], seeds: Sequence[int], failed: Collection[int], stated: str) -> Cell:
    found = {seed: rows[seed] for seed in seeds if seed in rows}
    values = {seed: float(row["value"]) for seed, row in found.items() if row.get("value") is not None}
    without = [row for row in found.values() if row.get("value") is None]
    errors = tuple(e for row in found.values() if (e := (row.get("details") or {}).get("standard_error")) is not None)
    doubts = {why for row in found.values() if row.get("value") is not None and (why := doubtful_density(row))}
    absent = len(seeds) - len(found)
    lost = len(set(failed) & set(seeds) - found.keys())
    if without and not (values or lost or any("not finite" in row.get("reason", "") for row in without)):
        return Cell({}, without[0].get("word", "unsupported"), without[0].get("reason", ""))
    if lost or without:
        more = f", missing {absent - lost}" if absent > lost else ""
        reason = without[0].get("reason", "") if without else ""
        return Cell(values, f"failed {lost + len(without)}{more} of {len(seeds)}", reason, stated)
    if absent:
        return Cell(values, f"{len(values)} of {len(seeds)} seeds" if values else "missing", stated=stated)
    if doubts:
        return Cell(values, "doubtful", doubts.pop(), stated)
    return Cell(values, "", stated=stated, errors=errors)


def _stated(chosen: Mapping[str, Any]) -> str:
    return " ".join(word for section, table in chosen.items() for word in as_set_options(section, table))


def _whole(heats: Sequence[Heat], trained: Collection[str]) -> tuple[int, ...]:
    """Return the shortest budget with values of these rows, and the longest one that lacks no cell which it has."""
    whole: dict[int, set[tuple[str, str]]] = {}
    for heat in sorted(heats, key=lambda heat: heat.steps):
        there = {(contest.data, row): contest.cells[row].word for contest in heat.contests for row in trained}
        whole[heat.steps] = {place for place, word in there.items() if "missing" not in word and "seeds" not in word}
    first = next((steps for steps, own in whole.items() if own), min(whole))
    longest = max(steps for steps, own in whole.items() if own >= whole[first])
    return (first, longest) if whole[first] and longest > first else (first,)


def _ordered(models: Sequence[str], heat: Heat) -> tuple[str, ...]:
    """Return models by their ratio at one budget with their own samplers, those without one last."""
    ranked = [summary.method for summary in heat.effects.summaries if summary.ratio is not None]
    return tuple(dict.fromkeys([*ranked, *models]))


def _lacking(heats: Sequence[Heat], suite: Suite, listed: Sequence[str]) -> dict[int, dict[str, int]]:
    """Return how many cells of the track lack what, by budget."""
    counts: dict[int, dict[str, int]] = {budget.steps: {} for budget in suite.budgets}
    for heat in (heat for heat in heats if heat.nfe is None):
        for contest in heat.contests:
            for cell in (contest.cells[model] for model in listed):
                counts[heat.steps][cell.word] = counts[heat.steps].get(cell.word, 0) + 1
    return counts
