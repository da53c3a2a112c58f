"""The section on equal training time, against the published records."""

import math
import re
import statistics
from functools import cache
from itertools import combinations, product

import numpy as np
import pytest
from helpers.boards import with_cell
from scipy.stats import t, ttest_rel

from benchmarks import equal_time, readme
from genbench.analysis.significance import compare_all, holm
from genbench.errors import ConfigError
from genbench.report.track_cells import ShapeSeconds
from genbench.runs.record import read_published
from genbench.suites import FOLDER

SEEDS = 5
STEPS = (2000, 5000, 20_000)
FLAT = ("moons", "8gaussians", "checkerboard", "pinwheel", "rings", "spirals")


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


def slower(board, on_8, on_50):
    """Return the track with seconds of three shapes, of which nsf has these in 8 and 50 dimensions."""
    first = ShapeSeconds(tasks=[*FLAT], seconds=board.seconds.first.seconds | {"cfm": 1.0, "nsf": 6.4, "vp": 1.45})
    shapes = [
        first,
        *(
            ShapeSeconds(tasks=[task], seconds=first.seconds | {"nsf": seconds})
            for task, seconds in (("mixture dims=8", on_8), ("mixture dims=50", on_50))
        ),
    ]
    return board._replace(seconds=board.seconds.model_copy(update={"shapes": shapes, "load": 0.1}))


@pytest.fixture(params=["published", "nsf fast enough", "nsf too slow"])
def timed(request, board):
    """The track as published, and as it would be with other seconds."""
    return {"published": board, "nsf fast enough": slower(board, 5.0, 14.0)}.get(request.param) or slower(
        board, 9.0, 23.0
    )


def test_a_task_has_the_seconds_of_its_shape(board):
    """On 50 dimensions, nsf has 23 times the seconds of cfm, but had the budget of moons, 6.6 times."""
    given = equal_time.budgets(slower(board, 5.0, 23.0))
    steps = {task: own["nsf"].steps if "nsf" in own else None for task, own in given.items()}
    assert steps == dict.fromkeys(FLAT, 2000) | {"mixture dims=8": 5000, "mixture dims=50": None}


def standard_error(values):
    return statistics.stdev(values) / len(values) ** 0.5


@cache
def records():
    """Return {(row, task, steps): {seed: value}} and {task: {seed: floor}} of default settings, for five seeds."""
    values, floors = {}, {}
    for record in read_published(FOLDER / "plane-v1" / "records.jsonl.gz"):
        place = next((place for place in record["track"] if "default" in place["tables"]), None)
        for row in record["results"] if place and record["spec"]["seed"] < SEEDS else ():
            if (row["metric"], row["point"]) == (place["headline"], "main") and row["value"] is not None:
                data, steps = record["labels"]["data"], record["spec"]["plan"]["steps"]
                values.setdefault((place["row"], data, steps), {})[record["spec"]["seed"]] = row["value"]
                floors.setdefault(data, {})[record["spec"]["seed"]] = row["floor"]
    return values, floors


def above(model, data, steps):
    """Return the excess of a method; None without all seeds."""
    values, floors = records()
    own = values.get((model, data, steps), {})
    return statistics.fmean(own.values()) - statistics.fmean(floors[data].values()) if len(own) == SEEDS else None


def is_scored(data):
    values, floors = records()
    excess = [value - floors[data][seed] for seed, value in values["cfm", data, 20_000].items()]
    return above("cfm", data, 20_000) > 3 * standard_error(excess)


def logs_of(given, tasks):
    """Return the log ratios of a method with {task: steps}; None if it lacks a task."""
    model, steps = given
    own = {data: above(model, data, steps[data]) for data in tasks if data in steps}
    if None in own.values() or len(own) < len(tasks):
        return None
    raised = {data: max(value, standard_error([*records()[1][data].values()])) for data, value in own.items()}
    return [math.log(value / above("cfm", data, 20_000)) for data, value in raised.items()]


def ratio(given, tasks):
    logs = logs_of(given, tasks)
    if len(logs) == 1:
        return f"{math.exp(*logs):.2f}"
    mean, half = statistics.fmean(logs), t.ppf(0.975, len(logs) - 1) * standard_error(logs)
    return f"{math.exp(mean):.2f} ({math.exp(mean - half):.2f}-{math.exp(mean + half):.2f})"


def in_order(model, tasks, given):
    """Return the values of a method on one task, by seed."""
    (data,) = tasks
    return [value for _, value in sorted(records()[0][model, data, given[model][data]].items())]


def alike(given, tasks):
    """Return the methods that are not separated from nsf, and the number of other methods with all tasks."""
    own = {model: logs for model in given if (logs := logs_of((model, given[model]), tasks))}
    pairs = [*combinations(own, 2)]
    corrected = holm([ttest_rel(own[one], own[other]).pvalue for one, other in pairs])
    near = {*sum((pair for pair, p in zip(pairs, corrected, strict=True) if "nsf" in pair and p > 0.05), ())}
    return near - {"nsf"}, len(own) - 1


