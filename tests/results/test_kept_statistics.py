import pytest

from genbench.errors import ConfigError
from genbench.metrics.image import reference_statistics
from genbench.results import kept_statistics


@pytest.fixture(autouse=True)
def _home(monkeypatch, tmp_path):
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path))
    reference_statistics._statistics.cache_clear()
    yield
    reference_statistics._statistics.cache_clear()


def test_statistics_are_made_once_listed_and_verified():
    made = kept_statistics.make("digits", "test", None, 100, {})
    assert (made.n, made.header.extractor, made.header.part) == (100, "digits_cnn", "test")
    reference_statistics._statistics.cache_clear()
    assert kept_statistics.make("digits", "test", "digits_cnn", 100, {}).path == made.path
    ((found, text),) = kept_statistics.listed(verify=True)
    assert found.path == made.path
    assert text.startswith("verified  digits_cnn")
    assert "100 test images" in text
    content = bytearray(made.path.read_bytes())
    content[-1] ^= 1
    made.path.write_bytes(content)
    ((found, text),) = kept_statistics.listed(verify=True)
    assert found is None
    assert "the sha256 of" in text


def test_wrong_names_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'digits_cnn'"):
        kept_statistics.make("digits", "test", "digits_cmn", 100, {})
