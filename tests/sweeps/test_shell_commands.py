import shlex
from dataclasses import replace

import pytest

from genbench.errors import ConfigError
from genbench.runs.make_spec import make_spec
from genbench.suites import FOLDER
from genbench.sweeps.set_options import parse_set_options
from genbench.sweeps.shell_commands import command
from genbench.sweeps.suite import load

SUITES = sorted(FOLDER.glob("*.toml"))


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_the_commands_of_a_suite_are_its_cells(path):
    try:
        specs = load(path).specs
    except ConfigError as error:
        pytest.skip(f"its data is not here: {error}")
    for spec in specs[:: max(1, len(specs) // 8)]:
        spec = replace(spec, stack=None)
        words = shlex.split(command(spec))
        given = {name: [] for name in ("--set", "--metric", "--model", "--dataset", "--seed")}
        for name, value in zip(words[2::2], words[3::2], strict=True):
            given[name].append(value)
        (model,), (dataset,), (seed,) = given["--model"], given["--dataset"], given["--seed"]
        settings = parse_set_options(given["--set"])
        again = make_spec(model, dataset, seed=int(seed), metrics=given["--metric"], settings=settings)
        assert (again.train_key, again.evaluation_key, again.metrics) == (
            spec.train_key,
            spec.evaluation_key,
            spec.metrics,
        )
