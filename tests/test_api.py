"""genbench from Python."""

import logging
import shutil

import pytest

import genbench
from genbench.errors import ConfigError
from genbench.report.publish import publish_suite
from genbench.runs.make_spec import make_spec
from genbench.runs.store import Store

SETTINGS = {"plan": {"steps": 5}, "evaluation": {"n": 64, "curve": [1, 4]}}


def test_a_table_keeps_the_steps_of_training_and_the_points_of_a_curve_apart(tmp_path):
    settings = {"plan": {"steps": 6, "eval_every": 2}, "evaluation": {"n": 64, "curve": [1, 4]}}
    for seed in (0, 1):
        genbench.run("cfm", "moons", seed=seed, metrics=["energy_distance"], settings=settings, results=tmp_path)
        if seed == 0:  # which alone has no standard error
            table = genbench.table(tmp_path)
            assert table.se.isna().all()
            assert {str(table[name].dtype) for name in ("value", "se", "floor", "nfe")} == {"float64"}
    table, kept = genbench.table(tmp_path), genbench.frame(tmp_path)
    assert table.step.dropna().tolist() == [2, 4]
    assert table[table.point == "curve"].nfe.tolist() == [1, 4]
    assert table.seeds.tolist() == [2] * 5
    for row in table.itertuples():
        same = kept[(kept.point == row.point) & (row.point != "training") | (kept.step == row.step)]
        same = same[(same.point != "curve") | (same.nfe == row.nfe)].value
        assert (row.value, row.se) == pytest.approx((same.mean(), same.sem()))


def test_a_sweep_logs_why_cells_failed(tmp_path, caplog):
    suite = tmp_path / "bad.toml"
    suite.write_text('datasets = ["moons"]\nmodels = ["cfm"]\nmetrics = ["norm"]\n[plan]\nsteps = 50\nlr = 1e30\n')
    with caplog.at_level(logging.WARNING, "genbench"):
        assert genbench.sweep(suite, results=tmp_path / "results").empty
    assert "cfm on moons, seed 0 failed: the loss is not finite" in caplog.text


def test_a_run_of_two_suites_has_the_values_of_both(tmp_path):
    store, settings = Store(tmp_path), SETTINGS | {"evaluation": {"n": 64, "curve": []}}
    for suite, metrics in {"one": ["energy_distance"], "two": ["energy_distance", "norm"]}.items():
        genbench.run("cfm", "moons", metrics=metrics, settings=settings, results=tmp_path)
        publish_suite(suite, [make_spec("cfm", "moons", metrics=metrics, settings=settings)], store)
    shutil.rmtree(tmp_path / "runs")
    values = {name: set(genbench.frame(tmp_path / name).metric) for name in ("one", "two")}
    assert values["one"] < values["two"]
    assert sorted(genbench.frame(tmp_path).metric) == sorted(values["two"])
    assert (genbench.table(tmp_path).seeds == 1).all()


@pytest.mark.parametrize("name", ["nothing", "empty", "a\0b"])
def test_a_folder_without_records_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    for read in (genbench.frame, genbench.table):
        with pytest.raises(ConfigError, match=name):
            read(tmp_path / name)
    assert not (tmp_path / "nothing").exists()
