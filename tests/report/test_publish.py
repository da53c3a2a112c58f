"""Publishing: what depends on the machine is in separate files."""

import pandas as pd

from genbench.report.publish import write_suite

POINT = {"value": 1.0, "floor": 0.2, "n": 64, "protocol": "exact", "better": "lower", "solver": "dopri5", "nfe": 20.0}
COST = {"evaluate_seconds": 1.0, "train_peak_mib": 1.0, "evaluate_peak_mib": 2.0, "sample_seconds": 1.0}


def record(train_seconds):
    points = [{"point": "main"}, *({"point": "curve", "solver": "euler", "nfe": nfe} for nfe in (1.0, 16.0))]
    cost = COST | {"steps_per_second": 3.0, "parameters": 10, "train_seconds": train_seconds}
    return {
        "labels": {"run": "cfm-0", "model": "cfm", "data": "moons"},
        "spec": {"seed": 0, "data": {"name": "moons"}, "model": {"name": "cfm"}, "plan": {}, "evaluation": {}},
        "results": [{"metric": "w2"} | POINT | point for point in points],
        "provenance": {"code": {}, "data": {}, "machine": {"device": "cpu"}, "cost": cost},
    }


def test_costs_have_separate_files_and_results_are_reproducible(tmp_path):
    written = write_suite(tmp_path / "out" / "syn", [record(1.0)], [])
    names = ["table.md", "table.tex", "table.csv", "cost.md", "cost.tex", "cost.csv", "records.jsonl.gz"]
    assert sorted(p.name for p in written) == sorted(names)
    first = {p.name: p.read_bytes() for p in written}
    again = write_suite(tmp_path / "again" / "syn", [record(99.0)], [])
    for path in again:
        same = path.read_bytes() == first[path.name]
        assert same is ("cost" not in path.name), path.name
    assert pd.read_csv(tmp_path / "again/syn/cost.csv")["train_seconds"].tolist() == [99.0]
