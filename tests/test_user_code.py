"""Files of the user: their hash covers the modules of their folder, and each file gets its own modules."""

import hashlib
import importlib
import os
import py_compile
import sys

import pytest
from helpers.command_line import forget_files

import genbench
from genbench import user_code
from genbench.errors import ConfigError
from genbench.registry import models
from genbench.sweeps.user_files import component_name

MODEL = """
from genbench.registry import models
from genbench.testing.toys import AffineFlow
{imports}

@models.register("shifted")
def shifted(event, source) -> AffineFlow:
    "Shift the noise by the number of a helper."
    model = AffineFlow(event, source)
    model.shift.data.fill_({number})
    return model
"""
TINY = {"plan": {"steps": 0}, "evaluation": {"n": 64, "curve": []}}


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch, tmp_path):
    monkeypatch.setenv(user_code.FILES, "")
    monkeypatch.chdir(tmp_path)
    yield
    forget_files("helper.", "parts", "library")  # not the tests' helpers
    sys.modules.pop("helper", None)


def written(path, imports="", number="0.0"):
    path.parent.mkdir(exist_ok=True)
    path.write_text(MODEL.format(imports=imports, number=number))
    return path


@pytest.mark.parametrize("imports", ["from helper import NUMBER", "from parts.inner import NUMBER"])
def test_an_edit_to_a_helper_is_another_model_with_its_own_numbers(tmp_path, imports):
    helper = tmp_path / "helper.py"
    written(tmp_path / "mine.py", imports, "NUMBER")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/__init__.py").touch()
    (tmp_path / "parts/inner.py").write_text("from .deeper import NUMBER\n")
    (tmp_path / "parts/deeper.py").write_text("import helper\nNUMBER = helper.NUMBER\n")
    found = []
    for number in (0.5, 7.0, 0.5):
        helper.write_text(f"NUMBER = {number}\n")
        record = genbench.run("mine.py", "moons", metrics=["w2"], settings=TINY, results=tmp_path / "r")
        found.append((record["spec"]["model"]["name"], record["results"][0]["value"]))
    assert found[0] == found[2]
    assert found[0][0] != found[1][0]
    assert found[1][1] > found[0][1] + 5


def test_processes_are_told_each_file_once_whatever_its_folder_is_called(tmp_path):
    paths = [written(tmp_path / name / "mine.py") for name in ("2026-11-30T21:13", "a\nb")]
    for path in (*paths, *paths):
        user_code.load_file(path)
    assert user_code.named_files() == paths


def test_a_file_of_a_package_is_known_with_the_modules_of_its_folder(tmp_path, monkeypatch):
    """And no library below the folder of a file is: a home may hold Python itself."""
    monkeypatch.syspath_prepend(tmp_path)
    path = written(tmp_path / "parts/mine.py", "from parts.inner import NUMBER\nimport library", "NUMBER")
    for name in ("parts/__init__.py", "parts/inner.py", "parts/lib/library.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("NUMBER = 1.0\n")
    monkeypatch.syspath_prepend(tmp_path / "parts/lib")
    assert user_code.execute_file(path)
    assert sorted(user_code.sources(path)) == ["__init__.py", "inner.py", "mine.py"]


def test_a_file_alone_is_known_by_the_hash_of_its_content(tmp_path):
    path = written(tmp_path / "mine.py")
    assert component_name("models", "mine.py")[0] == f"shifted@{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
    assert not [name for name in sys.path if name == str(tmp_path)]


def test_an_edit_that_keeps_size_and_time_is_executed_anew(tmp_path):
    """Python takes the compiled file of a module by its time and size, which rsync and archives keep."""
    path, helper = written(tmp_path / "mine.py", "import helper", "helper.NUMBER"), tmp_path / "helper.py"
    found = []
    for number in (1.0, 2.0):
        helper.write_text(f"NUMBER = {number}\n")
        os.utime(helper, (1e9, 1e9))
        if number == 1.0:
            py_compile.compile(str(helper))
        module = f"genbench_file_{user_code.execute_file(path)}"
        found.append((module, sys.modules[module].helper.NUMBER))
    assert found[0][0] != found[1][0]
    assert [number for _, number in found] == [1.0, 2.0]


def test_a_copy_of_a_file_with_its_modules_has_its_hash(tmp_path):
    """Machines that share a sweep may have the file in different folders."""
    path = written(tmp_path / "mine.py", "import helper", "helper.NUMBER")
    (tmp_path / "helper.py").write_text("NUMBER = 1.0\n")
    sources = user_code.sources(path)
    assert [*sources] == ["mine.py", "helper.py"]
    (tmp_path / "copy").mkdir()
    for name, content in sources.items():
        (tmp_path / "copy" / name).write_bytes(content)
    assert user_code.execute_file(tmp_path / "copy/mine.py") == user_code.execute_file(path)
    (tmp_path / "copy/helper.py").write_text("NUMBER = 2.0\n")  # helpers of two folders may have one name
    names = [component_name("models", str(file))[0] for file in (path, tmp_path / "copy/mine.py")]
    assert [models[name].build.__globals__["helper"].NUMBER for name in names] == [1.0, 2.0]


@pytest.mark.parametrize("loaded_by", ["another file", "the program"])
@pytest.mark.parametrize("hidden", ["__import__('helper')", "importlib.import_module('helper')"])
def test_a_helper_that_is_loaded_already_is_no_way_around_the_hash(tmp_path, monkeypatch, loaded_by, hidden):
    (tmp_path / "helper.py").write_text("NUMBER = 1.0\n")
    if loaded_by == "another file":
        user_code.execute_file(written(tmp_path / "proper.py", "import helper", "helper.NUMBER"))
    else:
        monkeypatch.syspath_prepend(tmp_path)
    known = importlib.import_module("helper")
    path = written(tmp_path / "mine.py", f"import importlib\nhelper = {hidden}", "helper.NUMBER")
    with pytest.raises(ConfigError, match="imports helper in a way that its hash does not cover"):
        user_code.execute_file(path)
    assert sys.modules["helper"] is known
    user_code.execute_file(written(tmp_path / "alone.py"))
    assert sys.modules["helper"] is known


@pytest.mark.parametrize(
    ("imports", "helper", "message"),
    [
        ("def late():\n    import helper", "helper.py", "imports helper within a function: import it at the top"),
        (
            "import importlib\nimportlib.import_module('helper')",
            "helper.py",
            "imports helper in a way that its hash does not cover",
        ),
        (
            "import sys\nsys.path.append('lib')\nimport helper",
            "lib/helper.py",
            "imports helper in a way that its hash does not cover",
        ),
        ("import helper", "helper.py", "cannot be loaded: SyntaxError"),
        ("import decimal", "decimal.py", "decimal.py: another module 'decimal' is loaded already"),
    ],
)
def test_an_import_that_the_hash_cannot_cover_is_refused_in_one_line(tmp_path, monkeypatch, imports, helper, message):
    import decimal  # noqa: F401 (is loaded)

    monkeypatch.setattr(sys, "path", [*sys.path])
    path = written(tmp_path / "mine.py", imports)
    (tmp_path / helper).parent.mkdir(exist_ok=True)
    (tmp_path / helper).write_text("x = (" if "Syntax" in message else "x = 1\n")
    for _ in range(2):  # the second try found the module that the first one had imported
        with pytest.raises(ConfigError, match=message) as refused:
            user_code.execute_file(path)
        assert "\n" not in str(refused.value)
