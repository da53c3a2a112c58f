"""A referee: a track of the leaderboard from its published records, without genbench's statistics."""

import gzip
import json
from itertools import combinations
from string import ascii_lowercase

import numpy as np
import pandas as pd
import pytest
from scipy import stats

SEEDS = 10


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
        and stats.ttest_rel(wide[m], floor).confidence_interval(0.95).low <= 0
    }  # fmt: skip
    p = {(a, b): stats.ttest_rel(*wide[[a, b]].dropna().to_numpy().T).pvalue for a, b in combinations(order, 2)}
    apart = {pair for pair in rejected(p) if not set(pair) <= at_floor}
    return order, letters(order, apart), at_floor, apart


def test_a_referee_agrees_in_every_letter_and_every_effect_of_a_track(committed, cli):
    rows = []
    published = gzip.decompress((committed / "plane-v1" / "records.jsonl.gz").read_bytes())
    for record in map(json.loads, published.splitlines()):
        places = [place for place in record["track"] if "default" in place["tables"]]
        for row in record["results"] if places and record["spec"]["plan"]["steps"] == 2000 else ():
            if (row["metric"], row["point"]) == ("sliced_w2", "main") and row["value"] is not None:
                own = {"data": record["labels"]["data"], "model": places[0]["row"], "seed": record["spec"]["seed"]}
                rows.append(own | {"value": row["value"], "floor": row["floor"]})
    measured = pd.DataFrame(rows)
    found = json.loads(cli("leaderboard", "--results", committed, "--settings", "default", "--json")[1])
    shown = pd.DataFrame(found["rows"]).query("steps == 2000 and nfe.isna()")
    logs, wins, pairs = pd.DataFrame(), {}, {}
    for data, own in measured.groupby("data"):
        wide = own.pivot(index="seed", columns="model", values="value")
        wide, floor = wide.loc[:, wide.count() == SEEDS], own.groupby("seed")["floor"].mean()
        order, named, at_floor, apart = judge(wide, floor)
        of_data = shown[(shown["data"] == data) & (shown["word"] == "")].set_index("model")
        assert len(order) == len(of_data) >= 11
        assert of_data["mean"].to_dict() == pytest.approx(wide.mean().to_dict())
        assert of_data["letters"].to_dict() == named
        assert set(of_data.index[of_data["at_floor"]]) == at_floor
        excess = (wide.mean() - floor.mean()).clip(lower=stats.sem(floor))
        logs = pd.concat([logs, np.log(excess / excess["cfm"]).to_frame(data).T])
        for one, other in combinations(order, 2):
            separated = (one, other) in apart
            wins[one] = wins.get(one, 0) + (1 if separated else 0.5)
            wins[other] = wins.get(other, 0) + (0 if separated else 0.5)
            pairs |= {m: pairs.get(m, 0) + 1 for m in (one, other)}
    (across,) = [part for part in found["across"] if (part["steps"], part["nfe"]) == (2000, None)]
    summaries = {summary["method"]: summary for summary in across["summaries"]}
    assert {m: summaries[m]["wins"] for m in wins} == pytest.approx({m: wins[m] / pairs[m] for m in wins})
    scored = logs.dropna(axis=1)
    assert {m for m, s in summaries.items() if s["ratio"] is not None} == set(scored)
    for method, values in scored.items():
        low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), max(stats.sem(values), 1e-300))
        expected = np.exp([values.mean(), low, high])
        assert [summaries[method][name] for name in ("ratio", "low", "high")] == pytest.approx(expected)
    order = list(scored.mean().sort_values().index)
    p = {(a, b): stats.ttest_rel(scored[a], scored[b]).pvalue for a, b in combinations(order, 2)}
    assert {m: summaries[m]["letters"] for m in order} == letters(order, rejected(p))
