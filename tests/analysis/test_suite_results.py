"""Results of suites: their values, their costs and the runs that failed, as tables need them."""

import pytest

from genbench.analysis.suite_results import load_suites
from genbench.runs.store import Store
from genbench.sweeps.suite import load


def test_a_suite_has_the_values_costs_and_failures_of_its_runs(swept):
    suite, results = swept
    store, specs = Store(results), load(suite).specs
    with store.hold(specs[0]) as held:
        held.write_failure(specs[0], "no memory\nat step 3")
    (found,) = load_suites(store)
    assert [(run.model, run.seed) for run in found.runs] == [
        ("cfm", 0),
        ("cfm", 1),
        ("wcfm kappa=0.5", 0),
        ("wcfm kappa=0.5", 1),
    ]
    assert {value.metric for value in found.values} == {"sliced_w2", "nfe"}
    assert len(found.values) == sum(len(run.record["results"]) for run in found.runs)
    for run, cost in zip(found.runs, found.costs, strict=True):
        assert (cost.run, cost.model, cost.seed) == (run.record["labels"]["run"], run.model, run.seed)
        assert cost.train_seconds == run.record["provenance"]["training"]["cost"]["train_seconds"]
        assert cost.sample_seconds == pytest.approx(
            run.record["provenance"]["measurements"][0]["cost"]["sample_seconds"]
        )
