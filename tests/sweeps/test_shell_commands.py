import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genbench.errors import ConfigError
from genbench.runs.make_spec import make_spec
from genbench.suites import FOLDER
from genbench.sweeps.ensembles import ensemble_of
from genbench.sweeps.set_options import parse_set_options
from genbench.sweeps.shell_commands import command
from genbench.sweeps.suite import load

SUITES = sorted(FOLDER.glob("*.toml"))


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_the_commands_of_a_suite_are_its_cells(path, tmp_path):
    try:
        specs = load(path).specs
    except ConfigError as error:
        pytest.skip(f"its data is not here: {error}")
    for spec in specs[:: max(1, len(specs) // 8)]:
        words = shlex.split(command(spec, tmp_path))
        given = {name: [] for name in ("--set", "--metric", "--model", "--dataset", "--seed", "--stack", "--results")}
        for name, value in zip(words[2::2], words[3::2], strict=True):
            given[name].append(value)
        (model,), (dataset,), settings = given["--model"], given["--dataset"], parse_set_options(given["--set"])
        if spec.stack:
            among = ensemble_of(model, dataset, json.loads(given["--stack"][0]), given["--metric"], settings)
            again = next(other for other in among if (other.seed, other.model) == (spec.seed, spec.model))
        else:
            seed = int(given["--seed"][0])
            again = make_spec(model, dataset, seed=seed, metrics=given["--metric"], settings=settings)
        assert (again.train_key, again.evaluation_key, again.metrics) == (
            spec.train_key,
            spec.evaluation_key,
            spec.metrics,
        )


def test_a_slurm_array_and_xargs_run_the_commands_word_for_word(cli, swept, tmp_path, monkeypatch):
    """A genbench that writes down what it is called with takes the place of the real one."""
    suite, results = swept
    shutil.rmtree(results)
    said = cli("sweep", suite, "--results", "it's here", "--dry-run", "--commands")[1]
    commands = tmp_path / "commands.txt"
    commands.write_text(said)
    stub = tmp_path / "bin/genbench"
    stub.parent.mkdir()
    stub.write_text(
        f"#!{sys.executable}\nimport json, sys\nsys.stdout.write(json.dumps(['genbench', *sys.argv[1:]]) + '\\n')\n"
    )
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}:{os.environ['PATH']}")
    expected = [shlex.split(line) for line in said.splitlines()]
    assert len(expected) == 4
    array = str(Path(__file__).parents[2] / "benchmarks/array.sh")
    heard = []
    for number in range(1, 5):
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(number)}
        heard.append(subprocess.check_output(["bash", array, str(commands)], env=environment, text=True))
    line = f"tr '\\n' '\\0' < {commands} | xargs -0 -n 1 -P 2 sh -c"
    assert line.partition("|")[2] in (Path(__file__).parents[2] / "docs/sweeps.md").read_text().replace("-P 4", "-P 2")
    both = [*heard, *subprocess.check_output(line, shell=True, text=True).splitlines()]
    assert sorted(json.loads(text) for text in both) == sorted(expected * 2)
