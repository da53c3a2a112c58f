"""Tracks: every model on every task at every budget, and in three regimes of sampling.

A cell has a value for every seed of its budget, or a word that says what it lacks. Only cells with all seeds are
compared: within a task in pairs, and across tasks by their excess over the floor.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

from genbench.analysis.effects import Effects, Task, effects, excess
from genbench.analysis.means import mean_and_error, mean_and_half
from genbench.analysis.nfe_to_target import Reach, first_crossing
from genbench.analysis.significance import Pairwise, compare_all
from genbench.analysis.track_runs import Chosen, Place, TrackRuns, read_track, recipes_of, track_runs
from genbench.report.track_cells import Cell, Seconds, by_one_protocol, cell_of, read_seconds, row_of
from genbench.results.reader import Run
from genbench.runs.record_types import Record
from genbench.runs.store import Store
from genbench.sweeps.set_options import as_set_options
from genbench.sweeps.suite import choice_of, track_rows
from genbench.sweeps.suite_file import Budget, Suite

REGIMES = (None, 1, 4)
"""NFE of the columns of tables; None is the model's own sampler."""
LIKELIHOODS = ("nll", "bits_per_dim")
"""Metrics that have a table of their own."""
TARGET = 1.1
"""The common target of all methods is this factor times the excess of the baseline with its own sampler."""


SETTINGS: tuple[Chosen, Chosen] = ("default", "tuned")

ABSENT = Cell({}, "not at this budget")


class Contest(NamedTuple):
    """The models on a task, at one budget and in one regime.

    Args:
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

    @property
    def task(self) -> Task:
        """The models with all seeds."""
        return Task(self.data, self.better, _complete(self.cells), self.floor, self.pairs)

    @property
    def noise(self) -> float | None:
        """Standard error of an evaluation divided by the spread over seeds, median over models; None if unknown."""
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
        settings: of the methods: at a budget that is not tuned, the default settings in both tables.
        nfe: NFE; None is the method's own sampler.
    """

    steps: int
    seeds: tuple[int, ...]
    settings: Chosen
    nfe: int | None
    contests: tuple[Contest, ...]
    effects: Effects

    def on(self, tasks: Collection[str], baseline: str) -> "Heat":
        """Return only these tasks, with the effects across them."""
        contests = tuple(contest for contest in self.contests if contest.data in tasks)
        return self._replace(contests=contests, effects=effects([c.task for c in contests], baseline))


