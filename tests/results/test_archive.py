import shutil
import stat
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import genbench
from genbench.errors import ConfigError
from genbench.results import archive, verifying
from genbench.results.archive import pack, remembered, unpack
from genbench.results.verifying import Verdict
from genbench.runs import spec as specs


@pytest.fixture
def packed(forger, tmp_path):
    return forger.submit(tmp_path / "x.genbench.zip")


def rewrite(path, change):
    """Write the archive again after change({name: content})."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_what_is_unpacked_is_what_was_packed_and_the_same_runs_give_the_same_bytes(forger, packed, tmp_path):
    assert forger.submit(tmp_path / "y.genbench.zip").read_bytes() == packed.read_bytes()
    unpack(packed, tmp_path / "out")
    for path in forger.store.record_paths():
        relative = path.relative_to(forger.store.root)
        assert (tmp_path / "out" / relative).read_bytes() == path.read_bytes()


def test_large_weights_are_left_out_and_named(forger, tmp_path, monkeypatch):
    monkeypatch.setattr("genbench.results.archive.MAX_WEIGHTS", 100)
    found = pack(forger.store.record_paths(), tmp_path / "y.genbench.zip")
    assert (found.records, found.weights, len(found.without_weights)) == (4, 0, 4)


@pytest.mark.parametrize(
    ("bound", "most", "said"),
    [
        ("MAX_BYTES", 1000, "submit fewer runs"),
        ("MAX_RECORDS", 1000, "submit fewer runs"),
        ("MAX_RECORD", 1000, "more than 1,000$"),
        ("MAX_MEMBERS", 3, "submit fewer runs"),
    ],
)
def test_what_would_not_be_read_is_not_written(forger, tmp_path, monkeypatch, bound, most, said):
    monkeypatch.setattr(f"genbench.results.archive.{bound}", most)
    with pytest.raises(ConfigError, match=said):
        pack(forger.store.record_paths(), tmp_path / "y.genbench.zip")
    assert not (tmp_path / "y.genbench.zip").exists()


def first(members, end):
    return next(name for name in members if name.endswith(end))


CHANGES = {
    "a member above the folder": lambda m: m.update({"../up": b"x"}),
    "an absolute member": lambda m: m.update({"/etc/up": b"x"}),
    "a program": lambda m: m.update({"runs/x/run.py": b"x"}),
    "a program beside a record": lambda m: m.update({"runs/x/0123456789ab/run.py": b"x"}),
    "no members": lambda m: m.clear(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_archive_is_refused_in_one_line(packed, tmp_path, cli, name):
    rewrite(packed, CHANGES[name])
    code, _, err = cli("verify", packed)
    assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "up").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR])
def test_links_and_other_members_that_are_no_files_are_refused(packed, tmp_path, kind):
    with zipfile.ZipFile(packed, "a") as archive:
        info = zipfile.ZipInfo("runs/x/model.safetensors")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ConfigError, match="does not belong in a submission"):
        unpack(packed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_archives_that_unpack_to_too_much_are_refused_before_they_are_unpacked(packed, tmp_path):
    rewrite(packed, lambda m: m.update({first(m, "record.json"): bytes(32 << 20)}))
    with pytest.raises(ConfigError, match="more than"):
        unpack(packed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_cut_and_every_other_file_is_noticed(packed, tmp_path):
    whole = packed.read_bytes()
    cuts = [whole[:length] for length in range(0, len(whole), len(whole) // 30)]
    for content in (*cuts, b"hello", b"PK\x03\x04" + bytes(100)):
        packed.write_bytes(content)
        with pytest.raises(ConfigError):
            unpack(packed, tmp_path / "out")


def test_what_was_confirmed_before_an_interruption_is_remembered(forger, tmp_path, monkeypatch, cli):
    path, measure, calls = forger.submit(tmp_path / "x.genbench.zip"), verifying.measure_again, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(verifying, "measure_again", interrupted)
    cli("verify", path, "--sample", 9)
    assert [*remembered(path).values()] == ["confirmed"] * 2


def test_two_verifies_at_a_time_remember_what_both_find(packed, monkeypatch):
    read = archive._states

    def slowly(entry):
        states = read(entry)
        time.sleep(0.02)  # without a lock, the other verify writes now
        return states

    monkeypatch.setattr(archive, "_states", slowly)
    found = [[Verdict(f"run-{n}/{i}", "confirmed") for i in range(5)] for n in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda own: [*archive.remembering(packed, own)], found))
    assert len(remembered(packed)) == 10


@pytest.fixture
def own_data(own_home, tmp_path, monkeypatch):
    """A submission of two runs on a file of the author, the file, and another one."""
    author = tmp_path / "author"
    author.mkdir()
    points = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)).numpy()
    np.save(author / "données.npy", points)
    np.save(tmp_path / "other.npy", points + 1)
    settings = {"plan": {"steps": 5, "batch_size": 8}, "evaluation": {"n": 16, "curve": []}}
    monkeypatch.chdir(tmp_path)
    for seed, path in enumerate((str(author / "données.npy"), "author/données.npy")):
        settings["data"] = {"path": path}
        genbench.run("cfm", "points", seed=seed, metrics=["sliced_w2"], settings=settings, results=author / "r")
    return author


def test_a_submission_on_own_data_holds_no_path_and_is_confirmed_where_the_file_is_given(own_data, tmp_path, cli):
    runs = sorted(run.name for run in (own_data / "r/runs").iterdir())
    path = tmp_path / "mine.genbench.zip"
    assert cli("results", "submit", *runs, "--to", path, "--results", own_data / "r")[0] == 0
    with zipfile.ZipFile(path) as archive:
        assert not any(b"author/" in archive.read(name) for name in archive.namelist())
    moved = tmp_path / "elsewhere.npy"
    (own_data / "données.npy").rename(moved)
    shutil.rmtree(own_data)
    specs._built.clear()
    for arguments in ((), ("--dataset", tmp_path / "other.npy")):
        code, out, err = cli("verify", path, *arguments)
        assert (code, "2 not measured" in err) == (1, True)
        assert "its data données.npy (sha256" in " ".join(out.split())
        assert "add --dataset FILE" in " ".join(out.split())
    code, out, err = cli("verify", path, "--dataset", tmp_path / "other.npy", "--dataset", moved)
    assert (code, "2 confirmed" in err) == (0, True), out + err
