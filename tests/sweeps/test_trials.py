"""Trials of tuning: the settings of every candidate."""

import pytest

from genbench.errors import ConfigError
from genbench.sweeps.trials import points

BOTH = ("cfm", "wcfm")


def test_every_combination_comes_once():
    over = {"plan": {"lr": [1, 2]}, "model": {"net": {"width": [8, 16], "depth": [3]}}}
    found = list(points(over, "cfm", BOTH))
    assert [(c["plan"]["lr"], c["model"]["net"]["width"]) for c in found] == [(1, 8), (1, 16), (2, 8), (2, 16)]
    assert all(c["model"]["net"]["depth"] == 3 for c in found)
    assert list(points({}, "cfm", BOTH)) == [{}]


def test_the_settings_of_a_method_are_tuned_for_it_alone():
    over = {"wcfm": {"kappa": [0.5, 1.0]}, "plan": {"lr": [1]}}
    assert list(points(over, "cfm", BOTH)) == [{"plan": {"lr": 1}}]
    assert [c["model"]["kappa"] for c in points(over, "wcfm", BOTH)] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"plan": {"lr": 3}}, r"--over plan\.lr=3: write a list of values"),
        ({"plan": {"lr": []}}, r"--over plan\.lr=\[\]: write a list of values"),
        ({"plan": 3}, r"--over plan=3: write a list of values"),
        ({"data": {"scale": ["runner"]}}, "nothing to tune in 'data'"),
        ({"modle": {"a": [1]}}, "nothing to tune in 'modle'; did you mean 'model'"),
        ({"plan": {"lr": [*range(101)], "steps": [*range(100)]}}, "more than 10,000 candidates of a method"),
    ],
)
def test_what_is_no_grid_is_refused(over, message):
    with pytest.raises(ConfigError, match=message):
        list(points(over, "cfm", BOTH))
