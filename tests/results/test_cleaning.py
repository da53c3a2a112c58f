import shutil

import pytest
from helpers.records import edit_record

from genbench.results import cleaning
from genbench.runs.record import format_record, read_record
from genbench.runs.record_types import no_origin
from genbench.runs.store import Store
from genbench.storage import files, lease
from genbench.sweeps.suite import load


def older(record):
    record["spec"]["model"]["version"] = 0


def test_stale_records_stay_out_of_tables_and_can_be_removed(cli, swept, first_path):
    _, results = swept
    path = first_path(results)
    edit_record(path, older)
    (results / "tiny/records.jsonl.gz").unlink()  # whose record is not outdated, and would stand
    _, written, err = cli("report", "--results", results, "--full")
    assert "left out: cfm on moons: made with version 0 of model 'cfm', which is now 1 (1 record)" in err
    assert "(0, 1)" in written  # the other model has both seeds
    assert "1 seed only" in written
    assert str(path) in cli("results", "clean", "--results", results, "--stale", "--dry-run")[1]
    assert path.exists()
    cli("results", "clean", "--results", results, "--stale")
    assert not path.parents[1].exists()
    assert len(Store(results).record_paths()) == 3


def test_stale_metrics_are_taken_out_of_records_that_are_not_stale_otherwise(cli, swept):
    suite, results = swept
    path, other = sorted(results.glob("runs/*/*/record.json"))[:2]
    before = read_record(path)
    edit_record(path, lambda r: r["spec"]["metrics"]["nfe"].update(version=0))
    edit_record(other, older)
    holding = Store(results).hold(load(suite).specs[1])
    with holding:  # runs that a process holds stay as they are
        _, out, err = cli("results", "clean", "--results", results, "--stale")
    assert f"{other.parents[1]}: stays, {other.parents[1].name} is being run by" in err
    assert f"{path}: nfe, made with version 0 of metric 'nfe'" in out
    now = read_record(path)
    assert now["results"] == [row for row in before["results"] if row["metric"] != "nfe"]
    assert list(now["spec"]["metrics"]) == ["sliced_w2"]
    assert other.exists()
    err = cli("sweep", suite, "--results", results, "--dry-run")[2]
    assert f"{other} belongs to another run: its settings differ" in err
    assert "4 cells, 2 to run" in err


@pytest.mark.parametrize("during", ["the search", "the wait for the lease"])
def test_two_processes_clean_at_once(swept, first_path, monkeypatch, during):
    """A record that the other one removes is no error, and a run whose last record is new stays."""
    _, results = swept
    paths = sorted(results.glob("runs/*/*/record.json"))[:2]
    for path in paths:
        edit_record(path, older)
    good = first_path(results, "runs/wcfm-*/*/record.json").read_bytes()
    new = paths[1].parents[1] / "another" / "record.json"
    module, name = (cleaning, "read_kept") if during == "the search" else (lease, "hold")
    original = getattr(module, name)

    def meanwhile(*arguments):
        if paths[0].exists():
            shutil.rmtree(paths[0].parents[1])
            files.write(new, good)
        return original(*arguments)

    monkeypatch.setattr(module, name, meanwhile)
    said = [*cleaning.clean(Store(results), outdated=True, failed=False, remove=True)]
    assert [line for line in said if str(paths[1]) in line]
    assert not paths[1].exists()
    assert new.read_bytes() == good


def test_a_model_stays_whose_metrics_alone_are_outdated(cli, swept, first_path):
    _, results = swept
    path = first_path(results)
    weights = path.parents[1] / "model.safetensors"
    before = weights.read_bytes()
    edit_record(path, lambda record: [part.update(version=0) for part in record["spec"]["metrics"].values()])
    assert cli("results", "clean", "--results", results, "--stale")[1].count(str(path)) == 2
    assert (path.parent.exists(), weights.read_bytes()) == (False, before)


def test_a_suspended_clean_removes_nothing_of_a_run_that_was_taken_over(swept, first_path, monkeypatch, caplog):
    _, results = swept
    path = first_path(results)
    new = path.read_bytes()
    edit_record(path, older)

    def taken_over(record, original=cleaning.why_outdated):
        why = original(record)
        for own in results.glob("leases/*/*"):
            own.rename(own.with_name("elsewhere+1.1.2.3"))
            path.write_bytes(new)
        return why

    monkeypatch.setattr(cleaning, "why_outdated", taken_over)
    assert [*cleaning.clean(Store(results), outdated=True, failed=False, remove=True)] == []
    assert path.read_bytes() == new
    assert f"{path.parents[1]}: stays, {path.parts[-3]} was taken over" in caplog.text


def test_clean_counts_what_it_removes(cli, swept):
    """Of outdated runs, one is in use, one is a link and one has a link: they stay, and the others are removed."""
    _, results = swept
    paths = sorted(results.glob("runs/*/*/record.json"))
    for path in paths:
        edit_record(path, older)
    held, run, evaluation = paths[0].parents[1], paths[1].parents[1], paths[2].parent
    for linked in (run, evaluation):
        linked.rename(results / f"far-{linked.name}")
        linked.symlink_to(results / f"far-{linked.name}")
    for told, more in (("would be removed", ["--dry-run"]), ("removed", [])):
        with lease.hold(results / "leases", held.name):
            code, _, err = cli("results", "clean", "--results", results, "--stale", *more)
        assert (code, f": {len(paths) - 3} {told}" in err) == (0, True)
        assert f"{run}: stays, it is a link" in err
        assert f"{evaluation.parent}: stays, {evaluation.name} is a link" in err
        assert f"{held}: stays, {held.name} is being run by process" in err
    assert [path.exists() for path in paths] == [True, True, True, False]


def test_clean_removes_what_the_dead_left(cli, swept, first_path):
    _, results = swept
    run = first_path(results).parents[1]
    (results / "leases" / run.name / f"{lease._machine()}.999999999.1.x").mkdir(parents=True)
    (run / ".record.json.x.tmp").write_text("half")
    (begun := run.with_name("begun")).mkdir()  # another process has not yet written into it
    assert "whose owner (process 999999999" in cli("results", "clean", "--results", results)[1]
    assert not list((results / "leases").iterdir())
    assert not list(results.rglob("*.tmp"))
    assert begun.is_dir()


def test_reasons_of_others_cannot_write_to_the_terminal(cli, swept, first_path):
    _, results = swept
    record = first_path(results)
    known = read_record(record)
    record.unlink()
    failure = record.with_name("failure.json")
    origin = {"data": {}, "training": no_origin(), "measurements": []}
    failed = {**known, "results": [], "provenance": origin, "failure": "\x1b[2J\x1b]0;title\x07 [red]x"}
    failure.write_text(format_record(failed))
    assert cli("results", "clean", "--results", results)[:2] == (0, "")  # only --failed takes failures
    code, out, err = cli("results", "clean", "--results", results, "--failed")
    assert (code, "[red]x" in out, failure.exists()) == (0, True, False)
    assert not {"\x1b", "\x07"} & {*out, *err}
