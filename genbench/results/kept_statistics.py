"""Reference statistics that are kept: computed, listed, verified."""

from collections.abc import Iterator
from typing import Any

from genbench.metrics.extractors.build import build_extractor, default_extractor
from genbench.metrics.image import reference_statistics
from genbench.metrics.image.real_images import SplitName
from genbench.metrics.image.reference_statistics import Statistics
from genbench.results.external_samples import task_without_model
from genbench.runs.spec import build_data
from genbench.settings import Settings
from genbench.storage.files import Damaged


def make(dataset: str, part: SplitName, features: str | None, n: int, settings: Settings) -> Statistics:
    """Return the statistics of a data set, computed unless they are kept.

    Args:
        dataset: name of the data set.
        part: train or test.
        features: name of the extractor; None for the default of the metrics.
        n: number of images, at most.
        settings: sections "data", and "features" for those of the extractor.

    Raises:
        ConfigError: on an unknown name or a wrong value.
        Unsupported: if the network is not available.
    """
    extractor = settings.get("features", {})
    spec, _ = task_without_model(dataset, (), {name: part for name, part in settings.items() if name != "features"})
    data = build_data(spec)
    value: dict[str, Any] | str | None = {"name": features or default_extractor(data.event), **extractor}
    return reference_statistics.statistics(data, build_extractor(data, value), part, n)


def listed(*, verify: bool) -> Iterator[tuple[Statistics | None, str]]:
    """Yield kept statistics, each with a line of description; None for a damaged file.

    Args:
        verify: whether to read them and compare their checksums.
    """
    for path in reference_statistics.cached_paths():
        try:
            found = reference_statistics.open_statistics(path)
            if verify:
                found.verify()
        except Damaged as error:
            yield None, str(error)
            continue
        yield found, ("verified  " if verify else "") + line(found)


def line(found: Statistics) -> str:
    """Return a line that describes a file of statistics."""
    header = found.header
    return (
        f"{header.extractor} {header.weights[:8]}  {header.n} {header.part} images {header.images[:8]} of "
        f"{header.source}  {found.path.stat().st_size / 2**20:.0f} MiB  {found.path}"
    )
