"""genbench from Python."""

import logging

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


def test_a_sweep_logs_why_cells_failed(tmp_path, caplog):
    suite = tmp_path / "bad.toml"
    suite.write_text('datasets = ["moons"]\nmodels = ["cfm"]\nmetrics = ["norm"]\n[plan]\nsteps = 50\nlr = 1e30\n')
    with caplog.at_level(logging.WARNING, "genbench"):
        assert genbench.sweep(suite, results=tmp_path / "results").empty
    assert "cfm on moons, seed 0 failed: the loss is not finite" in caplog.text
