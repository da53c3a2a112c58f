import json
import os

import pandas as pd
import pytest

import genbench
from genbench.results import index
from genbench.results.frames import frame
from genbench.runs.record import format_record, read_record
from genbench.runs.store import Store
from genbench.runs.versions import without_stale


@pytest.fixture
def store(tmp_path):
    settings = {"plan": {"steps": 3, "batch_size": 8}, "evaluation": {"n": 32, "curve": [1, 2]}}
    for model in ("cfm", "wcfm"):
        for seed in (0, 1):
            genbench.run(model, "moons", seed=seed, metrics=["sliced_w2", "nfe"], settings=settings, results=tmp_path)
    return Store(tmp_path)


def same(store):
    """The index says what the records say; return its table."""
    found = index.frame(store)
    expected = frame(without_stale(store.records()))
    found, expected = (table.astype(object).where(table.notna(), None) for table in (found, expected))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    return found


def edit(path, change):
    record = json.loads(json.dumps(read_record(path)))
    change(record)
    path.write_text(format_record(record))


def test_the_index_says_what_the_records_say_whatever_becomes_of_them(store, caplog):
    assert len(same(store)) == 4 * 4
    assert (store.root / "index.npz").exists()
    first, second, third, fourth = store.record_paths()
    edit(first, lambda record: record["results"][0].update(value=0.5, details={"bias": 0.25}))
    assert 0.5 in set(same(store)["value"])
    second.unlink()
    assert len(same(store)) == 3 * 4
    edit(third, lambda record: record["spec"]["metrics"]["nfe"].update(version=0))
    assert len(same(store)) == 3 * 4 - 1
    edit(fourth, lambda record: record["spec"]["model"].update(version=0))
    assert len(same(store)) == 2 * 4 - 1
    first.write_text(first.read_text()[:-100])
    assert len(same(store)) == 4 - 1
    assert "is not a record" in caplog.text
    genbench.run("cfm", "moons", metrics=["nfe"], settings={"plan": {"steps": 2}}, results=store.root)
    assert "cfm" in set(same(store)["model"])


def test_a_fresh_index_reads_no_record(store, monkeypatch):
    same(store)
    monkeypatch.setattr(index, "read_record", None)
    assert len(index.frame(store)) == 4 * 4


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_a_damaged_index_is_built_again(store, damage, caplog):
    same(store)
    path = store.root / "index.npz"
    data = bytearray(path.read_bytes())
    for place in range(100, len(data), 97):
        data[place] ^= 4
    path.write_bytes(bytes(data) if damage is None else damage)
    same(store)
    assert "index.npz is damaged; it is built again" in caplog.text
    caplog.clear()
    same(store)
    assert not caplog.text


def test_one_flipped_bit_of_a_value_is_noticed(store, caplog):
    """Zip members carry a checksum of their own."""
    same(store)
    path = store.root / "index.npz"
    data = path.read_bytes()
    value = index.frame(store)["value"].to_numpy()[0].tobytes()
    where = data.index(value)
    path.write_bytes(data[:where] + bytes([data[where] ^ 1]) + data[where + 1 :])
    same(store)
    assert "is damaged" in caplog.text


def test_an_empty_folder_has_an_empty_table(tmp_path):
    assert len(index.frame(Store(tmp_path / "nothing"))) == 0
    assert not (tmp_path / "nothing").exists()
    assert len(genbench.table(tmp_path)) == 0


def test_a_folder_that_cannot_be_written_is_read_all_the_same(store):
    if os.getuid() == 0:
        pytest.skip("root may write everywhere")
    store.root.chmod(0o500)
    assert len(same(store)) == 4 * 4
