"""The table of our own components says what their modules register."""

import re
from pathlib import Path

import pytest

from genbench.components import COMPONENTS
from genbench.registry import ALL

PACKAGE = Path(__file__).parents[1] / "genbench"
ROWS = [
    (kind, module, name, summary)
    for kind, modules in COMPONENTS.items()
    for module, names in modules.items()
    for name, summary in names.items()
]


@pytest.mark.parametrize(("kind", "module", "name", "summary"), ROWS, ids=lambda value: value[:40])
def test_a_row_of_the_table_is_what_its_module_registers(kind, module, name, summary):
    entry = ALL[kind][name]
    assert entry.build.__doc__.strip().splitlines()[0] == summary == ALL[kind].summary(name)
    assert ALL[kind].origin(name) == "genbench"
    source = (PACKAGE.parent / f"{module.replace('.', '/')}.py").read_text()
    assert re.search(rf'@{kind}\.register\(\s*"{re.escape(name)}"', source)


def test_every_registered_name_is_in_the_table():
    registered = set()
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        found = re.findall(r'^@(\w+)\.register\(\s*"([^"]+)"', path.read_text(), re.MULTILINE)
        registered |= {(kind, module, name) for kind, name in found}
    assert registered == {row[:3] for row in ROWS}
