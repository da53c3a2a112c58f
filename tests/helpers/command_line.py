"""The command line, run in the process of the test."""

import io
import logging
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest import mock

import pytest

from genbench.cli.main import main
from genbench.registry import ALL
from genbench.user_code import FILES
from helpers.processes import apart

TINY = ["--set", "plan.steps=30", "--set", "evaluation.n=128", "--set", "evaluation.curve=[1, 4]"]
METRICS = ["--metric", "sliced_w2", "--metric", "nfe"]
SUITE = """
datasets = ["moons"]
models = ["cfm", {name = "wcfm", kappa = 0.5}]
metrics = ["sliced_w2", "nfe"]
seeds = [0, 1]
plan = {steps = 10, batch_size = 16}
evaluation = {n = 64, curve = [1]}
"""
"""Four small cells, which several tests sweep as tiny.toml."""


class Done(NamedTuple):
    code: int
    stdout: str
    stderr: str


def begin(*arguments):
    """Run the command line in this process, and leave the process as it was."""
    out, err = io.StringIO(), io.StringIO()
    logger = logging.getLogger("genbench")
    handlers = list(logger.handlers)
    with (
        mock.patch.object(sys, "argv", ["genbench", *map(str, arguments)]),
        mock.patch("genbench.cli.main.stop_on_signals"),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    logger.handlers = handlers
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def begin_all(commands, *sites, **variables):
    """Run named command lines in a process that finds packages in these folders, and return what each did."""
    return {name: Done(*each) for name, each in apart(begin_each, commands, *map(str, sites), **variables).items()}


def begin_each(commands, *sites):
    sys.path[:0] = sites
    return {name: tuple(begin(*words)) for name, words in commands.items()}


def forget_files(*modules):
    """Forget the files of users, as another process has never seen them, and modules whose names begin so."""
    os.environ[FILES] = ""
    for registry in ALL.values():
        for name in [name for name in registry._entries if "@" in name]:
            del registry._entries[name]
    for name in [name for name in sys.modules if name.startswith(("genbench_file_", *modules))]:
        del sys.modules[name]


def genbench(*arguments, code=0):
    """Run the command line, which must end with this code, and return what it printed."""
    done = begin(*arguments)
    assert done.code == code, done.stderr + done.stdout
    return done
