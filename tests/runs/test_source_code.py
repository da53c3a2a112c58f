"""Hashes of source code: they change with the code of a module and of what it imports, and with nothing else."""

import importlib
import sys

import pytest

from genbench.runs import source_code


@pytest.fixture
def digest(tmp_path, monkeypatch):
    """digest(text) is the hash of a module with this source."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def of(text):
        (tmp_path / "own_metric.py").write_text(text)
        sys.modules.pop("own_metric", None)
        importlib.invalidate_caches()
        source_code.digest.cache_clear()
        source_code._read.cache_clear()
        return source_code.digest("own_metric")

    yield of
    source_code.digest.cache_clear()
    source_code._read.cache_clear()


CODE = '"""Says what."""\nimport math\n\n\ndef measure(x):\n    """Say how."""\n    return 2 * x  # twice\n'


def test_comments_docstrings_and_spaces_do_not_count(digest):
    before = digest(CODE)
    assert digest(CODE.replace("Says what.", "Says it otherwise.").replace("Say how.", "Say why.")) == before
    assert digest(CODE.replace("  # twice", "").replace("\n\n\n", "\n\n\n\n")) == before


@pytest.mark.parametrize(("old", "new"), [("2 * x", "3 * x"), ("def measure", "def measured"), ("math", "cmath")])
def test_code_counts(digest, old, new):
    assert digest(CODE.replace(old, new)) != digest(CODE)


def test_what_is_imported_from_genbench_counts_directly_or_not(digest, monkeypatch):
    text = "from genbench.storage.memory import total\n" + CODE
    before = digest(text)
    assert before != digest(CODE)
    read = source_code._read

    def changed(module):
        found = read(module)
        return ("0" * 64, found[1]) if module == "genbench.errors" else found

    changed.cache_clear = read.cache_clear
    monkeypatch.setattr(source_code, "_read", changed)
    assert digest(text) != before
    assert digest(CODE) == digest(CODE)


def test_what_has_no_source_has_no_hash(digest):
    assert source_code.digest("no_such_module") is None
    assert source_code.digest("math") is None
