"""Values: each once, and of those that contradict one another the first."""

import copy

import pytest
from helpers.records import run

from genbench.analysis.values import load_suites, read_values
from genbench.runs.store import Store
from genbench.sweeps.suite import load


def test_of_two_values_for_one_cell_and_seed_the_first_counts_and_the_other_is_reported(caplog):
    record = run("cfm", 0, 1.0).record
    other = copy.deepcopy(record)
    other["labels"]["run"] = "later"
    other["results"][0]["value"] = 2.0
    once = read_values([record])
    assert read_values([record, copy.deepcopy(record)]) == once
    assert not caplog.text
    assert read_values([record, other]) == once
    said = f"later contradicts {record['labels']['run']}: w2 of cfm on moons, seed 0 is 2, not 1; the later"
    assert caplog.text.count(said) == 1


@pytest.mark.parametrize(("members", "value"), [([0], 1.0 + 2**-23), ([0, 1], 1.03), ([0, 1], 900.0)])
def test_an_ensemble_of_other_members_rounds_otherwise_and_contradicts_only_by_more(caplog, members, value):
    """The last example of the README warned of two runs that are published."""
    records = [run("cfm", 0, 1.0).record for _ in range(2)]
    records[0]["spec"]["stack"] = [{"seed": 0}]
    records[1]["spec"]["stack"] = [{"seed": seed} for seed in members]
    records[1]["labels"]["run"] = "later"
    records[1]["results"][0]["value"] = value
    (kept,) = read_values(records)
    assert (kept.value, "is 900, not 1" in caplog.text, not caplog.text) == (1.0, value > 2, value < 2)


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
