"""Suites: which cells a file stands for."""

from genbench.suite import load


def cells(tmp_path, models):
    path = tmp_path / "some.toml"
    path.write_text(f'datasets = ["moons"]\nmetrics = ["nfe"]\nseeds = [0, 1]\nmodels = [{models}]\n')
    return load(path).specs


def test_lists_of_sampling_options_make_a_grid_that_shares_training(tmp_path):
    specs = cells(tmp_path, '{ name = "wcfm", kappa = [0.5, 1.0], sample = { method = "euler", steps = [2, 4, 8] } }')
    chosen = [(s.model["kappa"], s.sample["steps"], s.seed) for s in specs]
    assert chosen == [(kappa, steps, seed) for kappa in (0.5, 1.0) for steps in (2, 4, 8) for seed in (0, 1)]
    assert {s.sample["method"] for s in specs} == {"euler"}
    assert len({s.train_key for s in specs}) == 4
    assert len({(s.train_key, s.evaluation_key) for s in specs}) == 12


def test_models_without_sampling_options_are_as_before(tmp_path):
    specs = cells(tmp_path, '"cfm", { name = "wcfm", kappa = [0.5, 1.0] }')
    chosen = [(s.model["name"], s.model.get("kappa"), s.seed) for s in specs]
    assert chosen == [(*m, seed) for m in (("cfm", None), ("wcfm", 0.5), ("wcfm", 1.0)) for seed in (0, 1)]


def test_a_model_may_have_seeds_of_its_own_and_settings_may_be_laid_over_all(tmp_path):
    path = tmp_path / "suite.toml"
    path.write_text(
        'datasets = ["moons"]\nseeds = [0, 1]\nmetrics = ["nfe"]\nplan.steps = 7\n'
        'models = ["cfm", { name = "otcfm", seeds = [5] }]\n'
    )
    specs = load(path, {"plan": {"steps": 9}}).specs
    assert [(spec.model["name"], spec.seed) for spec in specs] == [("cfm", 0), ("cfm", 1), ("otcfm", 5)]
    assert {spec.plan["steps"] for spec in specs} == {9}
