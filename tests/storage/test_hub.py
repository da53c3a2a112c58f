"""The hub: files of its cache are those that the hub has, or are not used."""

import hashlib

import pytest

from genbench.errors import ConfigError
from genbench.storage import hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    """A model in the hub's cache as huggingface_hub lays it out: weights named by sha256, a config by its git hash."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--somebody--something"
    for folder in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (repository / folder).mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    weights, config = b"weights" * 300_000, b"{}"
    names = {
        "model.safetensors": (weights, hashlib.sha256(weights).hexdigest()),
        "config.json": (config, hashlib.sha1(b"blob 2\0{}").hexdigest()),
    }
    for name, (content, digest) in names.items():
        (repository / "blobs" / digest).write_bytes(content)
        (repository / "snapshots" / COMMIT / name).symlink_to(f"../../blobs/{digest}")
    hub.folder.cache_clear()
    yield repository / "snapshots" / COMMIT
    hub.folder.cache_clear()


def folder(place="somebody/something"):
    return hub.folder(str(place), None, ("*.safetensors", "*.json"), "model.text", "text=hashed")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_with_a_flipped_bit_is_named_and_not_used(snapshot, name):
    assert folder() == snapshot
    hub.folder.cache_clear()
    stored = (snapshot / name).resolve()
    content = bytearray(stored.read_bytes())
    content[-1] ^= 1
    stored.write_bytes(content)
    with pytest.raises(ConfigError, match=f"{stored.name} is damaged: its content does not have the hub"):
        folder()


def test_a_local_folder_must_have_all_shards_of_its_index(tmp_path):
    index = '{"metadata": {}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}'
    (tmp_path / "model.safetensors.index.json").write_text(index)
    (tmp_path / "1.safetensors").touch()
    with pytest.raises(ConfigError, match="or a part of it"):
        folder(tmp_path)
    (tmp_path / "2.safetensors").touch()
    assert folder(tmp_path) == tmp_path
