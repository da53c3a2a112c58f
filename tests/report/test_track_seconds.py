"""The seconds of a track: read from the file beside it, refused if it holds something else."""

import pytest

from genbench.errors import ConfigError
from genbench.report.track_seconds import Seconds, read_seconds


def test_seconds_are_those_of_the_file_beside_a_track(tmp_path):
    path = tmp_path / "some.toml"
    assert read_seconds(path) is None
    found = Seconds(task="moons", machine="a machine", seconds={"cfm": 1.5})
    (tmp_path / "some.seconds.json").write_text(found.model_dump_json())
    assert read_seconds(path) == found
    (tmp_path / "some.seconds.json").write_text('{"task": 3}')
    with pytest.raises(ConfigError, match=r"some.seconds.json holds no seconds of training: task: 3 is wrong"):
        read_seconds(path)
