"""Which records a request to submit names."""

from pathlib import Path

from genbench.analysis.published_suites import suite_file, suite_names
from genbench.errors import unknown
from genbench.runs.record import read_published
from genbench.runs.store import Store


def records_of(store: Store, name: str) -> list[Path]:
    """Return the paths of the records of a run, a record of it, or a suite that was swept into the folder.

    Raises:
        ConfigError: if there is no such run or suite, with a suggestion.
    """
    paths = store.record_paths()
    own = [path for path in paths if name in (path.parts[-3], f"{path.parts[-3]}/{path.parts[-2]}")]
    if own:
        return own
    suites = suite_names(store.root)
    if name not in suites:
        raise unknown(f"{store.root} has no run or suite", name, [*suites, *{path.parts[-3] for path in paths}])
    runs = {record["labels"]["run"] for record in read_published(suite_file(store.root, name, "records.jsonl.gz"))}
    own = [path for path in paths if path.parts[-3] in runs]
    if not own:
        raise unknown(f"{store.root} has only published records, and no runs, of the suite", name, [])
    return own
