"""Registries: the table of our components, and names of other packages, some of which are broken."""

import json
import re
from pathlib import Path

import pytest
from helpers.command_line import begin_all

from genbench.errors import ConfigError
from genbench.registry import ALL, COMPONENTS, Registry

PACKAGE = Path(__file__).parents[1] / "genbench"
ROWS = [
    (kind, module, name, summary)
    for kind, modules in COMPONENTS.items()
    for module, names in modules.items()
    for name, summary in names.items()
]


def test_the_table_has_every_registered_name_with_its_summary():
    registered = set()
    for kind, _, name, summary in ROWS:
        entry = ALL[kind][name]
        assert entry.build.__doc__.strip().splitlines()[0] == summary == ALL[kind].summary(name)
        assert ALL[kind].origin(name) == "genbench"
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        found = re.findall(
            r'^@(?:(\w+)\.register|flow_map|on_straight_paths)\(\s*"([^"]+)"', path.read_text(), re.MULTILINE
        )
        registered |= {(kind or "models", module, name) for kind, name in found}
    assert registered == {row[:3] for row in ROWS}


def test_an_unknown_name_may_be_a_file_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").touch()
    with pytest.raises(ConfigError, match=r"no model 'mine'; did you mean the file 'mine\.py'\?"):
        ALL["models"].require("mine")
    with pytest.raises(ConfigError, match="known:"):
        ALL["models"].require("m" * 999)


ENTRY_POINTS = """
[genbench.models]
raises = broken_plugin.raises
with-a-path = broken_plugin.path
[genbench.datasets]
leaves = broken_plugin.leaves
unwritten = broken_plugin.unwritten
forgotten = broken_plugin.forgotten
[genbench.metrics]
garbled = broken_plugin.garbled
"""
PATH = """
from pathlib import Path
from genbench.registry import models
from genbench.testing.toys import AffineFlow
@models.register("with-a-path")
def with_a_path(event, source, *, path: Path | None = None, other: Path = Path("x")) -> AffineFlow:
    "Its settings are paths."
    assert isinstance(path, Path) and isinstance(other, Path)
    return AffineFlow(event, source)
"""
FILES = {
    "broken_plugin/__init__.py": "",
    "broken_plugin/raises.py": "raise OSError('no license server')",
    "broken_plugin/leaves.py": "import sys; sys.exit(0)",
    "broken_plugin/forgotten.py": "",
    "broken_plugin/path.py": PATH,
    "broken_plugin/garbled.py": "def garbled(:",
    "broken_plugin-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n",
    "broken_plugin-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
}
REASONS = {
    "raises": "broken_plugin.raises cannot be imported: OSError: no license server",
    "leaves": "broken_plugin.leaves cannot be imported: SystemExit: 0",
    "unwritten": "broken_plugin.unwritten cannot be imported: ModuleNotFoundError",
    "forgotten": "broken_plugin.forgotten does not register it",
    "garbled": "broken_plugin.garbled cannot be imported: SyntaxError",
}


COMMANDS = {
    "run": ("run", "--model", "cfm", "--dataset", "moons", "--dry-run"),
    "list": ("list", "--json"),
    "doctor": ("doctor",),
    "show": ("show", "with-a-path", "--json"),
    "path": ("run", "--model", "with-a-path", "--dataset", "moons", "--dry-run", "--set", f"model.path={__file__}"),
    "broken": ("run", "--model", "raises", "--dataset", "moons"),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each command says where a package has a component with unusual settings, and five that are broken."""
    site = tmp_path_factory.mktemp("site")
    for name, text in FILES.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(text)
    return begin_all(COMMANDS, site)


def test_broken_components_are_named_and_all_others_work(said):
    assert said["run"][0] == 0, said["run"]
    found = {name: summary for names in json.loads(said["list"][1]).values() for name, summary in names.items()}
    for name, reason in REASONS.items():
        assert found[name] == "of the package broken-plugin"
        assert f"'{name}' of broken-plugin is broken: {reason}" in " ".join(said["doctor"][1].split())
    assert found["cfm"].startswith("Conditional flow matching")
    assert said["broken"] == (2, "", f"genbench: model 'raises' of broken-plugin is broken: {REASONS['raises']}\n")


def test_a_setting_of_a_package_may_be_a_path(said):
    assert [said[command][0] for command in ("show", "path")] == [0, 0], said
    assert json.loads(said["show"][1])["settings"]["model"]["other"]["default"] == "x"
    model = json.loads(said["path"][1])["spec"]["model"]
    assert (model["path"], model["other"]) == (__file__, "x")


def test_a_component_of_the_table_is_imported_by_its_name_and_no_package_replaces_it(monkeypatch):
    known = Registry("shape", "tests.shapes", {"json.decoder": {"square": "A square."}})
    monkeypatch.setattr(Registry, "_plugins", {"square": None})
    assert (known.summary("square"), known.origin("square")) == ("A square.", "genbench")
    with pytest.raises(ConfigError, match=r"'square' of genbench is broken: json\.decoder does not register it"):
        known["square"]
    with pytest.raises(ConfigError, match="no shape 'other:one'"):
        known.require("other:one")
    for name in ("", "a.b", "a:b", "-a", "a b", "a" * 81, "../a"):
        with pytest.raises(ConfigError, match="a name has up to 80 letters, digits and"):
            known.register(name)(lambda: None)
