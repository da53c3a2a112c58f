"""Suites: which cells a file stands for."""

import pytest
from helpers.tracks import written

from genbench.errors import ConfigError
from genbench.sweeps.suite import load


def cells(tmp_path, models):
    text = f'datasets = ["moons"]\nmetrics = ["nfe"]\nseeds = [0, 1]\nmodels = [{models}]\n'
    return load(written(tmp_path, text)).specs


def test_lists_of_sampling_options_make_a_grid_that_shares_training(tmp_path):
    specs = cells(tmp_path, '{ name = "wcfm", kappa = [0.5, 1.0], sample = { method = "euler", steps = [2, 4, 8] } }')
    chosen = [(s.model["kappa"], s.sample["steps"], s.seed) for s in specs]
    assert chosen == [(kappa, steps, seed) for kappa in (0.5, 1.0) for steps in (2, 4, 8) for seed in (0, 1)]
    assert {s.sample["method"] for s in specs} == {"euler"}
    assert len({s.train_key for s in specs}) == 4
    assert len({(s.train_key, s.evaluation_key) for s in specs}) == 12


def test_a_model_may_have_seeds_of_its_own_and_settings_may_be_laid_over_all(tmp_path):
    text = (
        'datasets = ["moons"]\nseeds = [0, 1]\nmetrics = ["nfe"]\nplan.steps = 7\n'
        'models = ["cfm", { name = "otcfm", seeds = [5] }]\n'
    )
    specs = load(written(tmp_path, text), {"plan": {"steps": 9}}).specs
    assert [(spec.model["name"], spec.seed) for spec in specs] == [("cfm", 0), ("cfm", 1), ("otcfm", 5)]
    assert {spec.plan["steps"] for spec in specs} == {9}


def write(tmp_path, text):
    specs = load(written(tmp_path, text)).specs
    return [(spec.data["name"], spec.model["name"], spec.model.get("kappa"), spec.seed) for spec in specs]


BOTH = 'datasets = ["moons", "mixture"]\nmodels = ["cfm", {name = "wcfm", kappa = [0.5, 1.0]}]\nmetrics = ["nfe"]\n'


def test_cells_can_be_included_once(tmp_path):
    every = write(tmp_path, BOTH)
    text = BOTH + 'include = [{dataset = "moons", model = {name = "wcfm", kappa = [1.0, 4.0]}, seeds = [0, 5]}]'
    assert write(tmp_path, text) == [
        *every,
        ("moons", "wcfm", 1.0, 5),
        ("moons", "wcfm", 4.0, 0),
        ("moons", "wcfm", 4.0, 5),
    ]


def test_an_included_row_has_what_the_suite_gives_its_data_set_unless_it_states_its_own(tmp_path):
    """So it is measured and trained as the other models on that data set are, and ranked among them."""
    text = (
        'models = ["cfm"]\nmetrics = ["nfe"]\nplan.steps = 5\n'
        'datasets = [{name = "moons", metrics = ["w2"], plan = {steps = 9, lr = 0.1}}, "mixture",'
        ' {name = "gaussian", dims = [2, 3], plan = {steps = 8}}]\ninclude = ['
        '{model = "otcfm", dataset = "moons"}, {model = "otcfm", dataset = "mixture"},'
        '{model = "otcfm", dataset = {name = "gaussian", dims = 3}},'
        '{model = "otcfm", dataset = {name = "gaussian", dims = 4}},'
        '{model = "wcfm", dataset = {name = "moons", metrics = ["norm"], plan = {steps = 7}}}]'
    )
    every = load(written(tmp_path, text)).specs
    own = {(s.data_label, *s.metrics, s.plan["steps"]) for s in every if s.model["name"] == "cfm"}
    assert own == {
        ("moons", "w2", 9),
        ("mixture", "nfe", 5),
        *((f"gaussian{dims}", "nfe", 8) for dims in ("", " dims=3")),
    }
    specs = [spec for spec in every if spec.model["name"] != "cfm"]
    assert [(s.data["name"], list(s.metrics), s.plan["steps"], s.plan["lr"]) for s in specs] == [
        ("moons", ["w2"], 9, 0.1),
        ("mixture", ["nfe"], 5, 1e-3),
        ("gaussian", ["nfe"], 8, 1e-3),
        ("gaussian", ["nfe"], 5, 1e-3),
        ("moons", ["norm"], 7, 0.1),
    ]


