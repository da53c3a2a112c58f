"""Other names of settings: read as the name in use, and never beside it."""

import pytest

from genbench.aliases import NAMES, canonical
from genbench.errors import ConfigError
from genbench.registry import models, nets
from genbench.settings import settings_of


def test_another_name_is_read_where_only_the_name_in_use_is_known():
    assert canonical({"normalizer": "batch", "kappa": 1}, {"normaliser", "kappa"}) == {
        "normaliser": "batch",
        "kappa": 1,
    }
    assert canonical({"normalizer": "batch"}, {"normalizer", "normaliser"}) == {"normalizer": "batch"}
    assert canonical({"normalizer": "batch"}, {"kappa"}) == {"normalizer": "batch"}


def test_a_setting_under_both_names_is_refused():
    with pytest.raises(ConfigError, match="normalizer is another name of normaliser: give one of them"):
        canonical({"normalizer": "batch", "normaliser": "batch"}, {"normaliser"})


def test_every_other_name_stands_for_a_setting_of_some_component():
    known = {name for registry in (models, nets) for entry in registry for name in settings_of(registry[entry].build)}
    assert set(NAMES.values()) <= known
    assert not set(NAMES) & known
