"""The comparator: what differs between two records, and the verdict on a reproduction."""

import copy

import pytest

from genbench.results.comparing import SHARE, compare, reproduction
from genbench.runs.record import read_record


@pytest.fixture
def record(forger):
    return read_record(forger.record_of("cfm", 0))


def changed(record, change):
    other = copy.deepcopy(record)
    change(next(row for row in other["results"] if row["metric"] == "sliced_w2" and row["point"] == "main"), other)
    return other


def test_equal_records_do_not_differ(record):
    assert compare(record, copy.deepcopy(record)) == (([], []), len(record["results"]), ())


@pytest.mark.parametrize("factor", [1 + 1e-9, 1.01, 2.0])
def test_a_difference_is_relative_to_the_larger_number(record, factor):
    (found,) = compare(record, changed(record, lambda row, _: row.update(value=row["value"] * factor))).deviations
    assert (found.row, found.field) == ("sliced_w2", "value")
    assert found.relative == pytest.approx(1 - 1 / factor, rel=1e-5)
    assert found.other == found.one * factor


@pytest.mark.parametrize(("nfe", "differs"), [(1.09, False), (1.2, True), (None, True)])
def test_an_adaptive_solver_may_take_another_step(record, nfe, differs):
    found = compare(record, changed(record, lambda row, _: row.update(nfe=nfe and row["nfe"] * nfe)))
    assert bool(found.deviations) == differs


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
    assert compare(record, other) == ((["nfe"], []), len(other["results"]), ())
    assert compare(other, record).alone == ([], ["nfe"])
    assert compare(record, record, without=["nfe"]).rows == len(other["results"])


def test_a_row_that_one_record_lacks_deviates(record):
    other = changed(record, lambda row, other: other["results"].remove(row))
    (found,) = compare(record, other).deviations
    assert (found.row, found.field, found.other) == ("sliced_w2", "value", None)


@pytest.fixture
def published(forger):
    return [read_record(path) for path in forger.store.record_paths()]


def spread(published):
    values = [row["value"] for r in published if r["labels"]["model"] == "cfm" for row in r["results"]
              if row["metric"] == "sliced_w2" and row["point"] == "main"]  # fmt: skip
    return abs(values[0] - values[1]) / 2**0.5


@pytest.mark.parametrize(("share", "agrees"), [(0.0, True), (SHARE * 0.99, True), (SHARE * 1.01, False), (9.0, False)])
def test_a_value_agrees_within_a_share_of_its_spread_over_seeds(published, share, agrees):
    again = [
        changed(r, lambda row, _: row.update(value=row["value"] + share * spread(published)))
        if r["labels"]["model"] == "cfm" and not r["spec"]["seed"] else r
        for r in published
    ]  # fmt: skip
    found = reproduction(again, published)
    values = sum(row["value"] is not None for record in published for row in record["results"])
    assert (found.published, found.compared, found.missing) == (values, values, ())
    assert found.agreeing == values - (not agrees)
    if share:
        assert found.worst[0] == pytest.approx(share / SHARE, rel=1e-6)
        assert found.worst[2] == published[0]["labels"]["run"]


def test_values_that_were_not_measured_again_are_counted_and_named(published):
    found = reproduction(published[1:], published)
    assert found.published - found.compared == len(published[0]["results"])
    assert found.agreeing == found.compared
    assert found.missing == ("nfe", "sliced_w2")
    assert "not measured again: nfe, sliced_w2" in str(found)


def test_another_protocol_does_not_agree(published):
    again = [changed(published[0], lambda row, _: row.update(protocol="other")), *published[1:]]
    assert reproduction(again, published).agreeing == reproduction(published, published).agreeing - 1


def test_of_a_single_seed_the_spread_is_that_of_all_published(published):
    (own,) = [r for r in published if (r["labels"]["model"], r["spec"]["seed"]) == ("cfm", 0)]
    again = changed(own, lambda row, _: row.update(value=row["value"] + 0.9 * SHARE * spread(published)))
    values = len(own["results"])
    assert reproduction([again], [own], published).agreeing == values
    assert reproduction([again], [own]).agreeing == values - 1
