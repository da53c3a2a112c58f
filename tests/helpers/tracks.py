"""A track with planted values, of which some are missing, failed or unsupported, and one to train."""

import json

import numpy as np

from genbench.report.publish import write_suite
from genbench.report.track_board import track_board
from genbench.runs.make_spec import make_spec
from genbench.runs.store import Store, failed_record, labels_of
from helpers.records import provenance

TRACK = """
datasets = ["moons", "pinwheel"]
models = ["cfm", "otcfm", "nsf", "vp", "reflow", { name = "wcfm", trials = { model = { kappa = [0.5, 2.0] } } }]
metrics = ["sliced_w2"]
evaluation = { curve = [1, 4] }
budgets = [{ steps = 20, seeds = [0, 1, 2, 3, 4] }, { steps = 50, seeds = [0, 1, 2, 3, 4] }]
[track]
baseline = "cfm"
tuning = { steps = 20, seeds = 2 }
"""
TRAINED = """
datasets = ["moons", "pinwheel"]
models = ["cfm", "wcfm", { name = "tarflow", width = 16, blocks = [1, 1] }]
metrics = ["sliced_w2", "nfe"]
stack = ["seed"]
budgets = [{ steps = 12, seeds = [0, 1, 2] }]
plan = { batch_size = 32 }
evaluation = { n = 256, batch = 256, curve = [1] }
[track]
baseline = "cfm"
tuning = { steps = 12, seeds = 2 }
"""
"""A track that is trained in seconds."""
EXCESS = {"cfm": 1.0, "otcfm": 0.5, "nsf": 2.0}
RNG = np.random.default_rng(0)
SHARED, OWN, FLOOR = RNG.normal(0, 0.02, 5), RNG.normal(0, 0.01, (9, 5)), 0.1 + RNG.normal(0, 0.001, 5)


def record_of(model, data, steps, seed, rows, row="", tables=("default", "tuned"), settings=None, also=()):
    plan = {"plan": {"steps": steps}, "model": settings or {}}
    spec = make_spec(model, data, seed=seed, metrics=["sliced_w2", *also], settings=plan)
    places = [{"row": row or model, "headline": "sliced_w2", "tables": list(tables)}]
    made = provenance(spec.metrics, original=True)
    return {"labels": labels_of(spec), "spec": spec.json(), "results": rows, "provenance": made, "track": places}


def rows_of(value, floor, nfe=50.0, curve=()):
    at = {"metric": "sliced_w2", "floor": floor, "n": 64, "protocol": "64 directions", "better": "lower"}
    at["details"] = {"standard_error": 0.002}
    rows = [at | {"point": "main", "value": value, "nfe": nfe, "solver": "dopri5"}]
    return rows + [at | {"point": "curve", "value": y, "nfe": x, "solver": "euler"} for x, y in curve]


def planted(steps=20):
    """Every method has its excess; nsf takes two evaluations; vp lacks a seed; reflow is there with a reason only."""
    records = []
    for task, data in enumerate(("moons", "pinwheel")):
        for seed in range(5):
            for index, (model, excess) in enumerate(EXCESS.items()):
                value = FLOOR[seed] + excess + SHARED[seed] + OWN[index + 3 * task, seed]
                curve = [(1.0, value + 2), (4.0, value + 1)] if model != "nsf" else []
                rows = rows_of(value, FLOOR[seed], 2.0 if model == "nsf" else 50.0, curve)
                records.append(record_of(model, data, steps, seed, rows))
            if seed < 4:
                records.append(
                    record_of("vp", data, steps, seed, rows_of(0.3, FLOOR[seed], curve=[(1.0, 2.0), (4.0, 1.0)]))
                )
            reason = {"metric": "sliced_w2", "value": None, "better": "lower", "point": "main", "solver": None}
            records.append(record_of("reflow", data, steps, seed, [reason | {"nfe": None, "reason": "no teacher"}]))
    return records


def written(folder, track=TRACK, chosen=None):
    """Write some.toml and, if there are any, the settings that tuning has chosen; return the path."""
    path = folder / "some.toml"
    path.write_text(track)
    if chosen is not None:
        (folder / "some.tuned.json").write_text(json.dumps(chosen))
    return path


def board_of(folder, records, failures=(), track=TRACK, chosen=None, **options):
    folder.mkdir(exist_ok=True)
    write_suite(folder / "results" / "some", records, failures)
    return track_board(written(folder, track, chosen), Store(folder / "results"), **options)


def lost(*runs):
    """Return the records of failed runs, given as (model, seed) on moons."""
    failures = []
    for model, seed in runs:
        spec = make_spec(model, "moons", seed=seed, metrics=["sliced_w2"], settings={"plan": {"steps": 20}})
        place = [{"row": spec.model["name"], "headline": "sliced_w2", "tables": ["default", "tuned"]}]
        failures.append({**failed_record(spec, "the loss is not finite at step 3"), "track": place})
    return failures


def texts(table, label):
    """Return the cells of a row as texts."""
    (row,) = [row for row in table.rows if row.label == label]
    return [cell.text or f"{cell.mean:.1f}" for cell in row.cells]
