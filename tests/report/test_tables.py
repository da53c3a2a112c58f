"""Tables: what a reader may conclude from them is true, in every format."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from genbench.errors import ConfigError
from genbench.report.formats import csv, latex, markdown
from genbench.report.formats.terminal import show
from genbench.report.statistics import format_mean, marks, mean_and_error
from genbench.report.tables import FLOOR, comparison_tables, cost_tables, curve_tables


def row(model, seed, value, metric="w2", **other):
    usual = {"run": f"{model}-{seed}", "model": model, "data": "moons", "seed": seed, "metric": metric, "value": value}
    usual |= {"floor": 0.24, "n": 2048, "protocol": "exact", "better": "lower", "point": "main", "solver": "dopri5"}
    return usual | {"nfe": 100.0, "step": None, "reason": None, "original": True} | other


def refusal(model, seed, reason, metric="w2", **other):
    return row(model, seed, None, metric, floor=None, n=None, protocol=None, reason=reason, **other)


def three_seeds(**values):
    return [row(model, seed, value) for model, seeds in values.items() for seed, value in enumerate(seeds)]


def the(table, label):
    return next(r for r in table.rows if r.label == label).cells


def compared(rows, failures=None):
    (table,) = comparison_tables(pd.DataFrame(rows), None if failures is None else pd.DataFrame(failures))
    return table


def test_a_cell_is_the_mean_with_its_standard_error_and_the_floor_row_stands_first():
    table = compared(three_seeds(cfm=[1.0, 2.0, 4.0], otcfm=[0.5, 0.5, 0.5]))
    (cell,) = the(table, "cfm")
    assert cell.mean == pytest.approx(np.mean([1, 2, 4]))
    assert cell.error == pytest.approx(stats.sem([1, 2, 4]))
    assert cell.seeds == 3
    assert [r.label for r in table.rows] == [FLOOR, "cfm", "otcfm"]
    assert the(table, FLOOR)[0].mean == 0.24
    assert the(table, "otcfm")[0].error == 0
    assert table.legend[0] == "Mean ± standard error over 3 seeds (0, 1, 2)."
    assert "w2: exact; n = 2048." in table.legend


def test_the_order_is_that_of_the_frame_and_each_data_set_has_a_table():
    rows = [
        row(m, 0, 1.0, metric, data=d) for d in ("spirals", "moons") for m in ("z", "a") for metric in ("w2", "mmd")
    ]
    tables = comparison_tables(pd.DataFrame(rows))
    assert [t.title for t in tables] == ["spirals", "moons"]
    assert [c.title for c in tables[0].columns] == ["w2", "mmd"]
    assert [r.label for r in tables[0].rows] == [FLOOR, "z", "a"]


def test_one_seed_has_no_error_and_says_so():
    table = compared([row("cfm", 3, 0.5), row("otcfm", 3, 0.25)])
    assert the(table, "cfm")[0].error is None
    assert table.legend[0] == "One seed (3): no standard error."
    assert "±" not in markdown.table(table).partition("\n- ")[0]
    assert not any(r.cells[0].mark for r in table.rows)
    assert not any("Marks" in line for line in table.legend)


@pytest.mark.parametrize(("better", "best"), [("lower", "b"), ("higher", "a"), ("none", None)])
def test_the_best_is_marked_where_the_direction_is_known(better, best):
    rows = [row(m, s, v + s / 100, better=better) for m, v in (("a", 2.0), ("b", 1.0)) for s in range(3)]
    table = compared(rows)
    assert [r.label for r in table.rows if r.cells[0].mark == "best"] == ([best] if best else [])
    assert not the(table, FLOOR)[0].mark


def test_a_single_model_is_not_the_best_of_anything():
    assert not the(compared(three_seeds(cfm=[1, 2, 3])), "cfm")[0].mark


def test_ties_follow_the_paired_test_with_holms_correction():
    shared = np.random.default_rng(0).normal(0, 1, 10)  # by their seed; far larger than what tells the models apart
    jitter = 0.05 * (-1.0) ** np.arange(10)
    gaps = {"best": 0.0, "near": 0.01, "far": 0.3, "farther": 0.5}
    found = {name: dict(enumerate(gap + shared + jitter * (name != "best"))) for name, gap in gaps.items()}
    assert marks(found, "lower") == {"best": "tie", "near": "tie"}
    assert marks({name: found[name] for name in ("best", "far", "farther")}, "lower") == {"best": "best"}
    assert marks({name: found[name] for name in ("best", "near")}, "lower") == {}
    p = {m: stats.ttest_rel(list(found[m].values()), list(found["best"].values())).pvalue for m in ("near", "far")}
    assert p["near"] > 0.05 > 3 * p["far"]
    assert stats.ttest_ind(list(found["farther"].values()), list(found["best"].values())).pvalue > 0.05


def test_holm_is_stricter_than_the_bare_test():
    best, other = {s: 0.0 for s in range(4)}, {0: 0.1, 1: 0.5, 2: 0.3, 3: 0.25}
    p = stats.ttest_1samp(list(other.values()), 0).pvalue
    assert 0.025 < p < 0.05
    assert marks({"a": best, "b": other}, "lower") == {"a": "best"}
    worse = {s: 9.0 + s / 100 for s in best}
    more = marks({"a": best, "b": other, "c": {s: v * 1.01 for s, v in other.items()}, "d": worse}, "lower")
    assert more == {"a": "tie", "b": "tie", "c": "tie"}


def test_equal_models_share_the_first_place():
    assert marks({"a": {0: 1.0, 1: 1.0}, "b": {0: 1.0, 1: 1.0}, "c": {0: 2.0, 1: 2.0}}, "lower") == {
        "a": "tie",
        "b": "tie",
    }
    assert marks({"a": {0: 1.0, 1: 1.0}, "b": {0: 1.0, 1: 1.0}}, "lower") == {}


def test_a_refusal_is_a_dash_with_its_reason():
    rows = [*three_seeds(cfm=[1, 2, 3]), *(refusal("flow", s, "its samples do not follow an ODE") for s in range(3))]
    table = compared(rows)
    (cell,) = the(table, "flow")
    assert (cell.text, cell.mean) == ("-", None)
    assert table.notes[cell.notes[0] - 1] == "its samples do not follow an ODE"
    assert "- [1] |" in markdown.table(table)
    assert "- [1] its samples do not follow an ODE" in markdown.table(table)


def test_reasons_that_differ_in_numbers_alone_are_said_once():
    reasons = ["too few: a share of 0.0019", "no model", "too few: a share of 2.4e-03", "no model"]
    table = compared([*three_seeds(b=[1, 2, 3]), *(refusal("a", seed, reason) for seed, reason in enumerate(reasons))])
    said = [line for line in markdown.table(table).splitlines() if "[1] too" in line]
    assert said == ["- [1] too few: a share of 0.0019 (and similar); no model"]


def test_the_parts_of_a_metric_take_the_reason_of_the_whole():
    rows = [row("cfm", 0, 0.1, "npe.tilt"), row("cfm", 0, 0.2, "npe.straightness"), refusal("flow", 0, "no ODE", "npe")]
    table = compared(rows)
    assert [c.title for c in table.columns] == ["npe.tilt", "npe.straightness"]
    assert [cell.text for cell in the(table, "flow")] == ["-", "-"]
    assert table.notes == ("no ODE",)


def test_a_seed_without_a_value_is_left_out_and_said():
    rows = [*three_seeds(cfm=[1.0, 2.0]), refusal("cfm", 2, "3 of 2048 samples are not finite")]
    table = compared(rows)
    (cell,) = the(table, "cfm")
    assert (cell.mean, cell.seeds) == (1.5, 2)
    assert table.notes == ("without 1 of 3 seeds: 3 of 2048 samples are not finite",)


def test_failures_are_counted_and_never_hidden():
    failures = [
        {"model": m, "data": "moons", "seed": s, "reason": "NaN at step 7"} for m, s in (("a", 2), ("c", 0), ("c", 1))
    ]
    table = compared(three_seeds(a=[1, 2], b=[1, 2, 3]), failures)
    assert the(table, "a")[0].mean == 1.5
    assert table.notes[the(table, "a")[0].notes[0] - 1] == "1 run failed: NaN at step 7"
    assert the(table, "c")[0].text == "failed (2)"
    assert "failed (2)" in markdown.table(table)


def test_a_data_set_on_which_all_failed_has_a_table():
    failures = pd.DataFrame([{"model": "a", "data": "rings", "seed": 0, "reason": "NaN at step 7"}])
    tables = comparison_tables(pd.DataFrame(three_seeds(a=[1, 2])), failures)
    assert [t.title for t in tables] == ["moons", "rings"]
    assert the(tables[1], "a")[0].text == "failed (1)"


def test_fewer_seeds_than_the_others_is_said():
    table = compared(three_seeds(cfm=[1, 2, 3], otcfm=[1, 2]))
    assert table.notes == ("2 seeds only",)
    assert the(table, "otcfm")[0].notes == (1,)


@pytest.mark.parametrize("other", [{"protocol": "sliced"}, {"n": 512}])
def test_two_protocols_are_two_columns(other):
    pairs = [row(model, s, value + s / 99) for model, value in (("cfm", 1.0), ("otcfm", 2.0)) for s in range(2)]
    table = compared([*pairs, row("vp", 0, 0.5, **other), row("vp", 1, 0.5, **other)])
    assert [c.title for c in table.columns] == ["w2 (a)", "w2 (b)"]
    assert [cell.mean for cell in the(table, "vp")] == [None, 0.5]
    assert [cell.mark for cell in the(table, "vp")] == ["", ""]  # alone in its column, it beats nobody
    assert the(table, "cfm")[0].mark == "best"
    assert "w2 was measured under 2 protocols, which may not be compared." in table.legend
    assert "An empty cell was not measured." in table.legend


def test_data_that_is_not_the_original_is_marked():
    rows = [row("cfm", 0, 1.0, original=False), row("otcfm", 0, 2.0)]
    assert any("The data of cfm is NOT the checksummed original" in line for line in compared(rows).legend)
    assert not any("NOT" in line for line in compared(three_seeds(cfm=[1, 2])).legend)
    nowhere = [row("cfm", 0, 1.0, original=None)]
    assert not any("NOT" in line for line in compared(nowhere).legend)


def test_two_values_for_one_cell_and_seed_are_refused():
    rows = [row("cfm", 0, 1.0), row("cfm", 0, 2.0, run="cfm-long", solver="euler")]
    with pytest.raises(ConfigError, match=r"cfm on moons has 2 values of w2 for seed 0 \(runs cfm-0, cfm-long\)"):
        compared(rows)
    assert the(compared([row("cfm", 0, 1.0)] * 2), "cfm")[0].seeds == 1  # a repetition of the very same is one value


def test_a_frame_without_a_column_is_refused():
    with pytest.raises(ConfigError, match="the frame of values lacks the columns floor, better"):
        comparison_tables(pd.DataFrame([row("cfm", 0, 1.0)]).drop(columns=["floor", "better"]))


def test_a_protocol_is_stated_once():
    rows = [row("cfm", 0, 1.0, metric, protocol="exact, n=2048") for metric in ("w2", "mmd")]
    assert "w2, mmd: exact, n=2048." in compared(rows).legend


def test_floors_that_differ_between_models_are_said():
    table = compared([row("cfm", 0, 1.0, floor=0.2), row("otcfm", 0, 1.0, floor=0.4)])
    assert the(table, FLOOR)[0].mean == pytest.approx(0.3)
    assert table.notes == ("mean over models, whose floors differ",)


def budgets():
    rows = three_seeds(cfm=[1.0, 1.1, 1.2], flow=[2.0, 2.1, 2.2])
    for seed in range(3):
        rows[3 + seed] |= {"solver": None, "nfe": 64.0}
        rows += [row("cfm", seed, 1 + 8 / k, point="curve", solver="euler", nfe=float(k)) for k in (1, 16, 2)]
    return rows


def test_a_curve_has_a_column_for_each_budget_and_the_main_solver():
    (table,) = curve_tables(pd.DataFrame(budgets()))
    assert table.title == "moons: w2 vs. NFE (euler)"
    assert [c.title for c in table.columns] == ["1", "2", "16", "main solver", "its NFE"]
    assert [cell.mean for cell in the(table, "cfm")] == pytest.approx([9, 5, 1.5, 1.1, 100])
    assert [cell.text for cell in the(table, "flow")][:3] == ["-"] * 3
    assert the(table, "flow")[4].mean == 64
    assert table.notes == ("its NFE cannot be set",)
    assert "Main solver: cfm dopri5, flow its own." in table.legend


def test_curve_points_do_not_enter_the_comparison():
    assert the(compared(budgets()), "cfm")[0].mean == pytest.approx(1.1)


def test_costs_keep_devices_apart_and_crown_nobody():
    def spent(model, seed, device):
        place = {"run": f"{model}-{seed}", "model": model, "data": "moons", "seed": seed, "device": device}
        return place | {
            "train_seconds": 10.0 + seed,
            "sample_seconds": 1,
            "peak_mib": 300,
            "steps_per_second": 99.5 + (model == "otcfm"),
            "parameters": 9000,
        }

    spending = [spent("cfm", 0, "cpu"), spent("cfm", 1, "cpu"), spent("otcfm", 0, "cuda")]
    values = [row("cfm", 0, 0.5, nfe=40.0), row("cfm", 1, 0.5, nfe=50.0), row("otcfm", 0, 0.4)]
    cpu, cuda = cost_tables(pd.DataFrame(spending), pd.DataFrame(values))
    assert (cpu.title, cuda.title) == ("moons: cost on cpu", "moons: cost on cuda")
    named = dict(zip([c.title for c in cpu.columns], the(cpu, "cfm"), strict=True))
    assert named["training, s"].mean == 10.5
    assert any("one ensemble share its time" in line for line in cpu.legend)  # both seeds took as many steps a second
    assert not any("one ensemble" in line for line in cuda.legend)
    assert named["parameters"].mean == 9000
    assert named["NFE"].mean == 45
    assert not any(cell.mark for table in (cpu, cuda) for r in table.rows for cell in r.cells)


@pytest.mark.parametrize("exponent", range(-9, 12))
def test_a_quantity_keeps_two_digits_of_its_error(exponent):
    for mean, error in ((1.23456, 0.0123), (5.5, 0.0996), (-2.0, 0.31), (0.0, 1.0)):
        text = format_mean(mean * 10.0**exponent, error * 10.0**exponent)
        plain = re.fullmatch(r"\(?(-?[\d.]+) ± ([\d.]+)\)?(e[+-]\d+)?", text)
        assert plain, text
        shown, spread = (float(part + (plain[3] or "")) for part in plain.group(1, 2))
        assert spread == pytest.approx(error * 10.0**exponent, rel=0.05)  # two digits are within 5 %
        assert abs(shown - mean * 10.0**exponent) <= 0.05 * error * 10.0**exponent * 1.001
        digits = plain[2].replace(".", "").lstrip("0")
        assert len(digits.rstrip("0")) <= 2, text


def test_the_error_of_one_is_unknown():
    assert mean_and_error([2.5]) == (2.5, None)


def wide():
    rows = [row(m, s, v + s / 50, metric) for metric in ("w2", "sliced_w2", "mmd", "energy_distance", "straightness",
            "npe", "curvature", "nll") for m, v in (("cfm", 1.0), ("wcfm kappa=0.5", 1.2), ("ot|cfm", 2.0))
            for s in range(3)]  # fmt: skip
    return compared(rows)


def test_markdown_is_aligned_and_within_its_width():
    text = markdown.table(wide(), width=100)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert max(map(len, lines)) <= 100
    blocks = text.split("\n\n")[1:-1]
    assert len(blocks) > 1
    for block in blocks:
        assert len({len(line) for line in block.splitlines()}) == 1  # every line of a panel is as long
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    shown = re.findall(r"\| model +\|(.*)\|\n", text)
    titles = [title.strip() for line in shown for title in line.split("|")]
    assert titles == [f"{c.title} ↓" for c in wide().columns]  # every column once, in order


def test_markdown_says_what_its_marks_mean():
    text = markdown.table(compared(three_seeds(a=[1.0, 2.0, 3.0], b=[1.2, 1.7, 3.4], c=[9.0, 10.1, 11.0])))
    assert "| *2.00 ± 0.58* |" in text
    assert "| *2.10 ± 0.67* |" in text
    assert "- *Tie*: the best mean of the column, or not significantly different from it." in text
    assert "- Marks: paired t test, Holm's correction within a column, 5 %." in text
    text = markdown.table(compared(three_seeds(a=[1.0, 1.1, 1.2], c=[9.0, 9.12, 9.21])))
    assert "| **1.100 ± 0.058** |" in text
    assert "- **Best**: better than every other model of the column." in text
    assert "Tie" not in text


def test_the_legend_names_the_test_that_was_used():
    drawn = np.random.default_rng(0).normal(size=12)
    ten, mixed = compared(three_seeds(a=drawn, b=drawn + 9)), compared(three_seeds(a=drawn, b=drawn + 9, c=drawn[:4]))
    assert "Marks: paired sign-flip permutation test, Holm's correction within a column, 5 %." in ten.legend
    assert any("sign-flip permutation test or paired t test" in line for line in mixed.legend)


def test_latex_is_escaped_and_balanced():
    rows = [*three_seeds(**{"w_cfm & 50%": [1, 2, 3]}), *(refusal("flow", s, "d > 1 & x_1 #") for s in range(3))]
    text = latex.table(compared(rows))
    assert r"w\_cfm \& 50\%" in text
    assert r"d \textgreater{} 1 \& x\_1 \#" in text
    assert r"w2 $\downarrow$" in text
    assert not re.search(r"(?<!\\)[%#]", text)
    assert not re.search(r"[^\x00-\x7f]", text)
    for kind in ("table", "tabular", "minipage"):
        assert text.count(rf"\begin{{{kind}}}") == text.count(rf"\end{{{kind}}}") >= 1
    assert text.count("{") == text.count("}")
    columns = len(re.search(r"\\begin\{tabular\}\{(l+r+)\}", text)[1])
    body = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    for line in body.splitlines():
        if line.endswith(r"\\"):
            assert len(re.split(r"(?<!\\)&", line)) == columns


def test_csv_gives_every_number_back():
    draws = np.random.default_rng(1).normal(size=3)
    rows = [*three_seeds(cfm=list(draws)), *(refusal("flow", s, "no, never") for s in range(3)), *budgets()[6:]]
    failures = pd.DataFrame([{"model": "vp", "data": "moons", "seed": 0, "reason": "NaN"}])
    read = pd.read_csv(io.StringIO(csv.table(pd.DataFrame(rows), failures)))
    main = read[(read["model"] == "cfm") & (read["point"] == "main")].iloc[0]
    assert main["value"] == pytest.approx(draws.mean(), rel=1e-15)
    assert main["standard_error"] == pytest.approx(stats.sem(draws), rel=1e-14)
    assert (main["seeds"], main["floor"], main["n"]) == (3, 0.24, 2048)
    assert read[read["model"] == "flow"].iloc[0]["reason"] == "no, never"
    assert sorted(read[read["point"] == "curve"]["nfe"]) == [1, 2, 16]
    assert read[read["model"] == "vp"].iloc[0]["failed_runs"] == 1


def test_a_terminal_shows_the_same_numbers_within_its_width():
    console = Console(width=60, file=io.StringIO(), force_terminal=False)
    show([wide()], console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 60
    for cell in the(wide(), "cfm"):
        assert format_mean(cell.mean, cell.error) in text
    assert f"* {format_mean(the(wide(), 'cfm')[0].mean, the(wide(), 'cfm')[0].error)}" in text  # also without styles
    assert "* better than every other model of the column." in text
    assert "[1]" not in text


def test_a_cell_keeps_the_value_of_each_seed_and_its_place_among_the_models():
    table = compared(three_seeds(a=[3.0, 4.0, 5.0], b=[1.0, 2.0, 3.0], c=[3.0, 4.0, 5.0]))
    assert {r.label: r.cells[0].rank for r in table.rows} == {FLOOR: None, "a": 2, "b": 1, "c": 2}
    assert the(table, "b")[0].values == ((0, 1.0), (1, 2.0), (2, 3.0))
    assert table.columns[0].protocol == "exact; n = 2048."
