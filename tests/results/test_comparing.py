"""The comparator: what differs between two records."""

import copy

import pytest
from helpers.records import changed

from genbench.results.comparing import compare
from genbench.runs.record import read_record


@pytest.fixture
def record(forger):
    return read_record(forger.record_of("cfm", 0))


def test_equal_records_do_not_differ_and_a_row_that_one_lacks_deviates(record):
    assert compare(record, copy.deepcopy(record)) == ([], len(record["results"]), ())
    other = changed(record, lambda row, other: other["results"].remove(row))
    (found,) = compare(record, other).deviations
    assert (found.row, found.field, found.other) == ("sliced_w2", "value", None)


@pytest.mark.parametrize("factor", [1 + 1e-9, 1.01, 2.0])
def test_a_difference_is_relative_to_the_larger_number(record, factor):
    (found,) = compare(record, changed(record, lambda row, _: row.update(value=row["value"] * factor))).deviations
    assert (found.row, found.field) == ("sliced_w2", "value")
    assert found.relative == pytest.approx(1 - 1 / factor, rel=1e-5)
    assert found.other == found.one * factor


@pytest.mark.parametrize(("factor", "differs"), [(1.09, False), (1.2, True), (None, True)])
def test_an_adaptive_solver_may_take_another_step(record, factor, differs):
    """On another processor reflow took 44.75 evaluations for 47, in a field of rows and as a value of the metric."""
    found = compare(record, changed(record, lambda row, _: row.update(nfe=factor and row["nfe"] * factor)))
    assert bool(found.deviations) == differs
    other = copy.deepcopy(record)
    (row,) = [row for row in other["results"] if row["metric"] == "nfe"]
    row["value"] *= factor or 2
    assert [each.field for each in compare(record, other).deviations] == ["value"] * differs


@pytest.mark.parametrize("detail", ["standard_error", "half_interval", "w2_squared_error"])
def test_another_estimate_of_the_error_of_an_equal_value_is_no_difference(record, detail):
    """Estimators of errors have changed while values have not; all other details are compared."""
    one, other = (changed(record, lambda row, _, n=n: row.update(details={detail: n, "sd": 1.0})) for n in (0.1, 0.2))
    assert compare(one, other).deviations == ()
    later = changed(other, lambda row, _: row["details"].update(sd=2.0))
    assert [each.field for each in compare(one, later).deviations] == ["sd"]


def test_metrics_of_one_record_only_are_named_and_not_compared(record):
    def drop(row, other):
        del other["spec"]["metrics"]["nfe"]
        other["results"] = [row for row in other["results"] if row["metric"] != "nfe"]

    other = changed(record, drop)
    assert compare(record, other) == ([], len(other["results"]), ())
    assert compare(other, record).added == ["nfe"]
    assert compare(record, record, without=["nfe"]).rows == len(other["results"])
