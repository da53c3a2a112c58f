"""Settings of every model before builders shared their declarations: names, order, defaults, bound values."""

import json
from pathlib import Path

import pytest

from genbench.core import Event
from genbench.errors import ConfigError, Unsupported
from genbench.registry import models
from genbench.runs.component import sampler
from genbench.settings import bind, settings_of

EVENTS = {
    "vectors": Event((2,)),
    "digits": Event((1, 8, 8), 10, 2 / 17),
    "photographs": Event((3, 32, 32), 10, 2 / 256),
    "captions": Event((1, 8, 8), 2, 0.0, ("a one", "a two three")),
}
RECORDED = json.loads(Path(__file__).with_name("settings.json").read_text())


def defaults(builder):
    return {name: repr(setting.default) for name, setting in settings_of(builder).items()}


def bound(name, event):
    try:
        return bind(models[name].build, {}, name, context=event)
    except (ConfigError, Unsupported) as reason:
        return str(reason)


@pytest.mark.parametrize("name", RECORDED)
def test_settings_are_the_recorded_ones_in_the_same_order(name):
    found = {"model": defaults(models[name].build), "sample": defaults(sampler(models[name]))}
    found |= {label: bound(name, event) for label, event in EVENTS.items()}
    assert json.dumps(json.loads(json.dumps(found))) == json.dumps(RECORDED[name])
