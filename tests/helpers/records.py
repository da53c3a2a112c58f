"""Records that tests write by hand, or compare."""

import gzip
import json


def provenance(metrics, *, train_seconds=2.0, device="cpu", **data):
    """Return where a record comes from whose metrics were measured together."""
    made = {"code": {}, "machine": {"device": device}}
    training = {"train_seconds": train_seconds, "steps_per_second": 1.0, "parameters": 9, "train_peak_mib": 1.0}
    measured = {"evaluate_peak_mib": 1.0, "evaluate_seconds": 1.0, "sample_seconds": 1.0}
    return {
        "data": data,
        "training": {**made, "cost": training},
        "measurements": [{**made, "metrics": sorted(metrics), "cost": measured}],
    }


def published(path):
    """Return the records of a published file without their provenance, which may differ between equal sweeps."""
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return [{name: part for name, part in record.items() if name != "provenance"} for record in lines]
