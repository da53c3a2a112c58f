"""The file of a calibration: other versions count as none, and damage is one line."""

import json

import pytest

from genbench.errors import ConfigError
from genbench.studies.calibration import results_file
from genbench.studies.calibration.power import Draws

ROW = {"task": "digits", "metric": "kid", "sampler": "true sampler", "n": [16], "mean": [0.0], "sd": [1.0]}
ROW |= {"alarms": [0.05], "alarms_sd": [0.01], "seconds": [0.1]}
FIELD = {"task": "moons", "metric": "npe", "seed": 0, "value": 0.5}


def test_other_versions_count_as_none_and_damage_is_refused(tmp_path):
    results_file.write(tmp_path, [ROW], [FIELD], {"digits": Draws(19, 20, 5)})
    results_file.write(tmp_path, [ROW], [FIELD], {"8gaussians": Draws(9, 10, 5)})
    kept = json.loads((tmp_path / results_file.FILE).read_text())
    assert {task: draws["threshold"] for task, draws in kept["draws"].items()} == {"digits": 19, "8gaussians": 9}
    assert results_file.load(tmp_path) == [ROW]
    assert results_file.fields(tmp_path) == [FIELD]
    path = tmp_path / results_file.FILE
    text = path.read_text()
    kept = json.loads(text)
    kept["versions"]["calibration"] = 1
    path.write_text(json.dumps(kept))
    assert results_file.load(tmp_path) == []
    forged = [
        ROW | change for change in ({"n": []}, {"n": [-1]}, {"sd": []}, {"mean": [float("nan")]}, {"sampler": "x"})
    ]
    forged += [{name: part for name, part in ROW.items() if name != lost} for lost in ("alarms", "seconds", "metric")]
    rows = ([1], [{"x": 1}], [{"task": "points"}], {}, *([row] for row in forged))
    damaged = [json.dumps(json.loads(text) | {"rows": each}) for each in rows]
    damaged += [json.dumps(json.loads(text) | {"fields": [field]}) for field in ({}, FIELD | {"value": "x"}, 3)]
    for content in (text[:-20], "[]", *damaged):
        path.write_text(content)
        with pytest.raises(ConfigError, match=r"calibration\.json is damaged"):
            results_file.load(tmp_path)
