"""The section on equal training time, against the published records."""

import json
import math
import statistics

import pytest

from benchmarks import equal_time, readme
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
    assert readme.rankings(text, readme.read_board(committed), board) == text


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


def test_ratios_and_the_sentence_are_those_of_the_records(text):
    """Recomputed from records, without the code of boards and effects."""
    means, floors = {}, {}
    for record in read_published(FOLDER / "plane-v1" / "records.jsonl.gz"):
        place = next((place for place in record["track"] if "default" in place["tables"]), None)
        for row in record["results"] if place and record["spec"]["seed"] < 5 else ():
            if (row["metric"], row["point"]) == (place["headline"], "main") and row["value"] is not None:
                data, steps = record["labels"]["data"], record["spec"]["plan"]["steps"]
                means.setdefault((place["row"], data, steps), []).append(row["value"])
                floors.setdefault((data, record["spec"]["seed"]), row["floor"])
    tasks = sorted({data for data, _ in floors})

    def above(model, data, steps):
        assert len(means[model, data, steps]) == 5
        return statistics.fmean(means[model, data, steps]) - statistics.fmean(floors[data, seed] for seed in range(5))

    scored = ("moons", "checkerboard", "pinwheel", "mixture dims=50")
    for model, steps in (("nsf", 2000), ("otcfm", 5000), ("wcfm", 20_000), ("starflow width=16", 2000)):
        logs = [math.log(above(model, data, steps) / above("cfm", data, 20_000)) for data in scored]
        half = 3.182446 * statistics.stdev(logs) / 2  # quantile of t with three degrees of freedom
        mean = statistics.fmean(logs)
        ratio = f"{math.exp(mean):.2f} ({math.exp(mean - half):.2f}-{math.exp(mean + half):.2f})"
        (line,) = (line for line in text.splitlines() if line.startswith(f"| {model} | {steps:,} |"))
        assert f"| {ratio} a |" in line
    better = sum(above("nsf", data, 2000) < above("cfm", data, 20_000) for data in tasks)
    words = " ".join(text.partition(equal_time.TITLE)[2].split())
    assert f"its mean is better than the mean of cfm on {better} of {len(tasks)} tasks (separated on 0)" in words
