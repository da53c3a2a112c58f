"""Suites of results whose order is known."""

import numpy as np

from genbench.analysis.values import SuiteResults
from genbench.results.reader import Run
from genbench.runs.make_spec import make_spec
from genbench.runs.store import labels_of
from helpers.records import provenance

NOISE = np.random.default_rng(0).normal(size=(4, 12))


def run(
    model, seed, value, data="moons", plan=None, curve=(), metric="w2", better="lower", settings=None, n=64, **more
):
    spec = make_spec(
        model,
        data,
        seed=seed,
        metrics=["w2"],
        settings={"model": settings or {}, "plan": {"steps": 9, "batch_size": 4} | (plan or {}), **more},
    )
    at = {"metric": metric, "floor": 0.1, "n": n, "solver": "dopri5", "protocol": "exact", "better": better}
    rows = [at | {"point": "main", "value": value, "nfe": 100.0}]
    rows += [at | {"point": "curve", "value": y, "nfe": x, "solver": "euler"} for x, y in curve]
    made = provenance(spec.metrics, train_seconds=2.0 + seed, original=True)
    record = {"labels": labels_of(spec), "spec": spec.json(), "results": rows, "provenance": made}
    return Run(record, spec.model_label, None)


def suite(runs, name="tiny"):
    return SuiteResults(name, tuple(runs), ())


def known(seeds=12, datas=("moons", "mixture")):
    """Cfm is 0.5 better than otcfm, which equals sbcfm up to noise; all share what depends on the seed."""
    runs = []
    for data in datas:
        for seed in range(seeds):
            shared = 3 + NOISE[0, seed]
            runs.append(run("cfm", seed, shared, data, curve=[(1.0, 9.0), (4.0, 3.1), (16.0, 3.0)]))
            runs.append(run("otcfm", seed, shared + 0.5 + NOISE[1, seed] / 20, data))
            runs.append(run("sbcfm", seed, shared + 0.5 + NOISE[2, seed] / 20, data))
    return runs