class TrackBoard(NamedTuple):
    """A track.

    Args:
        models: all rows, ordered by their ratio at the leading budget, then as in the track.
        further: the rows that the track does not list.
        shown: the shortest budget with values, the longest whole budget, and the budgets of further rows. At a whole
            budget all tasks are whole.
        whole: {steps: whole tasks}; a task is whole if it has all cells that it has at the shortest budget with values.
        likelihoods: the tasks by likelihood instead of the headline metric, by budget.
        seconds: training times; None if they were not measured.
        lacking: {steps: {word: number of cells}}, with each method's own sampler; "" stands for cells with all seeds.
        sources: {task: {source of its data: number of runs}}, the source of the table first; "" is the data set's own.
        recipes: {row of the track: the settings of its plan that differ from the baseline's, in words}.
        tuned: the budgets at which tuned settings are compared.
        choices: the numbers of cells for which tuning has chosen settings, of cells with trials, and of cells for which
            it has chosen other settings than the defaults; without unsupported cells.
    """

    name: str
    settings: Chosen
    baseline: str
    models: tuple[str, ...]
    further: tuple[str, ...]
    shown: tuple[int, ...]
    heats: tuple[Heat, ...]
    whole: Mapping[int, Sequence[str]]
    likelihoods: Mapping[int, tuple[Contest, ...]]
    seconds: Seconds | None
    lacking: Mapping[int, Mapping[str, int]]
    sources: Mapping[str, Mapping[str, int]]
    recipes: Mapping[str, str]
    tuned: tuple[int, ...]
    choices: tuple[int, int, int]

    @property
    def budgets(self) -> list[int]:
        """Training steps, from few to many."""
        return sorted(self.lacking)

    def heat(self, steps: int, nfe: int | None) -> Heat:
        """Return the contests at a budget in a regime."""
        return next(heat for heat in self.heats if (heat.steps, heat.nfe) == (steps, nfe))

    def leading(self) -> list[Heat]:
        """Return the budgets shown, with own samplers: those with the settings of the board first, then longer ones."""
        own = [self.heat(steps, None) for steps in self.shown]
        return sorted(own, key=lambda heat: (heat.settings != self.settings, -heat.steps))

    def evaluations(self, steps: int) -> dict[str, dict[str, Reach | None]]:
        """Return {scored task: {model with all seeds: the NFE that reaches the target, None if no sampler does}}.

        The target is the floor plus `TARGET` times the excess of the baseline with its own sampler. A task is left out
        if its metric is not about samples, so that no NFE is recorded.
        """
        converged = self.heat(steps, None)
        curve = sorted((heat.nfe, heat) for heat in self.heats if heat.steps == steps and heat.nfe)
        found: dict[str, dict[str, Reach | None]] = {}
        for index, contest in enumerate(converged.contests):
            base = excess(contest.task, self.baseline)
            if base is None or contest.data not in converged.effects.scored:
                continue
            target = TARGET * base.value
            at = [heat.contests[index] for _, heat in curve]
            for model in (model for model in self.models if contest.cells[model].nfe):
                points = [(fmean(c.cells[model].nfe), each.value) for c in at if (each := excess(c.task, model))]
                crossing = first_crossing(points, target)
                reached = Reach(crossing) if crossing is not None else None
                own = excess(contest.task, model)
                if reached is None and own and own.value <= target:
                    fixed = all(c.cells[model].word.startswith("takes ") for c in at)
                    reached = Reach(math.ceil(fmean(contest.cells[model].nfe)), at_most=not fixed)
                found.setdefault(contest.data, {})[model] = reached
        return found

    def json(self) -> dict[str, Any]:
        """Return plain JSON: the effects of each budget and regime, and one row for each cell there."""
        parts = [
            {"steps": h.steps, "settings": h.settings, "nfe": h.nfe, "seeds": list(h.seeds), **h.effects.json()}
            for h in self.heats
        ]
        shared = {"track": self.name, "settings": self.settings, "baseline": self.baseline}
        choices = dict(zip(("chosen", "of", "changed"), self.choices, strict=True))
        shared |= {"sources": self.sources, "recipes": self.recipes}
        return {**shared, "choices": choices, "cells": self.lacking, "across": parts, "rows": list(self.rows())}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one plain row for each cell of each budget and regime."""
        for heat in self.heats:
            for contest, model in product(heat.contests, self.models):
                cell, pairs = contest.cells[model], contest.pairs
                mean, half = mean_and_half(cell.values.values()) if cell.values else (None, None)
                floor = mean_and_error(contest.floor.values())[0] if contest.floor else None
                row = {"data": contest.data, "model": model, "steps": heat.steps, "settings": heat.settings}
                row |= {"nfe": heat.nfe, "metric": contest.metric, "better": contest.better}
                row |= {"mean": mean, "half_interval": half, "floor": floor}
                row |= {"seeds": len(cell.values), "letters": pairs.letters.get(model)}
                row |= {"at_floor": model in pairs.at_floor, "word": cell.word, "reason": cell.reason}
                yield row | {"stated": cell.stated, "protocol": contest.protocol}


def track_board(path: Path, store: Store, settings: Chosen | None = None, added: Iterable[Record] = ()) -> TrackBoard:
    """Return the board of a track, from its published records and the records of a results folder.

    Args:
        settings: the table of default settings, or of settings that tuning chose; by default tuned, once each
            run with default settings has its tuned counterpart.
        added: records of submissions.

    Raises:
        ConfigError: if the suite is not a track.
    """
    suite, track = read_track(path)
    rows = track_rows(suite)
    headlines = {row.dataset: row.metrics[0] for row in rows}
    listed = tuple(dict.fromkeys(row.label for row in rows))
    wanted: Sequence[Chosen] = [settings] if settings else SETTINGS if suite.chosen else SETTINGS[:1]
    tables = {each: track_runs(path, rows, store, each, added) for each in wanted}
    settings = settings or ("tuned" if len(tables) == 2 and _has_all(*tables.values()) else "default")
    runs, failures, further, sources = tables[settings]
    models = (*listed, *further)
    curve = suite.evaluation.get("curve", [])
    regimes = [*sorted({*curve, *(nfe for nfe in REGIMES if nfe is not None)}), None]
    likelihoods = {row.dataset: metric for row in rows for metric in row.metrics if metric in LIKELIHOODS}

    def settings_at(budget: Budget) -> Chosen:
        return settings if budget.tuned else "default"

    def contests(budget: Budget, nfe: int | None, metrics: Mapping[str, str]) -> Iterator[Contest]:
        for data, metric in metrics.items():
            lengths = {row.label: row.model.at(budget) for row in rows if row.dataset == data}
            lengths |= {row: {"plan": {"steps": budget.steps}} for row in further}
            places = {row: Place(data, row, length["plan"]["steps"]) for row, length in lengths.items() if length}
            own = {row: [*runs.get(place, {}).values()] for row, place in places.items()}
            lost = {row: failures.get(place, {}) for row, place in places.items()}
            chosen = suite.chosen.get(data, {}) if settings_at(budget) == "tuned" else {}
            recipes = {row: _stated(chosen.get(row, {})) for row in models}
            for place in places.values():
                if place.steps not in (0, budget.steps):
                    recipes[place.row] = f"{recipes[place.row]} {place.steps:,} steps".strip()
            contest = _contest(data, metric, nfe, budget.seeds, own, lost, recipes)
            yield contest._replace(cells={row: contest.cells.get(row, ABSENT) for row in models})

    heats = []
    for budget, nfe in product(suite.budgets, regimes):
        found = tuple(contests(budget, nfe, headlines))
        every = Heat(budget.steps, tuple(budget.seeds), settings_at(budget), nfe, found, Effects((), (), ()))
        heats.append(every.on([*headlines], track.baseline))
    own = [heat for heat in heats if heat.nfe is None]
    absent = {(c.data, row) for h in own for c in h.contests for row in listed if c.cells[row].word == "unsupported"}
    tried = [row for row in rows if row.model.trials and (row.dataset, row.label) not in absent]
    choices = [choice_of(suite, row) for row in tried]
    trained = {row.label for row in rows if row.model.sections["plan"].get("steps") != 0}
    whole = _whole(own, trained)
    first = next((steps for steps, tasks in whole.items() if tasks), min(whole))
    longest = max((steps for steps, tasks in whole.items() if len(tasks) == len(headlines)), default=first)
    added_at = {h.steps for h in heats if any(contest.cells[row].values for contest in h.contests for row in further)}
    board = TrackBoard(
        path.stem,
        settings,
        track.baseline,
        models,
        further,
        tuple(sorted({first, longest, *added_at})),
        tuple(heats),
        whole,
        {budget.steps: tuple(contests(budget, None, likelihoods)) for budget in suite.budgets},
        read_seconds(path),
        _lacking(heats, suite, listed),
        sources,
        recipes_of(rows, track.baseline),
        tuple(budget.steps for budget in suite.budgets if budget.tuned),
        (sum(choice is not None for choice in choices), len(choices), sum(map(bool, choices))),
    )
    leading = next(heat for heat in board.leading() if heat.steps in (first, longest))
    ranked = [summary.method for summary in leading.effects.summaries if summary.ratio is not None]
    return board._replace(models=tuple(dict.fromkeys([*ranked, *models])))


def _has_all(default: TrackRuns, tuned: TrackRuns) -> bool:
    """Return whether every run of the table of default settings, failed or not, has its tuned counterpart."""
    had, has = (
        {(place, seed) for part in (table.runs, table.failures) for place, seeds in part.items() for seed in seeds}
        for table in (default, tuned)
    )
    return had <= has


def _contest(
    data: str,
    metric: str,
    nfe: int | None,
    seeds: Sequence[int],
    runs: Mapping[str, Sequence[Run]],
    failed: Mapping[str, Mapping[int, str]],
    recipes: Mapping[str, str],
) -> Contest:
    rows = by_one_protocol(
        {m: {run.seed: row_of(run.record, metric, nfe) for run in own if run.seed in seeds} for m, own in runs.items()}
    )
    measured = [row for own in rows.values() for row in own.values() if row.get("value") is not None]
    floors: dict[int, list[float]] = {}
    for own in rows.values():
        for seed, row in own.items():
            if row.get("value") is not None and row.get("floor") is not None:
                floors.setdefault(seed, []).append(row["floor"])
    floor = {seed: mean_and_error(values)[0] for seed, values in sorted(floors.items())}
    better = measured[0]["better"] if measured else "lower"
    stated = {
        model: " ".join(filter(None, [recipes[model], *{run.stated for run in own}])) for model, own in runs.items()
    }
    cells = {model: cell_of(own, seeds, failed[model], stated[model]) for model, own in rows.items()}
    protocol = measured[0].get("protocol") or "" if measured else ""
    return Contest(data, metric, better, protocol, cells, floor, compare_all(_complete(cells), better, floor))


def _complete(cells: Mapping[str, Cell]) -> dict[str, Mapping[int, float]]:
    return {model: cell.values for model, cell in cells.items() if not cell.word}


def _stated(chosen: Mapping[str, Any]) -> str:
    return " ".join(word for section, table in chosen.items() for word in as_set_options(section, table))


def _is_lacking(word: str) -> bool:
    return "missing" in word or "seeds" in word


def _whole(heats: Sequence[Heat], trained: Collection[str]) -> dict[int, tuple[str, ...]]:
    """Return {steps: tasks with every cell of these rows that they have at the shortest budget with values}.

    A row counts at its own budgets only.
    """
    whole: dict[int, tuple[str, ...]] = {}
    first: dict[str, set[str]] = {}
    for heat in sorted(heats, key=lambda heat: heat.steps):
        words = {c.data: {row: c.cells[row].word for row in trained if c.cells[row] != ABSENT} for c in heat.contests}
        there = {data: {row for row in own if not _is_lacking(own[row])} for data, own in words.items()}
        if not first and any(there.values()):
            first = there
        asked = {data: first.get(data, set()) & own.keys() for data, own in words.items()}
        whole[heat.steps] = tuple(data for data, rows in asked.items() if rows and rows <= there[data])
    return whole


def _lacking(heats: Sequence[Heat], suite: Suite, listed: Sequence[str]) -> dict[int, dict[str, int]]:
    """Return how many cells of the track lack what, by budget."""
    counts: dict[int, dict[str, int]] = {budget.steps: {} for budget in suite.budgets}
    for heat in (heat for heat in heats if heat.nfe is None):
        for contest in heat.contests:
            for cell in (contest.cells[model] for model in listed):
                counts[heat.steps][cell.word] = counts[heat.steps].get(cell.word, 0) + 1
    return counts