def test_a_cell_that_is_written_in_two_ways_is_one(tmp_path):
    models = '"cfm", {name = "cfm", sigma = 0}, {name = "wcfm", kappa = [2, 0.5, 2.0]}'
    assert [(spec.model_label, spec.seed) for spec in cells(tmp_path, models)] == [
        ("cfm", 0),
        ("cfm", 1),
        *((f"wcfm kappa={kappa}", seed) for kappa in (2.0, 0.5) for seed in (0, 1)),
    ]


def test_the_metrics_of_a_cell_that_is_named_twice_are_joined(tmp_path):
    text = 'datasets = ["moons"]\nmodels = ["cfm"]\nmetrics = ["nfe"]\nseeds = [0]\n'
    joined = 'include = [{model = "cfm", dataset = {name = "moons", metrics = ["w2", "nfe"]}}]\n'
    (spec,) = load(written(tmp_path, text + joined)).specs
    assert list(spec.metrics) == ["nfe", "w2"]
    more = '{name = "moons", metrics = ["sliced_w2"], metric = {sliced_w2 = {directions = 7}}}'
    text = f'{text.replace("nfe", "sliced_w2")}include = [{{model = "cfm", dataset = {more}}}]\n'
    with pytest.raises(ConfigError, match="cfm on moons measures sliced_w2 with two settings"):
        load(written(tmp_path, text))


@pytest.mark.parametrize("name", ["runs", "leases", "logs", "tuning", "report"])
def test_a_suite_cannot_have_the_name_of_something_in_the_results_folder(tmp_path, name):
    path = tmp_path / f"{name}.toml"
    path.write_text('datasets = ["moons"]\nmodels = ["cfm"]\n')
    with pytest.raises(ConfigError, match="rename the suite"):
        load(path)


TRACK = """
datasets = ["moons", { name = "mixture", dims = 8 }]
models = ["cfm", { name = "wcfm", trials = { model = { kappa = [0.25, 0.5] } } }]
metrics = ["nfe"]
budgets = [{ steps = 20, seeds = [0, 1] }, { steps = 50, seeds = [0] }]
[track]
baseline = "cfm"
tuning = { steps = 20, seeds = 2 }
"""
CHOICES = {"moons": {"wcfm": {}}, "mixture dims=8": {"wcfm": {"model": {"kappa": 0.5}}}}


def test_a_track_has_every_cell_at_every_budget_with_default_and_with_tuned_settings(tmp_path):
    track = load(written(tmp_path, TRACK, CHOICES))
    cells = [(s.data["name"], s.model.get("kappa"), s.plan["steps"], s.seed) for s in track.specs]
    assert len(set(cells)) == len(cells)
    assert [place["row"] for (place,) in track.places] == [spec.model["name"] for spec in track.specs]
    for table, kappa in (("default", "elbow"), ("tuned", 0.5)):
        found = {cell for cell, (place,) in zip(cells, track.places, strict=True) if table in place["tables"]}
        kappas = [("moons", None), ("moons", "elbow"), ("mixture", None), ("mixture", kappa)]
        assert found == {(*each, *run) for each in kappas for run in ((20, 0), (20, 1), (50, 0))}
    track = load(tmp_path / "some.toml", {"sample": {"method": "euler", "steps": 9}})  # laid over all
    assert {place["row"] for (place,) in track.places} == {"cfm", "wcfm"}
    assert {s.model.get("kappa") for s in track.specs if s.data["name"] == "mixture"} == {None, "elbow", 0.5}
    names = '"moons", { name = "mixture", dims = 8 }'
    own = '{ name = "moons", metrics = ["nfe"] }, { name = "mixture", dims = 8, metrics = ["nfe"] }'
    text = TRACK.replace('metrics = ["nfe"]\n', "").replace(names, own).replace("[0, 1]", "[0, 102]")
    assert {place["headline"] for (place,) in load(written(tmp_path, text)).places} == {"nfe"}


