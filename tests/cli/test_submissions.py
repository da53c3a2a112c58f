"""submit and verify: what is packed, what is refused, and what is found in a folder."""

import json

import pytest

from genbench.runs.record import read_record


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """What is verified is remembered by the content of the file, which tests share."""
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "home"))


def test_submit_takes_suites_and_runs_each_once(cli, swept, first_path, tmp_path):
    _, results = swept
    path, run = tmp_path / "x.genbench.zip", first_path(results).parts[-3]
    assert "4 records and 4 weights" in cli("submit", "tiny", run, "--to", path, "--results", results)[1]
    assert "1 records and 1 weights" in cli("submit", run, "--to", path, "--results", results)[1]


def test_submit_takes_paths_of_runs_records_and_suites(cli, swept, first_path, tmp_path, monkeypatch):
    _, results = swept
    path, record = tmp_path / "x.genbench.zip", first_path(results)
    monkeypatch.chdir(results.parent)
    for name in (record, record.parents[1], record.parents[1].relative_to(results.parent)):
        assert "1 records and 1 weights" in cli("submit", name, "--to", path, "--results", results)[1]
    assert "4 records and 4 weights" in cli("submit", "elsewhere/tiny.toml", "--to", path, "--results", results)[1]


def test_verify_says_what_it_takes(cli, tmp_path):
    code, out, err = cli("verify", tmp_path / "nothing")
    assert (code, out) == (2, "")
    assert f"no results folder or submission at {tmp_path}" in err


def test_submit_names_what_is_unknown(cli, swept, tmp_path):
    _, results = swept
    for name, to, message in (("tinny", "x.genbench.zip", "did you mean 'tiny'?"), ("tiny", "x.zip", "x.genbench.zip")):
        code, _, err = cli("submit", name, "--to", tmp_path / to, "--results", results)
        assert code == 2
        assert message in err
        assert not (tmp_path / to).exists()


def test_verify_measures_records_of_a_folder_again_and_names_other_values(cli, swept, first_path, edit_record):
    _, results = swept
    code, out, err = cli("verify", results, "--sample", "4")
    assert (code, out.count("no difference")) == (0, 4)
    assert "0 damaged files" in err
    path = first_path(results)

    def change(record):
        row = next(row for row in record["results"] if row["metric"] == "sliced_w2")
        row["value"] += 0.1

    edit_record(path, change)
    code, out, err = cli("verify", results, "--sample", "4")
    assert (code, out.count("no difference")) == (1, 3)
    assert "1 records with other values when measured again" in err
    path.write_text(path.read_text()[:-9])
    assert "1 damaged files" in cli("verify", results, "--sample", "0")[2]


def test_a_folder_is_not_trained_again_and_its_checks_are_printed_as_json(cli, swept):
    _, results = swept
    code, out, err = cli("verify", results, "--retrain", "1")
    assert (code, out) == (2, "")
    assert "is for submissions" in err
    found = json.loads(cli("verify", results, "--sample", "2", "--json")[1])
    assert (found["damaged"], [again["worst"] for again in found["measured_again"]]) == ([], [0, 0])
    assert read_record(next(iter(results.glob("runs/*/*/record.json"))))
