"""results status, clean, merge: they take the folder by one option."""

import json


def test_the_folder_is_an_option_and_no_argument(cli, swept, tmp_path):
    suite, results = swept
    other = tmp_path / "other"
    assert cli("results", "merge", results, "--results", other)[0] == 0
    assert json.loads(cli("results", "status", "--results", other, "--json")[1])["records"] == 4
    assert "4 done" in cli("results", "status", "--results", other, "--suite", suite)[1]
    assert cli("results", "clean", "--results", other, "--dry-run")[2] == f"{other}: 0 would be removed\n"
    code, _, err = cli("results", "status", other)
    assert (code, "unexpected extra argument" in err) == (2, True)


def test_without_a_command_the_help_is_shown(cli):
    assert cli("results")[0] == 2
