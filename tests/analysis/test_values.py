"""Values: each once, and of those that contradict one another the first."""

import copy

from helpers.leaderboards import run

from genbench.analysis.values import read_values


def test_of_two_values_for_one_cell_and_seed_the_first_counts_and_the_other_is_reported(caplog):
    record = run("cfm", 0, 1.0).record
    other = copy.deepcopy(record)
    other["labels"]["run"] = "later"
    other["results"][0]["value"] = 2.0
    once = read_values([record])
    assert read_values([record, copy.deepcopy(record)]) == once
    assert not caplog.text
    assert read_values([record, other]) == once
    assert caplog.text.count("later contradicts an earlier value of w2 for cfm on moons, seed 0") == 1
