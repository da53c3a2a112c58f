"""The seconds of a track: read from the file beside it, refused if it holds something else."""

import pytest

from genbench.errors import ConfigError
from genbench.report.track_seconds import Seconds, read_seconds
from genbench.suites import find


def test_seconds_are_those_of_the_file_beside_a_track(tmp_path):
    path = tmp_path / "some.toml"
    assert read_seconds(path) is None
    found = Seconds(task="moons", machine="a machine", seconds={"cfm": 1.5})
    (tmp_path / "some.seconds.json").write_text(found.model_dump_json())
    assert read_seconds(path) == found
    (tmp_path / "some.seconds.json").write_text('{"task": 3}')
    with pytest.raises(ConfigError, match=r"some.seconds.json holds no seconds of training: task: 3 is wrong"):
        read_seconds(path)


def test_the_shipped_track_has_seconds_of_all_its_methods():
    known = read_seconds(find("plane-v1"))
    assert known.task == "moons"
    assert {"cfm", "otcfm", "nsf", "tarflow width=16", "starflow width=16"} <= known.seconds.keys()
    assert min(known.seconds.values()) > 0
