"""Sealed tensors: what was written is read, and nothing else."""

import random

import pytest
import torch

from genbench.storage import tensors
from genbench.storage.files import Damaged

VALUES = {"a": torch.arange(12.0).reshape(3, 4).T, "b": torch.tensor([True, False]), "empty": torch.empty(0, 2)}
VALUES |= {"half": torch.tensor([0.5, -2.0], dtype=torch.bfloat16), "number": torch.tensor(7)}


@pytest.fixture
def sealed(tmp_path):
    path = tmp_path / "sealed.safetensors"
    tensors.save(path, VALUES, {"run": "one"})
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_tensors_and_header_come_back(sealed):
    found, header = tensors.load(sealed, ("run",))
    assert header == {"run": "one"}
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


def test_a_header_without_a_field_is_damaged(sealed):
    with pytest.raises(Damaged, match="its header lacks cost"):
        tensors.load(sealed, ("run", "cost"))


def test_an_entry_of_the_cache_is_made_once_and_a_copy_of_another_is_made_again(home, caplog):
    def kept(name, value):
        return tensors.cached("kind", name, lambda: {"x": torch.tensor(value)})["x"].item()

    assert [kept("one", 1), kept("one", 2)] == [1, 1]
    kind = home / "kind"
    (kind / "two").write_bytes((kind / "one").read_bytes())
    assert kept("two", 2) == 2
    assert caplog.messages == [f"{kind / 'two'} is a copy of another entry, one; it is made again"]
