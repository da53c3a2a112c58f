"""The tests mirror the packages: the test of genbench/a/b.py is tests/a/test_b.py."""

import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "genbench"
ELSEWHERE = {
    "__main__.py": "starts the command line, as every test of a process does",
    "activity.py": "is heard by sweeps/progress.py, whose test reports",
}
"""Modules without a test file of their own, and why."""
TOPICS = {
    "test_layout.py": "is this file",
    "analysis/test_compared_names.py": "compares models by the names that results/names.py gives them",
    "cli/test_docs.py": "tests README.md and docs/",
    "report/formats/test_browser.py": "opens the pages of report/formats/page.py in a browser",
    "sweeps/test_user_networks.py": "trains the parts of files that sweeps/user_files.py finds",
}
"""Test files that belong to no module, and what they test."""
BESIDE = {"integration", "parity", "benchmarks", "plugin", "helpers", "fake_gpu"}
"""Folders that mirror no package."""
LARGEST = 350
"""Lines of a file."""
MOST = 12
"""Modules of a folder; ten at the root."""


def expected():
    """Return {test file: module} for every module, and for every package, whose own test file is optional."""
    modules = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    return {str(module.parent / f"test_{module.name}"): str(module) for module in modules}


def found():
    paths = (path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))
    return {str(path) for path in paths if path.parts[0] not in BESIDE}


def test_every_module_has_a_test_file_of_its_name():
    missing = {module for test, module in expected().items() if test not in found()}
    assert missing == ELSEWHERE.keys()


def test_every_test_file_has_the_name_of_a_module_or_a_package():
    packages = {str(path.relative_to(PACKAGE).with_name(f"test_{path.name}.py")) for path in PACKAGE.rglob("*/")}
    assert found() - expected().keys() - packages == TOPICS.keys()


def test_no_file_is_too_long():
    files = [*PACKAGE.rglob("*.py"), *TESTS.rglob("*.py")]
    assert not {str(path) for path in files if len(path.read_text("utf-8").splitlines()) > LARGEST}


def test_no_folder_is_too_full():
    folders = Counter(path.parent for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    assert folders.pop(PACKAGE) <= 10
    assert not {str(folder) for folder, modules in folders.items() if modules > MOST}


def test_beside_the_clone_python_imports_the_package_not_the_folder_of_the_clone(tmp_path):
    clone, installed = tmp_path / "genbench", tmp_path / "installed"
    (clone / "genbench").mkdir(parents=True)
    (clone / "genbench/__init__.py").write_text("found = True\n")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PACKAGE.parent / name, clone)
    build = "from setuptools import build_meta; build_meta.build_editable('..')"
    subprocess.run([sys.executable, "-c", build], cwd=clone, check=True, capture_output=True)
    zipfile.ZipFile(*tmp_path.glob("*.whl")).extractall(installed)
    script = f"import site; site.addsitedir({str(installed)!r}); import genbench; genbench.found"
    subprocess.run([sys.executable, "-S", "-c", script], cwd=tmp_path, env={}, check=True)
