"""Assignments: what the words of a command line mean, and that settings survive being written as words."""

import math

import pytest

from genbench.errors import ConfigError
from genbench.sweeps.set_options import as_set_value, parse_set_options

VALUES = [0, -7, 10**18, 1e-12, -0.25, 1e300, math.inf, -math.inf, True, False, None]
VALUES += ["norm", "two words", "", "none", "1", "true", "inf", "a.b", "it's", 'a "quoted" word', "\u00e9\n"]
VALUES += [[], [8, 2], [0.5, 1.0], ["a", "1"], [[1], [2, 3]]]


def test_values_survive_being_written_as_words():
    for value in VALUES:
        found = parse_set_options([f"model.it={as_set_value(value)}"])["model"]["it"]
        assert (found, type(found)) == (value, type(value))
    assert math.isnan(parse_set_options([f"plan.lr={as_set_value(math.nan)}"])["plan"]["lr"])


WORDS = {"none": None, "None": None, "TRUE": True, ".5": 0.5, "-.5e-3": -0.5e-3, " 3 ": 3, "1_000": 1000}
WORDS |= {"sqnorm": "sqnorm", "1.2.3": "1.2.3", "a=b": "a=b", "9" * 5000: "9" * 5000, "{a = 1}": {"a": 1}}


def test_words_are_toml_or_text_and_the_order_of_a_name_and_its_settings_does_not_matter():
    assert {word: parse_set_options([f"a.b={word}"])["a"]["b"] for word in WORDS} == WORDS
    for words in (["model.net=unet", "model.net.channels=16"], ["model.net.channels=16", "model.net=unet"]):
        assert parse_set_options(words) == {"model": {"net": {"name": "unet", "channels": 16}}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["steps=3"], "write section.name=value"),
        (["plan.=3"], "write section.name=value"),
        (["plan.steps=3", "plan.steps.a=1"], "'steps' already has a value"),
        (["plan.steps=1", "plan.steps=2"], "--set plan.steps is given twice: write it once"),
        (["model.net=unet", "model.net=mlp"], "--set model.net is given twice"),
        (["a.b=" + "[" * 10_000], "nested too deeply"),
        (["plan.steps=5\nlr=0.1"], "write one value"),
        (
            ["model.net.width=8", 'model.net={name="mlp"}'],
            "--set model.net gives a table, but its settings are also given one by one",
        ),
    ],
)
def test_what_is_no_assignment_is_refused(words, message):
    with pytest.raises(ConfigError, match=message) as refused:
        parse_set_options(words)
    assert len(str(refused.value)) < 200