def test_ratios_and_sentences_are_those_of_the_records(timed):
    """Recomputed from records and seconds, without the code of boards and effects."""
    seconds = {task: shape.seconds for shape in timed.seconds.shapes for task in shape.tasks}
    measured = [shape.task for shape in timed.seconds.shapes]
    given, longer = {}, {}
    for data, model in product(seconds, seconds["moons"]):
        allowed = [n for n in STEPS if seconds[data][model] * n <= 1.5 * 20_000 * seconds[data]["cfm"]]
        given.setdefault(model, {}).update({data: allowed[-1]} if allowed else {})
        longer.setdefault(model, {})[data] = next((n for n in STEPS if n not in allowed), 20_000)
    text = equal_time.section(timed)
    words, said = " ".join(text.split()), equal_time.sentence(timed)
    scored = [data for data in seconds if is_scored(data)]
    assert f"geometric mean over {len(scored)} tasks ({', '.join(scored)}) and 5 seeds" in words
    near = " and ".join(data for data in seconds if data not in scored)
    assert f" No ratio on {near}: cfm is not clearly above the floor. " in words
    left = [data for data in records()[1] if data not in seconds]
    assert ("Left out, because" in words) == bool(left)
    assert all(data in words.partition("Left out")[2].partition("|")[0] for data in left)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    rows = {method: cells for method, *cells in lines}

    def spent(model, steps):
        taken = ((data, steps[model].get(data)) for data in measured)
        return [f"{n:,} in {seconds[data][model] * n / 1000:.0f} s" if n else "too slow" for data, n in taken]

    for model, own in given.items():
        lacks = [data for data in scored if above(model, data, own.get(data)) is None]
        *cells, excess = rows[model]
        assert cells == spent(model, given)
        assert excess == f"lacks {', '.join(lacks)}" if lacks else excess.startswith(ratio((model, own), scored)[:4])
        assert lacks or model == "cfm" or excess.startswith(f"{ratio((model, own), scored)} ")
    assert rows["nsf, above the limit"] == [*spent("nsf", longer), ratio(("nsf", longer["nsf"]), scored)]
    assert rows["tarflow width=16"][-1] == "lacks rings"

    def times(steps, tasks):
        shares = [seconds[data]["nsf"] * steps[data] / (seconds[data]["cfm"] * 20_000) for data in tasks]
        least, most = f"{min(shares):.1f}", f"{max(shares):.1f}"
        return f"{least} times" if least == most else f"{least} to {most} times"

    whole = dict.fromkeys(records()[1], 20_000)
    first = ratio(("nsf", whole), [*filter(is_scored, whole)])
    part = [data for data in scored if data in given["nsf"]]
    rest = [data for data in scored if data not in part]
    near, others = alike(given, part)
    compared = [(given["nsf"], part), (longer["nsf"], part)] + [(longer["nsf"], rest)] * bool(rest)
    assert all("cfm" in alike(given | {"nsf": steps}, part)[0] for steps, _ in compared[:2])
    assert not rest or ttest_rel(in_order("nsf", rest, longer), in_order("cfm", rest, given)).pvalue > 0.05
    numbers = [first, times(dict.fromkeys(seconds, 20_000), seconds), f"{len(near)} of {others} other methods"]
    numbers += [number for steps, tasks in compared for number in (ratio(("nsf", steps), tasks), times(steps, tasks))]
    assert [number for number in numbers if f" {number}" not in words] == []
    assert "In none of these cases is it separated from cfm." in words
    assert (
        f"n {len(part)} {'other ' * bool(rest)}tasks ({', '.join(part)}), nsf has {numbers[3]} times cfm's excess "
        in said
    )
    assert f" excess with {numbers[4]} cfm's seconds. It is better than {others - len(near)} and not " in said
    assert f" not separated from {len(near)} of {others} other methods. " in said
    assert said.endswith(f" if 5 other seeds or other tasks separate nsf from one of these {len(near)}.")
    assert all(f" {data}" in words.partition("Within the time limit")[2] for data in rest)
    counts = []
    for left in part:
        near, others = alike(given, [data for data in part if data != left])
        counts.append(others - len(near))
    assert f" If one task is left out, it is separated from {min(counts)} to {max(counts)} methods. " in words
    tasks = [data for data in seconds if data in given["nsf"]]
    better = sum(above("nsf", data, given["nsf"][data]) < above("cfm", data, 20_000) for data in tasks)
    unscored = " and ".join(data for data in tasks if data not in scored)
    assert f" Its mean is better than cfm's on {better} of {len(tasks)} tasks (separated on " in words
    assert f" The {len(tasks)} tasks include {unscored}, which have no ratio." in words


def test_a_first_method_without_a_ratio_at_equal_time_is_said_to_have_none(board):
    """The page could not be made: the method was looked up among budgets and among ranked methods."""
    shape = board.seconds.first
    slow = ShapeSeconds(tasks=shape.tasks, seconds=shape.seconds | {"nsf": 16 * shape.seconds["cfm"]})
    changed = board._replace(seconds=board.seconds.model_copy(update={"shapes": [slow]}))
    assert ", nsf has no ratio: it is too slow " in equal_time.sentence(changed)
    said = " ".join(equal_time.section(changed).split())
    assert "Within the time limit, nsf has no ratio: " in said
    assert "| nsf | too slow | lacks all tasks |" in said
    assert " at 20,000 steps; it is too slow where 2,000 steps take more. " in said


