"""results status, clean, merge: which folder they mean."""

import json


def test_the_commands_of_a_folder_take_it_by_one_option(cli, swept, tmp_path):
    suite, results = swept
    other = tmp_path / "other"
    assert cli("results", "merge", results, "--results", other) == (0, f"{results}: 4 copied\n", "")
    assert json.loads(cli("results", "status", "--results", other, "--json")[1])["records"] == 4
    assert "4 done" in cli("results", "status", "--results", other, "--suite", suite)[1]
    assert cli("results", "clean", "--results", other, "--dry-run")[2] == f"{other}: 0 would be removed\n"
    code, _, err = cli("results", "status", other)
    assert (code, "unexpected extra argument" in err) == (2, True)
    assert cli("results", "clean", "--results", tmp_path / "none")[2].endswith(
        "no results folder at " + f"{tmp_path / 'none'}\n"
    )


def test_without_a_command_the_help_is_shown(cli):
    code, _, err = cli("results")
    assert code == 2
    assert "merge" in err
