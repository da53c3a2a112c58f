"""Options: what they parse, and what stays quiet."""

import errno
import io
import json
import sys
from unittest.mock import Mock

import pytest
from typer.main import get_command

from genbench.cli import main, options
from genbench.cli.main import app
from genbench.errors import ConfigError
from genbench.sweeps.progress import CellEvent, ProgressDisplay


@pytest.mark.parametrize("text", ["", "1,", "-1", "1.5", "x", "1-2-3", "9" * 50, "0-99999", "5-2", "0,5-2"])
def test_wrong_seeds_are_refused(text):
    with pytest.raises(ConfigError, match=r"^--seed / --seeds "):
        options.parse_seeds(text)


def test_a_quiet_command_shows_no_progress_and_the_next_one_does(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run = ["run", "--model", "cfm", "--dataset", "moons", "--set", "plan.steps=2", "--set", "evaluation.n=16"]
    run += ["--metric", "nfe", "--json", "--results=~/r"]
    code, out, err = cli(*run, "--quiet")
    assert (code, err) == (0, "")
    assert json.loads(out)["results"][0]["metric"] == "nfe"
    assert "step 2 of 2" in cli(*run, "--seed", "1")[2]
    assert len([*(tmp_path / "r/runs").iterdir()]) == 2


def test_every_path_may_begin_at_home(cli, swept, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert cli("report", "--results", swept[1], "--html=~/page.html")[0] == 0
    assert cli("results", "submit", "tiny", "--results", swept[1], "--to=~/mine.genbench.zip")[0] == 0
    assert cli("report", "--results", swept[1], "--html", "~/quoted.html")[0] == 0
    assert {"page.html", "quoted.html", "mine.genbench.zip"} <= {path.name for path in tmp_path.iterdir()}
    assert not (tmp_path / "~").exists()


def test_seeds_are_each_used_once_and_a_closed_stream_has_a_console(monkeypatch):
    assert options.parse_seeds("3, 1-4,2") == [3, 1, 2, 4]
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    options.stdout().print("x")
    options.stderr().print("x")


class Gone(io.StringIO):
    """A stream that nobody reads any more."""

    def write(self, text):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_a_run_goes_on_if_nobody_reads_its_progress_or_warnings(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Gone())
    with ProgressDisplay(["cfm"], options.stderr()) as display:
        display.on_event(CellEvent(0, "warning", message="slow"))
        display.on_event(CellEvent(0, "done"))
    assert display.finished == 1
    options.print_wrapped("x", err=True)
    assert main.exit_code(Mock(side_effect=ConfigError("wrong"))) == 2
    assert main.exit_code(lambda: app([], standalone_mode=False)) == 2  # prints the help


def leaves(command):
    """Yield the commands without commands of their own."""
    own = getattr(command, "commands", None)
    yield from [leaf for each in own.values() for leaf in leaves(each)] if own else [command]


def test_every_repeatable_option_says_so():
    found = [option for command in leaves(get_command(app)) for option in command.params if option.opts[0][0] == "-"]
    assert sum(option.multiple for option in found) > 10
    assert not [option.opts for option in found if option.multiple != ("Repeatable." in (option.help or ""))]
