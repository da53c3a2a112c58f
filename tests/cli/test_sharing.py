"""submit, verify, results status, clean, merge: what is packed, refused, and found in a folder."""

import json

import pytest

pytestmark = pytest.mark.usefixtures("own_home")  # verdicts are remembered by the content of files, which tests share


def test_submit_takes_names_and_paths_of_suites_runs_and_records_each_once(
    cli, swept, first_path, tmp_path, monkeypatch
):
    _, results = swept
    for name, to, message in (("tinny", "x.genbench.zip", "did you mean 'tiny'?"), ("tiny", "x.zip", "x.genbench.zip")):
        code, _, err = cli("results", "submit", name, "--to", tmp_path / to, "--results", results)
        assert (code, message in err, (tmp_path / to).exists()) == (2, True, False)
    record = first_path(results)
    run = record.parents[1]
    monkeypatch.chdir(results.parent)
    to = tmp_path / "x.genbench.zip"
    code, _, err = cli("results", "submit", "cfm.toml", "--to", to, "--results", results)  # runs begin with cfm
    assert (code, "no run or suite 'cfm'" in err, to.exists()) == (2, True, False)
    for count, *names in (
        (4, "tiny", run.name),
        (4, "elsewhere/tiny.toml"),
        (1, run.name),
        (1, run),
        (1, run.relative_to(results.parent), record),
    ):
        out = cli("results", "submit", *names, "--to", to, "--results", results)[1]
        runs = "run" if count == 1 else "runs"
        assert f"{count} record{runs[3:]}, the weights of {count} {runs}, " in " ".join(out.split())
        packed = to.read_bytes()
        code, _, err = cli("results", "submit", "tiny", "--to", to, "--results", results)
        assert (code, "exists: remove it, or choose another name" in err, to.read_bytes()) == (2, True, packed)
        to.unlink()


def test_the_folder_is_an_option_and_no_argument(cli, swept, tmp_path):
    _, results = swept
    other = tmp_path / "other"
    assert cli("results", "merge", results, "--results", other)[0] == 0
    assert json.loads(cli("results", "status", "--results", other, "--json")[1])["records"] == 4
    assert cli("results", "clean", "--results", other, "--dry-run")[2] == f"{other}: 0 would be removed\n"
    code, _, err = cli("results", "status", other)
    assert (code, "unexpected extra argument" in err) == (2, True)
    assert cli("results")[0] == 2  # the help is shown


def test_a_submission_is_not_merged(cli, tmp_path):
    (tmp_path / "a.genbench.zip").touch()
    code, _, err = cli("results", "merge", tmp_path / "a.genbench.zip", "--results", tmp_path / "mine")
    assert (code, "genbench leaderboard --add" in err, (tmp_path / "mine").exists()) == (2, True, False)


def test_a_merge_says_what_it_left_out_and_why(cli, swept, tmp_path, first_path):
    _, results = swept
    for path in results.glob("runs/*/model.safetensors"):
        path.unlink()
    records = [*results.glob("runs/*/*/record.json")]
    records[0].write_text("damaged")
    for path in records[1:]:
        path.unlink()
    code, out, err = cli("results", "merge", results, "--results", tmp_path / "mine")
    assert (code, f"{results}: 4 left out" in out) == (1, True)
    assert (out.count("holds no finished record"), err.count("it is left out")) == (3, 1)
