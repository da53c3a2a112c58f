"""A referee: two tasks of the leaderboard from published records, without genbench's statistics."""

import gzip
import json
from itertools import combinations
from string import ascii_lowercase

import numpy as np
import pandas as pd
import pytest
from scipy import stats

TASKS = {"8gaussians": ("w2", 2048, 2000, 256), "digits": ("fd-digits_cnn", 500, 800, 64)}
"""Headline metric, number of samples, steps and batch size, as the leaderboard states them."""


@pytest.fixture(scope="module")
def measured(committed):
    """Return one row per published value of the tasks, under their conditions."""
    rows = []
    for path in sorted(committed.glob("*/records.jsonl.gz")):
        for record in map(json.loads, gzip.decompress(path.read_bytes()).splitlines()):
            if "track" in record:
                continue
            data, plan = record["labels"]["data"], record["spec"]["plan"]
            for row in record["results"] if data in TASKS else ():
                stated = row["metric"], row.get("n"), plan["steps"], plan["batch_size"]
                if row["point"] == "main" and row["value"] is not None and stated == TASKS[data]:
                    own = {"data": data, "model": record["labels"]["model"], "seed": record["spec"]["seed"]}
                    rows.append(own | {"value": row["value"], "floor": row["floor"]})
    table = pd.DataFrame(rows).drop_duplicates()
    assert not table.duplicated(["data", "model", "seed"]).any()
    return table


def letters(order, apart):
    """Name the maximal groups of which no two members are apart, found by trying all."""
    groups = [set(g) for size in range(1, len(order) + 1) for g in combinations(order, size)]
    groups = [g for g in groups if not any(set(pair) <= g for pair in apart)]
    groups = [g for g in groups if not any(g < other for other in groups)]
    groups.sort(key=lambda g: sorted(map(order.index, g)))
    return {m: "".join(name for name, g in zip(ascii_lowercase, groups, strict=False) if m in g) for m in order}


def rejected(p_values):
    """Return the keys that Holm's procedure rejects at 5 %."""
    found = set()
    for rank, key in enumerate(sorted(p_values, key=p_values.get)):
        if p_values[key] * (len(p_values) - rank) > 0.05:
            break
        found.add(key)
    return found


def judge(wide, floor):
    """Return order, letters, models at the floor and pairs apart of values (seeds, models)."""
    order = list(wide.mean().sort_values().index)
    at_floor = {
        m for m in order
        if wide[m].count() == len(wide)
        and stats.ttest_ind(wide[m].dropna(), floor, equal_var=False).confidence_interval(0.95).low <= 0
    }  # fmt: skip
    p = {(a, b): stats.ttest_rel(*wide[[a, b]].dropna().to_numpy().T).pvalue for a, b in combinations(order, 2)}
    apart = {pair for pair in rejected(p) if not set(pair) <= at_floor}
    return order, letters(order, apart), at_floor, apart


def test_a_referee_agrees_in_every_letter_and_every_effect(measured, committed, cli):
    chosen = [word for data in TASKS for word in ("--dataset", data)]
    found = json.loads(cli("leaderboard", "--results", committed, "--json", *chosen)[1])
    shown = pd.DataFrame(found["rows"]).query("compared")
    logs, wins, pairs = pd.DataFrame(), {}, {}
    for data in TASKS:
        rows = shown[shown["data"] == data].set_index("model")
        own = measured[(measured["data"] == data) & measured["model"].isin(rows.index)]
        wide, floor = own.pivot(index="seed", columns="model", values="value"), own.groupby("seed")["floor"].mean()
        order, named, at_floor, apart = judge(wide, floor)
        assert len(order) == len(rows) >= 8
        assert rows["mean"].to_dict() == pytest.approx(wide.mean().to_dict())
        assert rows["letters"].to_dict() == named
        assert set(rows.index[rows["at_floor"]]) == at_floor
        excess = (wide.mean() - floor.mean()).clip(lower=stats.sem(floor))
        logs = pd.concat([logs, np.log(excess / excess["cfm"]).rename(rows["method"].to_dict()).to_frame(data).T])
        for one, other in combinations([rows["method"][m] for m in order], 2):
            separated = any({rows["method"][m] for m in pair} == {one, other} for pair in apart)
            wins[one] = wins.get(one, 0) + (1 if separated else 0.5)
            wins[other] = wins.get(other, 0) + (0 if separated else 0.5)
            pairs |= {m: pairs.get(m, 0) + 1 for m in (one, other)}
    summaries = {summary["method"]: summary for summary in found["summaries"]}
    assert {m: s["wins"] for m, s in summaries.items()} == pytest.approx({m: wins[m] / pairs[m] for m in wins})
    scored = logs.dropna(axis=1)
    assert {m for m, s in summaries.items() if s["ratio"] is not None} == set(scored)
    for method, values in scored.items():
        low, high = stats.t.interval(0.95, len(TASKS) - 1, values.mean(), max(stats.sem(values), 1e-300))
        expected = np.exp([values.mean(), low, high])
        assert [summaries[method][name] for name in ("ratio", "low", "high")] == pytest.approx(expected)
    order = list(scored.mean().sort_values().index)
    p = {(a, b): stats.ttest_rel(scored[a], scored[b]).pvalue for a, b in combinations(order, 2)}
    assert {m: summaries[m]["letters"] for m in order} == letters(order, rejected(p))


def test_a_referee_agrees_in_every_letter_of_two_tasks_of_a_track(committed, cli):
    rows, seeds = [], 10
    for record in map(
        json.loads, gzip.decompress((committed / "plane-v1" / "records.jsonl.gz").read_bytes()).splitlines()
    ):
        places = [place for place in record["track"] if "default" in place["tables"]]
        for row in record["results"] if places and record["spec"]["plan"]["steps"] == 2000 else ():
            if (row["metric"], row["point"]) == ("sliced_w2", "main") and row["value"] is not None:
                own = {"data": record["labels"]["data"], "model": places[0]["row"], "seed": record["spec"]["seed"]}
                rows.append(own | {"value": row["value"], "floor": row["floor"]})
    measured = pd.DataFrame(rows)
    command = ("leaderboard", "--results", committed, "--track", "plane-v1", "--settings", "default", "--json")
    shown = pd.DataFrame(json.loads(cli(*command)[1])["rows"]).query("steps == 2000 and nfe.isna()")
    for data in ("moons", "8gaussians"):
        own = measured[measured["data"] == data]
        wide = own.pivot(index="seed", columns="model", values="value")
        wide = wide.loc[:, wide.count() == seeds]
        order, named, at_floor, _ = judge(wide, own.groupby("seed")["floor"].mean())
        found = shown[(shown["data"] == data) & (shown["word"] == "")].set_index("model")
        assert len(order) == len(found) >= 12
        assert found["mean"].to_dict() == pytest.approx(wide.mean().to_dict())
        assert found["letters"].to_dict() == named
        assert set(found.index[found["at_floor"]]) == at_floor
