"""The section on equal training time, against the published records."""

import json
import math
import statistics
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import t, ttest_rel

from benchmarks import equal_time, readme
from genbench.analysis.significance import compare_all, holm
from genbench.runs.record import read_published
from genbench.suites import FOLDER

STEPS = (2000, 5000, 20_000)


@pytest.fixture(scope="module")
def board(committed):
    return readme.read_board(committed, "default")


@pytest.fixture(scope="module")
def text():
    return readme.RANKINGS.read_text(encoding="utf-8")


def test_the_page_has_the_sections_of_the_published_records(board, text, committed):
    assert equal_time.section(board) in text
    transport = readme.read_board(committed, track=readme.TRANSPORT)
    assert readme.rankings(text, readme.read_board(committed), board, transport) == text


def test_each_method_has_the_longest_budget_that_takes_no_more_than_the_stated_time(board):
    seconds = json.loads((FOLDER / "plane-v1.seconds.json").read_text())["seconds"]
    limit = 1.5 * 20 * seconds["cfm"]
    given = equal_time.budgets(board, board.seconds)
    assert given["cfm"].steps == 20_000
    assert given.keys() == seconds.keys() == {*board.models}
    for model, own in given.items():
        assert own.seconds == pytest.approx(seconds[model] * own.steps / 1000)
        assert own.seconds <= limit
        assert all(steps <= own.steps or seconds[model] * steps / 1000 > limit for steps in STEPS)
    slow = board.seconds.model_copy(update={"seconds": {"cfm": 1.0, "nsf": 16.0, "vp": 15.0}})
    assert {model: own.steps for model, own in equal_time.budgets(board, slow).items()} == {"cfm": 20_000, "vp": 2000}


def standard_error(values):
    return statistics.stdev(values) / len(values) ** 0.5


def test_ratios_and_the_sentence_are_those_of_the_records(board, text):
    """Recomputed from records, without the code of boards and effects."""
    values, floors, seeds = {}, {}, range(5)
    for record in read_published(FOLDER / "plane-v1" / "records.jsonl.gz"):
        place = next((place for place in record["track"] if "default" in place["tables"]), None)
        for row in record["results"] if place and record["spec"]["seed"] in seeds else ():
            if (row["metric"], row["point"]) == (place["headline"], "main") and row["value"] is not None:
                data, steps = record["labels"]["data"], record["spec"]["plan"]["steps"]
                values.setdefault((place["row"], data, steps), {})[record["spec"]["seed"]] = row["value"]
                floors.setdefault(data, {})[record["spec"]["seed"]] = row["floor"]

    def above(model, data, steps):
        assert {*values[model, data, steps]} == {*floors[data]} == {*seeds}
        return statistics.fmean(values[model, data, steps].values()) - statistics.fmean(floors[data].values())

    def is_scored(data):
        errors = map(standard_error, ([*values["cfm", data, 20_000].values()], [*floors[data].values()]))
        return above("cfm", data, 20_000) > 3 * math.hypot(*errors)

    scored = [*filter(is_scored, floors)]
    assert 1 < len(scored) < len(floors)
    words = " ".join(text.partition(equal_time.TITLE)[2].split())
    assert f"geometric mean over {len(scored)} tasks ({', '.join(scored)}) and 5 seeds" in words

    def logs_of(model, steps):
        raised = [max(above(model, data, steps), standard_error([*floors[data].values()])) for data in scored]
        return [math.log(own / above("cfm", data, 20_000)) for own, data in zip(raised, scored, strict=True)]

    def alike(**changed):
        """Return the methods that are not separated from nsf."""
        given = {model: own.steps for model, own in equal_time.budgets(board, board.seconds).items()} | changed
        own = {model: logs_of(model, given[model]) for model in given if model != "tarflow width=16"}
        assert len(own) == 12
        pairs = [*combinations(own, 2)]
        corrected = holm([ttest_rel(own[one], own[other]).pvalue for one, other in pairs])
        return {*sum((pair for pair, p in zip(pairs, corrected, strict=True) if "nsf" in pair and p > 0.05), ())} - {
            "nsf"
        }

    def ratio(model, steps):
        logs = logs_of(model, steps)
        mean, half = statistics.fmean(logs), t.ppf(0.975, len(logs) - 1) * standard_error(logs)
        return f"{math.exp(mean):.2f} ({math.exp(mean - half):.2f}-{math.exp(mean + half):.2f})"

    for model, steps in (("nsf", 2000), ("otcfm", 5000), ("wcfm", 20_000), ("starflow width=16", 2000)):
        (line,) = (line for line in text.splitlines() if line.startswith(f"| {model} | {steps:,} |"))
        assert f"| {ratio(model, steps)} " in line
    seconds = board.seconds.seconds["nsf"] * 5
    assert seconds > 1.5 * 20 * board.seconds.seconds["cfm"]
    assert f"| nsf, above the limit | 5,000 | {seconds:.0f} | {ratio('nsf', 5000)} |" in text.splitlines()
    assert f"After 20,000 steps each, nsf has {ratio('nsf', 20_000)} times the excess of cfm" in words
    assert f" In 13 s, it has {ratio('nsf', 2000)} and is not separated from {len(alike())} of 11 other" in words
    later = (
        f" In 33 s, it has {ratio('nsf', 5000)} and is not separated from {len(alike(nsf=5000))} of 11 other methods."
    )
    assert later in words
    said = equal_time.sentence(board)
    assert f"After 13 s, nsf has {ratio('nsf', 2000)} times the excess that cfm has after 21 s (" in said
    assert "cfm" in alike(nsf=5000)
    assert said.endswith(f" After 33 s, it has {ratio('nsf', 5000)}, not separated from cfm.")
    better = sum(above("nsf", data, 2000) < above("cfm", data, 20_000) for data in floors)
    said = f"its mean is better than the mean of cfm on {better} of {len(floors)} tasks (separated on "
    assert said in words


