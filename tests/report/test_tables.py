"""Tables: what a reader may conclude from them is true."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.records import run
from helpers.reports import cells_of, comparison_table, curve_rows, refusal, row, three_seeds
from helpers.tracks import lost, planted, record_of, rows_of
from scipy import stats

from genbench.analysis.significance import SEPARATION
from genbench.analysis.values import Failure, read_failures, read_values
from genbench.report.blocks import Cell
from genbench.report.formats.writers import markdown
from genbench.report.tables import DEFAULT_ROWS, FLOOR, comparison_tables, curve_tables, training_tables


def tables_of(records, failed=()):
    return comparison_tables(read_values(records, failed), read_failures(records, failed))


def test_a_cell_has_mean_and_interval_and_the_floor_is_the_first_row():
    table = comparison_table(three_seeds(cfm=[1.0, 2.0, 4.0], otcfm=[0.5, 0.5, 0.5]))
    (cell,) = cells_of(table, "cfm")
    assert cell.mean == pytest.approx(np.mean([1, 2, 4]))
    assert cell.half == pytest.approx(stats.sem([1, 2, 4]) * stats.t.ppf(0.975, 2))
    assert cell.values == ((0, 1.0), (1, 2.0), (2, 4.0))
    assert [r.label for r in table.rows] == [FLOOR, "cfm", "otcfm"]
    assert cells_of(table, FLOOR)[0].mean == 0.24
    assert cells_of(table, "otcfm")[0].half == 0
    assert table.legend[0] == "Mean ± half its 95 % interval over 3 seeds (0, 1, 2)."
    assert "w2: exact; n = 2048." in table.legend
    assert table.columns[0].protocol == "exact; n = 2048."
    rows = [row("cfm", 0, 1.0, metric, protocol="exact, n=2048") for metric in ("w2", "mmd")]
    assert "w2, mmd: exact, n=2048." in comparison_table(rows).legend  # a protocol is stated once


def test_the_interval_of_one_evaluation_stands_apart_from_the_spread_over_seeds():
    rows = [v._replace(half=half) for v, half in zip(three_seeds(cfm=[1.0, 2.0, 4.0]), (0.1, 0.2, 0.5), strict=True)]
    table = comparison_table(rows)
    assert cells_of(table, "cfm")[0].half == pytest.approx(stats.sem([1, 2, 4]) * stats.t.ppf(0.975, 2))
    assert table.legend[2] == (
        "Half the 95 % interval of a single evaluation, over its samples, test points or paths: w2 ±0.2 (median)."
    )


def test_one_seed_has_no_interval():
    table = comparison_table([row("cfm", 3, 0.5), row("otcfm", 3, 0.25)])
    assert cells_of(table, "cfm")[0].half is None
    assert table.legend[0] == "One seed (3): no interval, and too few seeds to compare models."
    assert "±" not in markdown(table).partition("\n- ")[0]
    assert not any(r.cells[0].letters for r in table.rows)
    assert SEPARATION not in table.legend
    table = comparison_table([row("cfm", 3, 0.5), row("otcfm", 4, 0.25)])
    assert table.legend[0] == "One seed for each model (3, 4): no interval, and too few seeds to compare models."


def test_an_unsupported_metric_is_a_dash_with_its_reason():
    rows = [*three_seeds(cfm=[1, 2, 3]), *(refusal("flow", s, "its samples do not follow an ODE") for s in range(3))]
    table = comparison_table(rows)
    assert SEPARATION in comparison_table([*rows, *three_seeds(a=[7, 8.1, 9])]).legend
    (cell,) = cells_of(table, "flow")
    assert (cell.text, cell.mean) == ("-", None)
    assert table.notes[cell.notes[0] - 1] == "its samples do not follow an ODE"
    assert "- [1] |" in markdown(table)
    assert "- [1] its samples do not follow an ODE" in markdown(table)


def test_reasons_that_differ_in_numbers_only_are_stated_once():
    reasons = ["too few: a share of 0.0019", "no model", "too few: a share of 2.4e-03", "no model"]
    rows = [refusal("a", seed, reason) for seed, reason in enumerate(reasons)]
    table = comparison_table([*three_seeds(b=[1, 2, 3]), *rows])
    lines = [line for line in markdown(table).splitlines() if "[1] too" in line]
    assert lines == ["- [1] too few: a share of 0.0019 (and similar); no model"]
    table = comparison_table([*three_seeds(cfm=[1.0, 2.0]), refusal("cfm", 2, "3 of 2048 samples are not finite")])
    (cell,) = cells_of(table, "cfm")
    assert (cell.mean, len(cell.values)) == (1.5, 2)
    assert table.notes == ("without 1 of 3 seeds: 3 of 2048 samples are not finite",)
    table = comparison_table(three_seeds(cfm=[1, 2, 3], otcfm=[1, 2]))
    assert (table.notes, cells_of(table, "otcfm")[0].notes) == (("2 seeds only",), (1,))


def test_the_parts_of_a_metric_take_the_reason_of_the_whole():
    rows = [row("cfm", 0, 0.1, "npe.tilt"), row("cfm", 0, 0.2, "npe.straightness"), refusal("flow", 0, "no ODE", "npe")]
    table = comparison_table(rows)
    assert [c.title for c in table.columns] == ["npe.tilt", "npe.straightness"]
    assert [cell.text for cell in cells_of(table, "flow")] == ["-", "-"]
    assert table.notes == ("no ODE",)


def test_failures_are_counted():
    failures = [Failure(model, "moons", seed, "NaN at step 7") for model, seed in (("a", 2), ("c", 0), ("c", 1))]
    table = comparison_table(three_seeds(a=[1, 2], b=[1, 2, 3]), failures)
    assert cells_of(table, "a")[0].mean == 1.5
    assert table.notes[cells_of(table, "a")[0].notes[0] - 1] == "1 run failed: NaN at step 7"
    assert cells_of(table, "c")[0].text == "failed (2)"
    assert "failed (2)" in markdown(table)
    tables = comparison_tables(three_seeds(a=[1, 2]), [Failure("a", "rings", 0, "NaN at step 7")])
    assert [t.title for t in tables] == ["moons", "rings"]
    assert cells_of(tables[1], "a")[0].text == "failed (1)"


def test_the_survivors_of_failed_runs_are_compared_with_no_other():
    near, far = [1.0, 1.1, 1.2, 1.15], [2.0, 2.13, 2.21, 2.1]
    table = comparison_table(three_seeds(cfm=near, wcfm=far))
    assert [cells_of(table, model)[0].letters for model in ("cfm", "wcfm")] == ["a", "b"]
    for survived in ([0.1], [0.1, 0.11], [5359.0]):
        failures = [Failure("otcfm", "moons", seed, "NaN at step 7") for seed in range(len(survived), 4)]
        table = comparison_table(three_seeds(cfm=near, wcfm=far, otcfm=survived), failures)
        cells = [cells_of(table, model)[0] for model in ("cfm", "wcfm", "otcfm")]
        assert [(cell.letters, cell.aside) for cell in cells] == [("a", False), ("b", False), ("", True)]
        assert (
            "In parentheses: models with failed runs or seeds without a value, compared with no other." in table.legend
        )


def test_letters_never_compare_two_budgets_of_a_track():
    """The tables of plane-v1 had letters over 2,000, 5,000 and 20,000 steps together."""
    gaussian = [record_of("gaussian", "moons", 0, seed, rows_of(0.9, 0.1)) for seed in range(5)]
    failures = lost(("wcfm", 0))
    parts = ([*planted(), *gaussian], [*planted(50), *gaussian])
    alone = [tables_of(part) for part in parts]
    both = tables_of([*planted(), *planted(50), *gaussian], failures)
    assert [table.title for table in both] == [
        f"{data}, {steps} steps" for steps in (20, 50) for data in ("moons", "pinwheel")
    ]
    for table, other in zip(both, [*alone[0], *alone[1]], strict=True):
        shown, expected = (
            {row.label: [replace(cell, notes=()) for cell in row.cells] for row in each.rows if row.label != "wcfm"}
            for each in (table, other)
        )
        assert shown == expected
    assert [any(row.label == "wcfm" for row in table.rows) for table in both] == [True, False, False, False]


def test_tuned_and_default_settings_of_a_track_have_tables_of_their_own():
    """Letters compared both in one family, and a run with another learning rate had no name that said so.

    Runs with default settings stood in both tables as if they were two results.
    """

    def with_rate(record, lr):
        return {**record, "spec": {**record["spec"], "plan": {**record["spec"]["plan"], "lr": lr}}}

    def cfm(tables, value, steps, lr=1e-3):
        for seed in range(3):
            own = record_of("cfm", "moons", steps, seed, rows_of(value + 0.01 * seed**2, 0.1), tables=tables)
            yield with_rate(own, lr)

    both = ("default", "tuned")
    records = [*cfm(("default",), 0.9, 20), *cfm(("tuned",), 0.5, 20, 3e-3), *cfm(both, 0.4, 50)]
    records += [record_of("otcfm", "moons", 20, s, rows_of(0.7 + 0.01 * s, 0.1), tables=both) for s in range(3)]
    tuned = [{"row": "cfm", "headline": "sliced_w2", "tables": ["tuned"]}]
    failed = [{**with_rate(lost(("cfm", 4))[0], 3e-3), "track": tuned}]
    tables = tables_of(records, failed)
    found = {
        table.title: {r.label: (round(r.cells[0].mean, 2), r.cells[0].letters) for r in table.rows[1:]}
        for table in tables
    }
    assert found == {
        "moons, 20 steps, default settings": {"cfm": (0.92, "b"), "otcfm": (0.71, "a")},
        "moons, 20 steps, tuned settings": {"otcfm (default)": (0.71, ""), "cfm lr=0.003": (0.52, "")},  # one failed
        "moons, 50 steps, default settings": {"cfm": (0.42, "")},
    }
    assert [DEFAULT_ROWS in table.legend for table in tables] == [False, True, False]
    again = tables_of(records, [*failed, *lost(("otcfm", 4))])
    assert [[r.label for r in table.rows] for table in again] == [[r.label for r in table.rows] for table in tables]


def test_seeds_of_a_tuned_row_share_a_row_with_those_that_failed_if_all_default_runs_failed():
    """The failed seeds had a row of their own, since their name was compared with the failed default runs."""
    failed, tuned = lost(("cfm", 0), ("cfm", 3)), record_of("cfm", "moons", 20, 1, rows_of(0.5, 0.1), tables=["tuned"])
    failed[0]["track"][0]["tables"] = ["default"]
    failed[1]["track"][0]["tables"] = ["tuned"]
    for record in (tuned, failed[1]):
        record["spec"]["plan"]["lr"] = 3e-3
    *_, table = tables_of([tuned], failed)
    assert [row.label for row in table.rows if not row.floor] == ["cfm lr=0.003"]


@pytest.mark.parametrize("whole", [True, False])
def test_a_failed_run_has_the_name_of_the_seeds_that_its_setting_has(whole):
    """Two settings of cfm were told apart by values alone: the failed seeds made a row that no setting has."""
    rates = (1e-3, 0.1)
    records = [run("cfm", seed, 1.0 + seed, plan={"lr": lr}).record for lr in rates for seed in range(3)]
    failed = [{**records.pop(at), "failure": "the loss is not finite"} for at in ((5,) if whole else (5, 4, 3, 2))]
    (table,) = tables_of(records, failed)
    cells = {row.label: row.cells[0] for row in table.rows if not row.floor}
    assert [*cells] == ["cfm lr=0.001", "cfm lr=0.1"]
    assert [cells[name].aside for name in cells] == ([False, True] if whole else [True, False])
    assert cells["cfm lr=0.1"].text == ("" if whole else "failed (3)")


@pytest.mark.parametrize("other", [{"protocol": "sliced"}, {"n": 512}])
def test_two_protocols_are_two_columns(other):
    pairs = [row(model, s, value * (1 + s / 999)) for model, value in (("cfm", 1.0), ("otcfm", 2.0)) for s in range(2)]
    table = comparison_table([*pairs, row("vp", 0, 0.5, **other), row("vp", 1, 0.5, **other)])
    assert [c.title for c in table.columns] == ["w2 (a)", "w2 (b)"]
    assert [cell.mean for cell in cells_of(table, "vp")] == [None, 0.5]
    assert [cell.letters for cell in cells_of(table, "vp")] == ["", ""]  # it is alone in its column
    assert cells_of(table, "cfm")[0].letters == "a"
    assert "w2 was measured under 2 protocols, which may not be compared." in table.legend
    assert "An empty cell was not measured." in table.legend


def test_data_that_is_not_the_original_is_marked():
    rows = [row("cfm", 0, 1.0, original=False), row("otcfm", 0, 2.0)]
    assert any("The data of cfm is a file, not a published original" in line for line in comparison_table(rows).legend)
    for usual in (three_seeds(cfm=[1, 2]), [row("cfm", 0, 1.0, original=None)]):
        assert not any("not a published original" in line for line in comparison_table(usual).legend)


def test_floors_that_differ_between_models_have_a_note():
    table = comparison_table([row("cfm", 0, 1.0, floor=0.2), row("otcfm", 0, 1.0, floor=0.4)])
    assert cells_of(table, FLOOR)[0].mean == pytest.approx(0.3)
    assert table.notes == ("mean over models, whose floors differ",)


def test_a_curve_has_a_column_for_each_nfe_and_the_main_solver():
    (table,) = curve_tables([*curve_rows(), row("vp", 0, 1.0)])  # vp was measured without a curve
    assert table.title == "moons: w2 vs. NFE (euler)"
    assert [c.title for c in table.columns] == ["1", "2", "16", "main solver", "its NFE"]
    assert [cell.mean for cell in cells_of(table, "cfm")] == pytest.approx([9, 5, 1.5, 1.1, 100])
    assert [cell.text for cell in cells_of(table, "flow")][:3] == ["-"] * 3
    assert cells_of(table, "flow")[4].mean == 64
    assert cells_of(table, "vp")[0] == Cell()
    assert table.notes == ("its NFE cannot be set", "1 seed only, too few to compare")
    assert "Main solver: cfm dopri5, flow its own, vp dopri5." in table.legend
    assert cells_of(comparison_table(curve_rows()), "cfm")[0].mean == pytest.approx(1.1)  # without points of curves


def test_plans_of_different_length_are_compared_at_equal_shares_of_their_steps():
    """A value at a step states its share of the plan; where plans agree, or a record has none, columns are steps."""

    def titles(*points):
        values = [row(model, 0, 1.0, point="training", step=step, share=share) for model, step, share in points]
        (table,) = training_tables(values)
        return [column.title for column in table.columns]

    cfm, flow = [("cfm", 1000, 0.25), ("cfm", 2000, 0.5)], [("flow", 650, 0.25), ("flow", 1300, 0.5)]
    assert titles(*cfm, *flow) == ["25 %", "50 %", "end"]
    assert titles(*cfm) == ["1000", "2000", "end"]
    assert titles(cfm[0], ("flow", 650, None)) == ["650", "1000", "end"]
    thinned = titles(*(("cfm", step, step / 40) for step in range(1, 41)))
    assert thinned == ["5", "10", "15", "20", "25", "30", "35", "40", "end"]


def test_a_model_without_a_seed_during_training_is_compared_with_no_other():
    """Its remaining seeds had letters, and no note gave the reason."""
    values = {"cfm": 1.0, "otcfm": 2.0, "mine": 0.5}
    points = [{"point": "training", "step": 10}, {"point": "training", "step": 20}, {}]
    rows = [row(m, s, value + s**2 / 99, **at) for at in points for m, value in values.items() for s in range(6)]
    why = "9 of 512 samples are not finite"
    for column in (0, 2):  # at step 10 and at the end
        rows[18 * column + 12] = refusal("mine", 0, why, **points[column])
    (table,) = training_tables(rows)
    assert [(cell.aside, cell.letters) for cell in cells_of(table, "mine")] == [(True, ""), (False, "a"), (True, "")]
    assert table.notes == (f"without 1 of 6 seeds: {why}",)


def test_settings_that_all_long_labels_share_are_stated_once():
    shared = "encoder=autoencoder(width=16,steps=5000,batch_size=32) noise=0.3"
    values = [row(f"{model} {shared}", 0, 1.0) for model in ("tarflow", "starflow kappa=1")]
    text = markdown(comparison_table(values))
    assert text.count(shared) == 1
    assert f"All models: {shared}." in text
    assert "| starflow kappa=1 " in text
