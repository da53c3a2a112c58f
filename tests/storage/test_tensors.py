"""Sealed tensors: what was written is read, and nothing else."""

import random
import zipfile

import pytest
import torch

from genbench.errors import ConfigError
from genbench.storage import memory, tensors
from genbench.storage.files import Damaged

VALUES = {"a": torch.arange(12.0).reshape(3, 4).T, "b": torch.tensor([True, False]), "empty": torch.empty(0, 2)}
VALUES |= {"half": torch.tensor([0.5, -2.0], dtype=torch.bfloat16), "number": torch.tensor(7)}


@pytest.fixture
def sealed(tmp_path):
    path = tmp_path / "sealed.safetensors"
    tensors.save(path, VALUES, {"run": "one"})
    return path


def test_tensors_and_header_come_back(sealed):
    found, header = tensors.load(sealed, ("run",))
    assert header == {"run": "one"}
    with pytest.raises(Damaged, match="its header lacks cost"):
        tensors.load(sealed, ("run", "cost"))
    assert found.keys() == VALUES.keys()
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in VALUES.items())


def test_every_flipped_bit_and_every_cut_is_noticed(sealed):
    data = sealed.read_bytes()
    draw = random.Random(0)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << draw.randrange(8)
        sealed.write_bytes(changed)
        with pytest.raises(Damaged):
            tensors.load(sealed, ("run",))
    for length in range(0, len(data), 7):
        sealed.write_bytes(data[:length])
        with pytest.raises(Damaged):
            tensors.load(sealed, ("run",))


def test_an_entry_of_the_cache_is_made_once_and_a_copy_of_another_is_made_again(own_home, caplog):
    def kept(name, value):
        return tensors.cached("kind", name, lambda: {"x": torch.tensor(value)})["x"].item()

    assert [kept("one", 1), kept("one", 2)] == [1, 1]
    kind = own_home / "kind"
    (kind / "two").write_bytes((kind / "one").read_bytes())
    assert kept("two", 2) == 2
    assert caplog.messages == [f"{kind / 'two'} is a copy of another entry, one; it is made again"]


def test_a_compressed_file_that_needs_more_memory_than_there_is_is_refused(tmp_path, monkeypatch):
    torch.save({"a": torch.zeros(2**20)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "small.pt", "w", 8) as small:
        for name in plain.namelist():
            small.writestr(name, plain.read(name))
    monkeypatch.setattr(memory, "total", lambda: 2.0**22)
    assert (tmp_path / "small.pt").stat().st_size < 2**16
    with pytest.raises(ConfigError, match=r"small\.pt needs at least .* of memory"):
        tensors.load_foreign(tmp_path / "small.pt")