def test_at_a_budget_that_is_not_tuned_the_default_settings_stand_in_both_tables(tmp_path):
    track = load(written(tmp_path, TRACK.replace("steps = 50, seeds", "steps = 50, tuned = false, seeds"), CHOICES))
    tables = {
        (spec.model["kappa"], spec.plan["steps"]): place["tables"]
        for spec, (place,) in zip(track.specs, track.places, strict=True)
        if (spec.data["name"], spec.model["name"]) == ("mixture", "wcfm")
    }
    assert tables == {("elbow", 20): ["default"], (0.5, 20): ["tuned"], ("elbow", 50): ["default", "tuned"]}


def test_only_what_was_chosen_stands_in_the_tuned_table(tmp_path):
    for choices, more in (({}, set()), ({"moons": {"wcfm": {}}}, {("moons", "wcfm")})):
        track = load(written(tmp_path, TRACK, choices))
        cells = [
            (s.data["name"], s.model["name"], p["tables"]) for s, (p,) in zip(track.specs, track.places, strict=True)
        ]
        assert {cell[:2] for cell in cells if "tuned" in cell[2]} == more | {("moons", "cfm"), ("mixture", "cfm")}


def test_rows_that_share_a_run_stand_there_both_and_a_row_has_one_name_on_all_data_sets(tmp_path):
    track = load(written(tmp_path, TRACK.replace('"cfm", {', '{ name = "cfm", net = "mlp" }, {')))
    assert {spec.model_label for spec in track.specs} == {"cfm", "cfm net=mlp(width=64)", "wcfm"}
    assert {place["row"] for (place,) in track.places} == {"cfm", "wcfm"}
    track = load(written(tmp_path, TRACK.replace('"cfm", {', '"cfm", { name = "wcfm", kappa = 0.5 }, {'), CHOICES))
    shared = [
        places
        for spec, places in zip(track.specs, track.places, strict=True)
        if (spec.data["name"], spec.model.get("kappa")) == ("mixture", 0.5)
    ]
    own, tuned = {"row": "wcfm kappa=0.5", "tables": ["default", "tuned"]}, {"row": "wcfm", "tables": ["tuned"]}
    assert shared == [[{**place, "headline": "nfe"} for place in (own, tuned)]] * 3


def test_a_model_of_a_track_may_stand_at_some_budgets_and_one_without_training_stands_at_all(tmp_path):
    models = '"cfm", { name = "otcfm", budgets = [20] }, { name = "gaussian", plan = { steps = 0 } }, {'
    specs = load(written(tmp_path, TRACK.replace('"cfm", {', models))).specs
    cells = {(spec.model["name"], spec.plan["steps"], spec.seed) for spec in specs}
    trained = {("cfm", 20, 0), ("cfm", 20, 1), ("cfm", 50, 0), ("otcfm", 20, 0), ("otcfm", 20, 1)}
    assert {cell for cell in cells if cell[0] != "wcfm"} == trained | {("gaussian", 0, 0), ("gaussian", 0, 1)}


