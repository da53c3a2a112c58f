"""The catalog: it refuses in the words of the library, is kept, and is made anew for other sources."""

import pytest

from genbench.cli import catalog, precheck
from genbench.errors import ConfigError
from genbench.registry import ALL
from genbench.runs.make_spec import make_spec


@pytest.mark.parametrize(
    "settings",
    [
        {"model": {"kappa": "x"}},
        {"model": {"net": {"name": "mlp", "width": 0}}},
        {"model": {"net": {"name": "mpl"}}},
        {"model": {"net": {"width": 0.5, "name": "mlp"}}},
        {"plan": {"betas": [0.9]}},
        {"plan": {"optimizer": "sgd"}},
        {"sample": {"steps": 2.5}},
        {"evaluation": {"curve": [0]}},
        {"metric": {"w2": {"n": -1}}},
        {"data": {"noise": -1}},
    ],
    ids=str,
)
def test_the_catalog_refuses_in_the_words_of_the_library(settings):
    with pytest.raises(ConfigError) as by_library:
        make_spec("wcfm", "moons", settings=settings)
    with pytest.raises(ConfigError) as by_catalog:
        precheck.check(["wcfm"], ["moons"], None, settings)
    assert str(by_catalog.value) == str(by_library.value)


def test_every_component_has_its_settings_in_it():
    known = catalog.read()
    assert all(known[kind].keys() >= registry._points.keys() for kind, registry in ALL.items())
    assert known["sample"].keys() == known["models"].keys()
    assert known["models"]["starflow"]["encoder"] == {"kind": "encoders", "allowed": []}


def test_it_is_made_once_for_the_same_sources(monkeypatch, tmp_path):
    made, sources = [], [("a.py", "1" * 64)]
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path))
    monkeypatch.setattr(catalog, "_make", lambda: made.append(1) or {"models": {f"m{len(made)}": {}}})
    monkeypatch.setattr(catalog, "_sources", lambda: iter(sources))

    def read():
        catalog.read.cache_clear()
        (name,) = catalog.read()["models"]
        return name

    try:
        assert read() == read() == "m1"
        sources[0] = ("elsewhere/a.py", "1" * 64)
        assert read() == "m1"
        sources.append(("b.py", "2" * 64))
        assert read() == "m2"
        (kept,) = [path for path in (tmp_path / "catalog").iterdir() if "m2" in path.read_text()]
        kept.write_text(kept.read_text().replace("m2", "m7"))
        assert read() == "m3"  # what is damaged is made again
    finally:
        catalog.read.cache_clear()
