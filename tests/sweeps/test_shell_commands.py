import json
import shlex

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
def test_the_commands_of_a_suite_are_its_cells(path):
    try:
        specs = load(path).specs
    except ConfigError as error:
        pytest.skip(f"its data is not here: {error}")
    for spec in specs[:: max(1, len(specs) // 8)]:
        words = shlex.split(command(spec))
        given = {name: [] for name in ("--set", "--metric", "--model", "--dataset", "--seed", "--stack")}
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
