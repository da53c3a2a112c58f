import contextlib
import hashlib
from io import BytesIO

import pytest

from genbench.errors import ConfigError, Unsupported
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.extractors import inception, weights
from genbench.metrics.measurement import measure


def test_a_missing_file_is_explained_in_one_line(data):
    for name, file in (("fid-legacy", inception.TORCHSCRIPT), ("kid", inception.TORCHSCRIPT), ("fd-dinov2", None)):
        (row,) = measure(Evaluation(data, 0, x=data.train.take(2, 0).x), name, {}, True)
        assert row["value"] is None
        assert "\n" not in row["reason"]
        assert "fd-efficientnet_lite0" in row["reason"]
        if file is not None:
            assert file.url in row["reason"]
            assert file.sha256 in row["reason"]
            assert str(file.place.parent) in row["reason"]


def test_a_download_is_verified_before_it_is_kept(monkeypatch, own_home, caplog):
    monkeypatch.delenv("GENBENCH_OFFLINE")
    content = b"weights"
    monkeypatch.setattr(weights.urllib.request, "urlopen", lambda *_, **__: contextlib.closing(BytesIO(content)))
    right = weights.WeightFile("a.pt", "https://example.org/a.pt", hashlib.sha256(content).hexdigest())
    assert weights.read(right).content == content
    wrong = weights.WeightFile("b.pt", "https://example.org/b.pt", "0" * 64)
    with pytest.raises(Unsupported, match="the downloaded file has the sha256"):
        weights.read(wrong)
    assert [path.name for path in (own_home / "weights").glob("[!.]*")] == ["a.pt"]
    right.place.write_bytes(b"weight")
    assert weights.read(right).content == right.place.read_bytes() == content
    assert f"{right.place} has the sha256" in caplog.text


def test_a_file_in_a_shared_folder_is_used_only_with_the_right_content(tmp_path, own_home):
    (tmp_path / "a.pt").write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    assert weights.read(weights.WeightFile("a.pt", "", sha256, elsewhere=(tmp_path,))).sha256 == sha256
    with pytest.raises(Unsupported, match="is missing"):
        weights.read(weights.WeightFile("a.pt", "", "0" * 64, elsewhere=(tmp_path,)))
    # A sha256 is a whole one.
    path = tmp_path / "a.pt"
    published = weights.WeightFile("a.pt", "", sha256)
    assert weights.read(published, str(path)).sha256 == sha256
    assert weights.read(weights.WeightFile("a.pt", "", "0" * 64), str(path), sha256).sha256 == sha256
    with pytest.raises(ConfigError, match="has the sha256"):
        weights.read(published, str(path), sha256[:8])
    with pytest.raises(ConfigError, match="has the sha256"):
        weights.read(weights.WeightFile("a.pt", "", sha256[:8]), str(path))
