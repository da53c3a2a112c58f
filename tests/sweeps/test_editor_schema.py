import json
import tomllib

import jsonschema
import pytest

from genbench.runs.record import RECORD
from genbench.suites import FOLDER
from genbench.sweeps.editor_schema import schema

SUITES = sorted(FOLDER.glob("*.toml"))


@pytest.fixture(scope="module")
def validate():
    """Validate a suite; the schema itself, which is long, is checked once."""
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema()).validate


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_the_schema_knows_our_suites(path, validate):
    suite = tomllib.loads(path.read_text())
    validate(suite)
    suite["models"] = [{"name": "wcfm", "kapa": 1}]
    with pytest.raises(jsonschema.ValidationError, match="is not valid under any"):
        validate(suite)


def test_the_command_prints_the_schema_of_suites_or_of_records(cli):
    assert json.loads(cli("schema")[1]) == json.loads(cli("schema", "suite")[1]) == schema()
    assert json.loads(cli("schema", "record")[1]) == RECORD.json_schema()
    assert cli("schema", "table")[0] == 2


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('models = ["cmf"]', "models"),
        ("seeds = [-1]", "seeds"),
        ("plan = { stepz = 3 }", "plan"),
        ('stack = ["net"]', "stack"),
        ('exclude = [{ modell = "cfm" }]', "exclude"),
        ('include = [{ model = "cfm" }]', "include"),
        ("sseds = [0]", ""),
    ],
)
def test_the_schema_refuses_what_reading_refuses(line, place, validate):
    suite = {"datasets": ["moons"], "models": ["cfm"]}
    validate(suite)
    with pytest.raises(jsonschema.ValidationError) as error:
        validate(suite | tomllib.loads(line))
    assert ".".join(map(str, error.value.absolute_path)).startswith(place)
