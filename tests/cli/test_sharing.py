"""submit, verify, results status, clean, merge: what is packed, refused, and found in a folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genbench.runs.record import format_record, read_record

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """What is verified is remembered by the content of the file, which tests share."""
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "home"))


def test_submit_takes_names_and_paths_of_suites_runs_and_records_each_once(
    cli, swept, first_path, tmp_path, monkeypatch
):
    _, results = swept
    record = first_path(results)
    run = record.parents[1]
    monkeypatch.chdir(results.parent)
    for count, *names in (
        (4, "tiny", run.name),
        (4, "elsewhere/tiny.toml"),
        (1, run.name),
        (1, run),
        (1, run.relative_to(results.parent), record),
    ):
        out = cli("submit", *names, "--to", tmp_path / "x.genbench.zip", "--results", results)[1]
        assert f"{count} records and {count} weights" in out


def test_submit_names_what_is_unknown(cli, swept, tmp_path):
    _, results = swept
    for name, to, message in (("tinny", "x.genbench.zip", "did you mean 'tiny'?"), ("tiny", "x.zip", "x.genbench.zip")):
        code, _, err = cli("submit", name, "--to", tmp_path / to, "--results", results)
        assert code == 2
        assert message in err
        assert not (tmp_path / to).exists()


def test_verify_measures_records_of_a_folder_again_and_names_other_values(cli, swept, first_path, edit_record):
    _, results = swept
    code, out, err = cli("verify", "--results", results, "--sample", "4")
    assert (code, out.count("no difference"), err) == (0, 4, f"{results}: 4 confirmed\n")
    path = first_path(results)

    def change(record):
        row = next(row for row in record["results"] if row["metric"] == "sliced_w2")
        row["value"] += 0.1

    edit_record(path, change)
    code, out, err = cli("verify", "--results", results, "--sample", "4", "--json")
    verdicts = {verdict["name"]: verdict for verdict in json.loads(out)}
    assert (code, [verdict["state"] for verdict in verdicts.values()].count("confirmed")) == (1, 3)
    (different,) = verdicts[f"{path.parts[-3]}/{path.parts[-2]}"]["different"]
    assert different.startswith("sliced_w2")
    assert "0 records are refused, 1 are not confirmed" in err
    path.write_text(path.read_text()[:-9])
    assert "1 refused" in cli("verify", "--results", results, "--sample", "0")[2]


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (None, 0, "12 of 12 published values measured again, 12 agree"),
        (
            lambda record: record["results"][1].update(value=9.0),
            1,
            "12 of 12 published values measured again, 11 agree",
        ),
        (lambda record: record["labels"].update(run="other"), 1, "0 of 12"),
    ],
)
def test_verify_compares_a_reproduction_with_published_values(cli, swept, tmp_path, edit_record, change, code, said):
    """The last lines of `make reproduce` (C19)."""
    _, results = swept
    again = tmp_path / "again"
    shutil.copytree(results, again)
    for path in again.glob("runs/*/*/record.json"):
        if change and code and "0 of 12" in said:
            shutil.rmtree(path.parents[1])
        elif change and path.parts[-3].startswith("cfm-moons-0"):
            edit_record(path, change)
    shutil.rmtree(results / "runs")
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    found, out, err = cli("verify", "--results", again, "--against", results)
    assert found == code, out + err
    assert said in " ".join(out.split())
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before
    assert cli("verify", "--results", tmp_path, "--against", results)[0] == 1


def without_a_run(path):
    shutil.rmtree(path.parents[1])


def with_a_failure(path):
    record = {**read_record(path), "results": [], "failure": "RunFailed: no"}
    record["provenance"] = {**record["provenance"], "measurements": []}
    path.with_name("failure.json").write_text(format_record(record))
    path.unlink()


def without_a_cell(path):
    record = read_record(path)
    path.write_text(format_record({**record, "results": record["results"][1:]}))


@pytest.mark.parametrize("spoil", [without_a_run, with_a_failure, without_a_cell])
def test_a_reproduction_fails_where_a_published_value_is_missing(cli, swept, tmp_path, first_path, spoil):
    _, results = swept
    shutil.copytree(results, again := tmp_path / "again")
    path = first_path(again)
    spoil(path)
    code, _, err = cli("verify", "--results", again, "--against", results)
    assert (code, f"1 published runs were not repeated, or not as a whole: {path.parts[-3]}" in err) == (1, True), err


def test_a_reproduction_ends_with_a_verdict_whatever_fails(tmp_path):
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/genbench"
    command.write_text('#!/bin/sh\necho "$1 $2" >> "$0.log"\n[ "$1" != sweep ]\n')
    command.chmod(0o755)
    (tmp_path / ".installed").touch()
    done = subprocess.run(["make", "reproduce", f"VENV={tmp_path}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0, done.stdout + done.stderr
    called = Path(f"{command}.log").read_text().splitlines()
    assert called == ["sweep synthetic", "sweep digits", "leaderboard --results", "verify --results"]


FAULT = """
import sys
from genbench.metrics import distance
right = distance.sorted_projections
distance.sorted_projections = lambda x, axes: 3 * right(x, axes)
from genbench.cli.main import main
main()
"""


def test_a_changed_formula_makes_the_verdict_fail(cli, swept, tmp_path):
    suite, results = swept
    again = str(tmp_path / "again")
    done = subprocess.run([sys.executable, "-c", FAULT, "sweep", str(suite), "--results", again], capture_output=True)
    assert done.returncode == 0, done.stderr
    code, out, err = cli("verify", "--results", again, "--against", results)
    assert (code, "8 values do not agree" in err) == (1, True)
    assert "sliced_w2: " in out


def test_the_folder_is_an_option_and_no_argument(cli, swept, tmp_path):
    _, results = swept
    other = tmp_path / "other"
    assert cli("results", "merge", results, "--results", other)[0] == 0
    assert json.loads(cli("results", "status", "--results", other, "--json")[1])["records"] == 4
    assert cli("results", "clean", "--results", other, "--dry-run")[2] == f"{other}: 0 would be removed\n"
    code, _, err = cli("results", "status", other)
    assert (code, "unexpected extra argument" in err) == (2, True)


def test_without_a_command_the_help_is_shown(cli):
    assert cli("results")[0] == 2
