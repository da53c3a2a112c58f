"""Seconds of training of the methods of a track, measured alone, from a file beside it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from genbench.errors import ConfigError
from genbench.validation import explain

SECONDS = ".seconds.json"
"""Ending of the file beside a track, in place of .toml; benchmarks/perf/step_seconds.py writes it."""


class Seconds(BaseModel):
    """Processor seconds of 1,000 training steps on one thread, one model at a time.

    Args:
        task: the data set.
        seconds: by row of the track.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    task: str
    machine: str
    seconds: dict[str, float]


def read_seconds(path: Path) -> Seconds | None:
    """Return the seconds of a track, given its suite file; None if they were not measured.

    Raises:
        ConfigError: if the file beside it is invalid.
    """
    place = path.with_suffix(SECONDS)
    try:
        return Seconds.model_validate_json(place.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ConfigError(f"{place} holds no seconds of training: {explain(error)}") from error
