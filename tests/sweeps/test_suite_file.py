"""Suite files: what is refused, in one line, and what names and plans mean."""

import pytest

from genbench.errors import ConfigError
from genbench.suites import find, packaged
from genbench.sweeps.suite import load
from genbench.sweeps.suite_file import points, read

BOTH = 'datasets = ["moons", "mixture"]\nmodels = ["cfm", {name = "wcfm", kappa = [0.5, 1.0]}]\nmetrics = ["nfe"]\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('include = [{modell = "cfm"}]', r"include\.0: no key 'modell'; did you mean 'model'"),
        ('include = [{model = "cfm"}]', r"include\.0\.dataset: field required"),
        ('include = "cfm"', r"include: 'cfm' is wrong: it should be a list, in \[ \]$"),
        ("includ = []", "suite.toml: no key 'includ'; did you mean 'include'"),
        ("exclude = []", r"suite\.toml: there is no key exclude: write the cells that you want under include$"),
        ('metrics = "nfe"', r"metrics: 'nfe' is wrong: it should be a list, in \[ \]$"),
        ("seeds = []", r"seeds: \[\] is wrong: list should have at least 1 item$"),
        ("budgets = [{steps = 5, seeds = [0]}]", "budgets, paces and chosen settings need a track"),
        ("seeds = [0, 1, 0]", r"seeds: 0 is listed twice: remove one of them"),
        ('models = ["cfm", "otcfm", {name = "cfm"}]', r"models: cfm is listed twice: remove one of them"),
        ('datasets = ["moons", "moons"]', r"datasets: moons is listed twice"),
        ('metric = ["nfe"]', r"suite\.toml: metric has the settings of metrics: to name metrics, write metrics = "),
        ('datasets = [{name = "moons", metric = "nfe"}]', r"datasets\.0: metric has .*, write metrics = "),
        ('metrics = ["nfe", "nfe"]', r"metrics: nfe is listed twice"),
        ("seeds = [true]", r"seeds\.0: True is wrong: input should be a valid integer"),
        ("models = [{kappa = 1.0}]", r"models\.0\.name: field required"),
        (
            'models = [{name = "wcfm", plan = 3}]',
            r"models\.0\.plan\.section: 3 is wrong: it should be a table, in \{ \}$",
        ),
        ("models = []", r"models: \[\] is wrong: list should have at least 1 item$"),
        ("models = ['wcfm'", "is not TOML"),
        ('models = [{name = "wcfm", kappa = []}]', r"wcfm\.kappa: \[\] is wrong"),
        ("plan = {step = 3}", "plan has no setting 'step'; did you mean 'steps'"),
        ('models = [{name = "cfm", pace = 0.5}]', r"paces .* need a track"),
        (f"seeds = {'[' * 5000}{']' * 5000}", "is not a suite: it is nested too deeply"),
    ],
)
def test_wrong_choices_of_cells_are_refused(tmp_path, line, message):
    kept = [own for own in BOTH.splitlines() if own.split()[0] != line.split()[0]]
    path = tmp_path / "suite.toml"
    path.write_text("\n".join([*kept, line]))
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_a_name_alone_is_a_component_without_settings(tmp_path):
    path = tmp_path / "suite.toml"
    path.write_text('datasets = ["moons"]\nmodels = ["cfm", {name = "wcfm", kappa = [1.0, 2.0], plan = {steps = 3}}]')
    suite = read(path)
    assert [(model.name, model.settings, model.sections["plan"]) for model in suite.models] == [
        ("cfm", {}, {}),
        ("wcfm", {"kappa": [1.0, 2.0]}, {"steps": 3}),
    ]
    assert (suite.seeds, suite.metrics, suite.include) == ([0], None, [])
    coupling = 'models = [{name = "otcfm", plan = ["exact", "sinkhorn"]}]'  # a plan with a name is that of a coupling
    path.write_text(f'datasets = ["moons"]\n{coupling}\nplan = {{steps = 3}}')
    specs = load(path).specs
    assert [(spec.model["plan"], spec.plan["steps"]) for spec in specs] == [("exact", 3), ("sinkhorn", 3)]


def test_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "suite.toml"
    path.write_bytes(b"models = '\xff'")
    with pytest.raises(ConfigError, match=r"suite\.toml is not UTF-8 text: save it as UTF-8 \(byte 10\)$"):
        read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match=r"suite\.toml cannot be read: Is a directory"):
        read(path)


@pytest.mark.parametrize("name", packaged())
def test_all_tuned_methods_of_a_track_try_several_learning_rates(name):
    """A method that tunes other settings only would compete at its default learning rate with tuned ones."""
    for model in read(find(name)).models:
        assert not model.trials or len(model.trials["plan"]["lr"]) > 1, model.name


METHODS = ("cfm", "wcfm")


def test_every_combination_comes_once():
    over = {"plan": {"lr": [1, 2]}, "model": {"net": {"width": [8, 16], "depth": [3]}}}
    found = list(points(over, "cfm", METHODS))
    assert [(c["plan"]["lr"], c["model"]["net"]["width"]) for c in found] == [(1, 8), (1, 16), (2, 8), (2, 16)]
    assert all(c["model"]["net"]["depth"] == 3 for c in found)
    assert list(points({}, "cfm", METHODS)) == [{}]
    over = {"wcfm": {"kappa": [0.5, 1.0]}, "plan": {"lr": [1]}}  # the settings of a method are tuned for it alone
    assert list(points(over, "cfm", METHODS)) == [{"plan": {"lr": 1}}]
    assert [c["model"]["kappa"] for c in points(over, "wcfm", METHODS)] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"plan": {"lr": 3}}, r"--over plan\.lr=3: write a list of values"),
        ({"plan": {"lr": []}}, r"--over plan\.lr=\[\]: write a list of values"),
        ({"plan": 3}, r"--over plan=3: write a list of values"),
        ({"data": {"scale": ["runner"]}}, "nothing to tune in 'data'"),
    ],
)
def test_what_is_no_grid_is_refused(over, message):
    with pytest.raises(ConfigError, match=message):
        list(points(over, "cfm", METHODS))
