"""doctor: what it finds, what it misses, and weights that are not the published ones."""

import hashlib
import tomllib
from dataclasses import replace
from pathlib import Path

from genbench.metrics.extractors import dinov2
from genbench.testing import installation
from genbench.testing.installation import findings

ROOT = Path(__file__).parents[2]


def found(word):
    (line,) = [line for line in findings() if word in line]
    return line


def test_every_finding_begins_with_its_state_and_goes_on_indented(cli, own_home):
    said = cli("doctor")[1].splitlines()
    assert {line[:4] for line in said} == {"ok  ", "--  ", "    "}
    assert max(len(line) for line in said if "/" not in line) <= 80
    assert any(line.startswith("ok  torch ") for line in said)
    assert found("cache folder").startswith(f"ok  cache folder {own_home}")


def test_each_extra_for_users_is_named_where_its_package_is_missing(monkeypatch):
    monkeypatch.setattr(installation.importlib.util, "find_spec", lambda name: None)
    said = "\n".join(findings())
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for extra in extras.keys() - {"perf", "docs", "dev"}:
        assert f" is not installed: pip install 'genbench[{extra}]' enables " in said


def test_a_download_is_found_once_it_is_there(own_home):
    assert "--  mnist is not downloaded" in found("  mnist ")
    (own_home / "torchvision/MNIST").mkdir(parents=True)
    assert found("  mnist ") == "ok  mnist is downloaded"


def test_weights_that_differ_from_the_published_ones_are_named(own_home, monkeypatch):
    assert "fd-dinov2 fetches https" in found("fd-dinov2")
    place = dinov2.FILE.place
    place.parent.mkdir(parents=True)
    place.write_bytes(b"other weights")
    assert f"{place} differs from the published file (sha256 {dinov2.FILE.sha256}): remove it" in found(str(place))
    monkeypatch.setattr(dinov2, "FILE", replace(dinov2.FILE, sha256=hashlib.sha256(b"other weights").hexdigest()))
    assert found(str(place)) == f"ok  {place}"