def test_a_part_of_a_track_is_a_task_a_budget_or_what_tuning_changed(tmp_path):
    paced = TRACK.replace('{ name = "wcfm",', '{ name = "wcfm", pace = 0.5,')
    track = load(written(tmp_path, paced, CHOICES))

    def part(*words):
        chosen = [track.specs[index] for index in sorted(track.part(*words))]
        return [(s.data["name"], s.model["name"], s.plan["steps"], s.seed) for s in chosen]

    assert len(part((), None, None)) == len(track.specs) == 15
    assert part((), None, "tuned") == [("mixture", "wcfm", steps, seed) for steps, seed in ((10, 0), (10, 1), (25, 0))]
    assert part(["moons"], 50, None) == [("moons", "cfm", 50, 0), ("moons", "wcfm", 25, 0)]
    assert part(["mixture dims=8"], 50, "default") == [("mixture", "cfm", 50, 0), ("mixture", "wcfm", 25, 0)]
    with pytest.raises(ConfigError, match="did you mean 'mixture dims=8'"):
        track.part(["mixture dims=9"], None, None)
    plain = written(tmp_path, 'datasets = ["moons", "pinwheel"]\nmodels = ["cfm"]\nmetrics = ["nfe"]\n', {})
    assert load(plain).part(["pinwheel"], None, None) == {1}


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ('{"moons":', r"some\.tuned\.json does not hold settings chosen by tuning: .* invalid JSON"),
        ('{"moons": []}', r"some\.tuned\.json does not hold settings chosen by tuning: moons: \[\] is wrong"),
        ('{"moons": {"nosuch": {}}}', "no row nosuch on moons"),
        ('{"mixture": {"wcfm": {}}}', "no row wcfm on mixture"),
        ('{"moons": {"wcfm": {"model": {"kappa": 0.7}}}}', "is not a trial of wcfm on moons"),
        ('{"moons": {"wcfm": {"plan": {"steps": 999}}}}', "is not a trial of wcfm on moons"),
        ('{"moons": {"cfm": {"plan": {"lr": 0.1}}}}', "is not a trial of cfm on moons"),
    ],
)
def test_a_choice_that_is_none_of_the_trials_is_refused(tmp_path, choices, reason):
    (tmp_path / "some.toml").write_text(TRACK)
    (tmp_path / "some.tuned.json").write_text(choices)
    with pytest.raises(ConfigError, match=reason):
        load(tmp_path / "some.toml")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('metrics = ["nfe"]', "", "name the metrics of the track, the headline metric first"),
        ('baseline = "cfm"', 'baseline = "otcfm"', "track.baseline: no row is called 'otcfm'"),
        ('"cfm", {', '{ name = "cfm", trials = { plan = { lr = [0.1] } } }, {', "cfm has 1, wcfm has 2"),
        (
            '"cfm", {',
            '"cfm", { name = "wcfm", kappa = 2.0, trials = { plan = { lr = [0.1] } } }, {',
            "wcfm has 1, wcfm",
        ),
        ("seeds = [0] }", "seeds = [0, 101] }", "tuning uses seed 101, and reported seeds must differ"),
        ("seeds = [0", "tuned = false, seeds = [0", "trials: no budget has tuned settings"),
        ("trials =", "plan = { steps = 0 }, trials =", r"wcfm\.trials: a model with plan\.steps=0 is not tuned"),
        (
            "budgets = [{ steps = 20, seeds = [0, 1] }, { steps = 50, seeds = [0] }]",
            "seeds = [100]",
            "budgets: a track needs at least one",
        ),
        ('metrics = ["nfe"]', 'metrics = ["nfe"]\nseeds = [0]', "seeds: every budget of a track has its own seeds"),
        ("{ model =", "{ modle =", "trials: there is nothing to tune in 'modle'; did you mean 'model'"),
        ('"cfm", {', '{ name = "cfm", seeds = [0] }, {', "a track trains all models on all data sets"),
        (
            '"cfm", {',
            '{ name = "cfm", budgets = [20, 30] }, {',
            r"cfm\.budgets: 30 is not among the budgets \[20, 50\]",
        ),
        ('"cfm", {', '{ name = "cfm", sigma = 0.1 }, {', "no row is called 'cfm'; did you mean 'cfm sigma=0.1'"),
        ('"cfm", {', '{ name = "cfm", pace = 0 }, {', r"models\.0\.pace.*0\.01"),
        ("[0.25, 0.5]", "0.5", r"trials model\.kappa=0.5: write a list of values"),
        ('[track]\nbaseline = "cfm"\ntuning = { steps = 20, seeds = 2 }', "", r"add \[track\]"),
    ],
)
def test_a_track_with_unequal_conditions_is_refused(tmp_path, old, new, reason):
    assert old in TRACK
    path = written(tmp_path, TRACK.replace(old, new))
    with pytest.raises(ConfigError, match=reason):
        load(path)
