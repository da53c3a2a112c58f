"""Records that tests write by hand, or compare."""

import copy
import gzip
import json

from genbench.results.reader import Run
from genbench.runs.make_spec import make_spec
from genbench.runs.record import format_published, format_record, read_published, read_record, without_metrics
from genbench.runs.store import labels_of


def provenance(metrics, **data):
    """Return where a record comes from whose metrics were measured together."""
    made = {"code": {}, "machine": {"device": "cpu"}}
    training = {"train_seconds": 2.0, "steps_per_second": 1.0, "parameters": 9, "train_peak_mib": 1.0}
    measured = {"evaluate_peak_mib": 1.0, "evaluate_seconds": 1.0, "sample_seconds": 1.0}
    return {
        "data": data,
        "training": {**made, "cost": training},
        "measurements": [{**made, "metrics": sorted(metrics), "cost": measured}],
    }


def record(model, seed, values, settings=None, plan=None):
    """Return a record on moons with these values: {metric: (value, better)}."""
    settings = {"model": settings or {}, "plan": {"steps": 9} | (plan or {})}
    spec = make_spec(model, "moons", seed=seed, metrics=["w2", "mode_coverage", "norm"], settings=settings)
    at = {"floor": None, "n": 64, "point": "main", "solver": "dopri5", "nfe": 20.0, "protocol": "exact"}
    rows = [at | {"metric": name, "value": value, "better": better} for name, (value, better) in values.items()]
    rows.append(at | {"metric": "w2", "value": 9.0, "better": "lower", "point": "curve"})
    made = provenance(spec.metrics)
    return {"labels": labels_of(spec), "spec": spec.json(), "results": rows, "provenance": made}


def published(path):
    """Return the records of a published file without their provenance, which may differ between equal sweeps."""
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return [{name: part for name, part in record.items() if name != "provenance"} for record in lines]


def edit_record(path, change):
    """Rewrite a record, with its checksum, after change(record)."""
    record = json.loads(json.dumps(read_record(path)))
    change(record)
    path.write_text(format_record(record))


def main_row(record, metric="sliced_w2"):
    """Return the row of a metric of a record's samples."""
    return next(row for row in record["results"] if row["metric"] == metric and row["point"] == "main")


def changed(record, change):
    """Return a copy of a record after change(row of sliced_w2, copy)."""
    other = copy.deepcopy(record)
    change(main_row(other), other)
    return other


def edit_published(path, change):
    """Rewrite a published file after change(record) of each record."""
    records = read_published(path)
    for record in records:
        change(record)
    path.write_bytes(format_published(records))


def drop_metric(name):
    """Return a change of a record that removes a metric from it."""

    def change(record):
        record.update(json.loads(json.dumps(without_metrics(record, [name]))))

    return change


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
    made = provenance(spec.metrics, original=True)
    record = {"labels": labels_of(spec), "spec": spec.json(), "results": rows, "provenance": made}
    return Run(record, spec.model_label, None)