def test_a_first_method_whose_seconds_were_not_measured_is_said_to_lack_them(board):
    """The page could not be made: the method was looked up among the methods with seconds."""
    shape = board.seconds.first
    others = {model: seconds for model, seconds in shape.seconds.items() if model != "nsf"}
    shapes = [ShapeSeconds(tasks=shape.tasks, seconds=others)]
    changed = board._replace(seconds=board.seconds.model_copy(update={"shapes": shapes}))
    said = "nsf has no ratio: its seconds were not measured."
    assert equal_time.sentence(changed).endswith(f", {said}")
    section = equal_time.section(changed)
    assert section.endswith(f"\nWithin the time limit, {said}\n")
    assert "| nsf |" not in section
    assert "| cfm | 20,000 in " in section


@pytest.mark.parametrize(("word", "said"), [("", "not timed"), ("unsupported", "unsupported")])
def test_a_method_without_seconds_on_a_shape_is_not_said_to_be_too_slow(board, word, said):
    """In 50 dimensions, nsf was too slow, whatever it lacked there."""
    board = slower(board, 5.0, 14.0)
    *most, last = board.seconds.shapes
    last = last.model_copy(update={"seconds": {m: own for m, own in last.seconds.items() if m != "nsf"}})
    board = board._replace(seconds=board.seconds.model_copy(update={"shapes": [*most, last]}))
    for heat in board.heats if word else ():
        board = with_cell(board, heat, last.task, "nsf", values={}, word=word)
    section = equal_time.section(board)
    (row,) = (line for line in section.splitlines() if line.startswith("| nsf |"))
    assert row.endswith(f" | {said} | lacks {last.task} |")
    words = " ".join(section.split())
    assert re.search(
        rf" it is {said} on {last.task}\. With [\d.]+( to [\d.]+)? times cfm's seconds, it has .* on the other 5 ",
        words,
    )
    assert "too slow" not in section


def test_a_baseline_without_seconds_is_an_error(board):
    """The reason was that a list of shares was empty."""
    others = [shape.model_copy(update={"seconds": {"nsf": 1.0}}) for shape in board.seconds.shapes]
    for seconds in (None, board.seconds.model_copy(update={"shapes": others})):
        for text in (equal_time.section, equal_time.sentence):
            with pytest.raises(ConfigError, match="plane-v1: the seconds of cfm were not measured"):
                text(board._replace(seconds=seconds))


def without_a_seed(board, data, seed):
    """Return the board after a training of nsf for 2,000 steps has failed."""
    heat = board.heat(2000, None)
    (cell,) = (contest.cells["nsf"] for contest in heat.contests if contest.data == data)
    kept = {own: value for own, value in cell.values.items() if own != seed}
    return with_cell(board, heat, data, "nsf", values=kept, word="failed 1 of 10")


def test_a_first_method_that_failed_on_a_task_is_compared_on_the_others(board):
    board = slower(board, 5.0, 14.0)
    changed = without_a_seed(board, "rings", 1)
    said = equal_time.sentence(changed)
    words = " ".join(equal_time.section(changed).split())
    assert re.search(r" it lacks seeds on rings\. With .* times cfm's excess on the other 5 tasks; with ", words)
    assert re.search(r"\. On rings, it has \d\.\d\d times the excess with \d\.\d times the seconds\. ", words)
    assert ", nsf lacks seeds on rings. On 5 other tasks (" in said


def test_a_first_method_that_is_separated_above_the_limit_is_said_to_be(board):
    far = {seed: 1 + seed / 100 for seed in range(10)}
    changed = with_cell(board, board.heat(2000, None), "mixture dims=50", "nsf", values=far)
    words = " ".join(equal_time.section(changed).split())
    (seconds,) = re.findall(
        r" On mixture dims=50, it has \d+\.\d\d times the excess with (\S+ times) the seconds\. ", words
    )
    assert f". It is separated from cfm: worse with {seconds} the seconds. " in words


def test_seeds_that_are_not_compared_do_not_count(board):
    """tarflow was said to lack a task on which only seeds failed that no budget of equal time has."""
    assert equal_time.section(without_a_seed(board, board.heats[0].contests[0].data, 9)) == equal_time.section(board)


def test_a_busy_machine_is_stated_and_an_idle_one_is_not(board):
    for load, end in ((1.2, "; the machine was busy (load 1.2 on 2 cores at the start)."), (0.9, ".")):
        timed = board._replace(seconds=board.seconds.model_copy(update={"load": load, "cores": 2}))
        words = " ".join(equal_time.section(timed).split())
        assert f" would put a first training above the limit){end} " in words


def test_tasks_on_which_the_first_method_is_separated_are_counted_by_their_direction(board):
    """nsf was "better on 4 of 6 tasks (separated on ...)" whichever of the two was better."""
    board = slower(board, 5.0, 14.0)
    given = equal_time.budgets(board)
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
