from helpers.records import edit_record

from genbench.runs.record import format_record, read_record
from genbench.runs.record_types import no_origin
from genbench.runs.store import evaluation_name
from genbench.storage import lease


def older(record):
    record["spec"]["model"]["version"] = 0


def test_stale_records_stay_out_of_tables_and_their_runs_are_named(cli, swept, first_path):
    _, results = swept
    path = first_path(results)
    edit_record(path, older)
    (results / "tiny/records.jsonl.gz").unlink()  # whose record is not outdated, and would stand
    _, written, err = cli("report", "--results", results, "--full")
    why = "made with version 0 of model 'cfm', which is now 1"
    assert f"left out: cfm on moons: {why} (1 record)" in err
    assert "(0, 1)" in written  # the other model has both seeds
    assert "1 seed only" in written
    assert f"outdated: 1 x {why}: {evaluation_name(path)}\n" in cli("results", "status", "--results", results)[1]


def test_a_sweep_runs_cells_with_stale_records_and_metrics_again(cli, swept):
    suite, results = swept
    path, other = sorted(results.glob("runs/*/*/record.json"))[:2]
    edit_record(path, lambda r: r["spec"]["metrics"]["nfe"].update(version=0))
    edit_record(other, older)
    err = cli("sweep", suite, "--results", results, "--dry-run")[2]
    assert f"{other} belongs to another run: its settings differ" in err
    assert "4 cells, 2 to run" in err


def test_clean_removes_what_the_dead_left(cli, swept, first_path):
    _, results = swept
    run = first_path(results).parents[1]
    (results / "leases" / run.name / f"{lease._machine()}.999999999.1.x").mkdir(parents=True)
    (run / ".record.json.x.tmp").write_text("half")
    (begun := run.with_name("begun")).mkdir()  # another process has not yet written into it
    for told, more in (("would be removed", ["--dry-run"]), ("removed", [])):
        _, out, err = cli("results", "clean", "--results", results, *more)
        assert ("whose owner (process 999999999" in out, err) == (True, f"{results}: 1 {told}\n")
        there = [any((results / "leases").iterdir()), any(results.rglob("*.tmp"))]
        assert there == [bool(more)] * 2
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
    assert cli("results", "clean", "--results", results, "--failed", "--dry-run")[0] == 0
    assert failure.exists()
    code, out, err = cli("results", "clean", "--results", results, "--failed")
    assert (code, "[red]x" in out, failure.exists()) == (0, True, False)
    assert not {"\x1b", "\x07"} & {*out, *err}