def test_a_first_method_without_a_ratio_at_equal_time_is_said_to_have_none(board):
    """The page could not be made: the method was looked up among budgets and among ranked methods."""
    slow = board.seconds.seconds | {"nsf": 16 * board.seconds.seconds["cfm"]}
    lacking = []
    for heat in board.heats:
        first, *rest = heat.contests
        cells = first.cells | {"nsf": first.cells["nsf"]._replace(word="failed")}
        without = heat._replace(contests=(first._replace(cells=cells), *rest))
        lacking.append(without if (heat.steps, heat.nfe) == (2000, None) else heat)
    boards = (
        board._replace(seconds=board.seconds.model_copy(update={"seconds": slow})),
        board._replace(heats=tuple(lacking)),
    )
    for changed in boards:
        assert ", nsf has no ratio: it is too slow " in equal_time.sentence(changed)
        assert "At nearly equal time, nsf has no ratio: " in " ".join(equal_time.section(changed).split())


def test_tasks_on_which_the_first_method_is_separated_are_counted_by_their_direction(board):
    """nsf was "better on 4 of 6 tasks (separated on ...)" whichever of the two was better."""
    given = equal_time.budgets(board, board.seconds)
    heat = equal_time.equal_time(board, given)
    for worse in range(len(heat.contests) + 1):
        contests = []
        for index, contest in enumerate(heat.contests):
            moved = (1 if index < worse else -1) + 0.01 * np.arange(5)  # after so far a shift, all tests reject
            values = {seed: contest.cells["cfm"].values[seed] + moved[seed] for seed in range(5)}
            cells = {**contest.cells, "nsf": contest.cells["nsf"]._replace(values=values)}
            pairs = compare_all({"nsf": values, "cfm": cells["cfm"].values}, contest.better)
            contests.append(contest._replace(cells=cells, pairs=pairs))
        said = equal_time.verdict(board, heat._replace(contests=tuple(contests)), given)
        better = len(heat.contests) - worse
        assert (
            f"on {better} of {better + worse} tasks (separated on {better}) and worse on {worse} (separated on " in said
        )
        assert f"worse on {worse} (separated on {worse})." in said
