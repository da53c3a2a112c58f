"""genbench from Python."""

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
