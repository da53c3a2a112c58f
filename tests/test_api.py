"""genbench from Python."""

import logging

import pytest

import genbench

SETTINGS = {"plan": {"steps": 5}, "evaluation": {"n": 64, "curve": [1, 4]}}


def test_a_table_keeps_the_points_of_a_curve_apart(tmp_path):
    for seed in (0, 1):
        genbench.run("cfm", "moons", seed=seed, metrics=["energy_distance"], settings=SETTINGS, results=tmp_path)
    table = genbench.table(tmp_path)
    assert table[table.point == "curve"].nfe.tolist() == [1, 4]
    assert table.seeds.tolist() == [2, 2, 2]
    kept = genbench.frame(tmp_path)
    one_step = kept[(kept.point == "curve") & (kept.nfe == 1)].value
    assert table[table.nfe == 1].value.item() == one_step.mean()


def test_a_table_keeps_the_steps_of_training_apart(tmp_path):
    settings = {"plan": {"steps": 6, "eval_every": 2}, "evaluation": {"n": 64, "curve": []}}
    for seed in (0, 1):
        genbench.run("cfm", "moons", seed=seed, metrics=["energy_distance"], settings=settings, results=tmp_path)
    table, kept = genbench.table(tmp_path), genbench.frame(tmp_path)
    assert table.step.dropna().tolist() == [2, 4]
    assert table.seeds.tolist() == [2, 2, 2]
    for row in table.itertuples():
        same = kept[kept.step.isna() if row.point == "main" else kept.step == row.step].value
        assert (row.value, row.se) == pytest.approx((same.mean(), same.sem()))


def test_one_seed_has_no_standard_error(tmp_path):
    genbench.run("cfm", "moons", metrics=["energy_distance", "straightness"], settings=SETTINGS, results=tmp_path)
    table = genbench.table(tmp_path)
    assert table.se.isna().all()
    assert {str(table[name].dtype) for name in ("value", "se", "floor", "nfe")} == {"float64"}
    assert len(table[table.metric == "straightness"]) == 1


def test_a_sweep_logs_why_cells_failed(tmp_path, caplog):
    suite = tmp_path / "bad.toml"
    suite.write_text('datasets = ["moons"]\nmodels = ["cfm"]\nmetrics = ["norm"]\n[plan]\nsteps = 50\nlr = 1e30\n')
    with caplog.at_level(logging.WARNING, "genbench"):
        assert genbench.sweep(suite, results=tmp_path / "results").empty
    assert "cfm on moons, seed 0 failed: the loss is not finite" in caplog.text
