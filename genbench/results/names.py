"""Display names of users' files: `mine` for mine.py, `people` for people.csv, and a hash if two files share a name.

Saved records always contain the hash, which also distinguishes versions of a file.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from genbench.errors import ConfigError, unknown
from genbench.registry import Registry, datasets, metrics, models
from genbench.runs.spec import OF_DATA, READERS, own_data_name

Labelled = TypeVar("Labelled", bound=Mapping[str, Any])

_HASHED = re.compile(r"([\w.:-]+)@([0-9a-f]{8})(?![0-9a-f])")
OF_FILE = re.compile(r" (file|images)=([0-9a-f]{8})$")
"""End of the label of a data set whose rows come from a file or folder of the user: the hash of its content."""
_PYTHON = re.compile(r"(.+)\.py(?::(.+))?")


def named(records: Sequence[Labelled], beside: Iterable[Mapping[str, Any]] = ()) -> list[Labelled]:
    """Return records, or specs with labels, whose labels have the names that users know.

    Args:
        beside: records that are shown beside these.
    """
    everything = [*records, *beside]
    known = {name for name in (*models, *datasets) if "@" not in name} - {*READERS}
    code, data = defaultdict(set), defaultdict(set)
    for record in everything:
        labels, spec = record["labels"], record["spec"]
        for text in (labels["model"], labels["data"], spec["model"]["name"], spec["data"]["name"]):
            for name, sha256 in _HASHED.findall(text):
                code[name].add(sha256)
        if own := own_data_name(spec["data"]):
            of_file = OF_FILE.search(labels["data"])
            data[own].add(of_file and of_file[2])
    plain = {name for name, hashes in code.items() if len(hashes) == 1 and name not in known}
    own_data = {name for name, hashes in data.items() if len(hashes) == 1 and name not in known}

    def renamed(record: Labelled) -> Labelled:
        labels, own = record["labels"], own_data_name(record["spec"]["data"])
        shown = {**labels, **{part: _without_hash(labels[part], plain) for part in ("model", "data")}}
        if own:
            _, *settings = labels["data"].split(" ")
            text = " ".join([own, *settings])
            shown["data"] = OF_FILE.sub("", text) if own in own_data else text
        return record if shown == labels else cast(Labelled, {**record, "labels": shown})

    return [renamed(record) for record in records]


def metric_names(names: Iterable[str]) -> dict[str, str]:
    """Return the display names of metrics or their parts: {name in a record: name without its hash, if unique}."""
    names, hashes = list(names), defaultdict(set)
    for name, sha256 in (found for text in names for found in _HASHED.findall(text)):
        hashes[name].add(sha256)
    plain = {name for name, of_name in hashes.items() if len(of_name) == 1 and name not in metrics}
    return {name: _without_hash(name, plain) for name in names}


def typed_name(text: str, registry: Registry = models) -> str:
    """Return how records call a component, perhaps given as a file as to `genbench run`; see `meant`.

    A Python file that exists is executed, to find the name of the component of this kind that it registers, with the
    hash of its present content.

    Raises:
        ConfigError: if the file is broken, or registers several such components or none.

    >>> typed_name("mine.py"), typed_name("mine.py:other"), typed_name("data/people.csv"), typed_name("wcfm kappa=.5")
    ('mine', 'other', 'people', 'wcfm kappa=.5')
    """
    if code := _PYTHON.fullmatch(text):
        path = Path(f"{code[1]}.py")
        return registry.load(path, code[2] or "") if path.is_file() else code[2] or path.stem
    is_path = "/" in text or OF_DATA.search(text)
    return own_data_name({"name": "points", "path": text}) if is_path and not re.search(r"[\s=]", text) else text


def meant(names: Sequence[str], labels: Mapping[str, str], problem: str) -> list[str]:
    """Return the label that each name means: the one with exactly its words, or else the only one that contains them.

    Args:
        labels: {label: name of the component in records}. What comes from a file may be called with and without its
            hash, whether the label has it or not.
        problem: beginning of the message about a name without a label.

    Raises:
        ConfigError: if a name means no label, or several.

    >>> meant(["wcfm kappa=0.5"], {"wcfm": "wcfm", "wcfm kappa=0.50 sigma=0.1": "wcfm"}, "no results of")
    ['wcfm kappa=0.50 sigma=0.1']
    >>> meant(["ln", "ln@1f2e3d4c"], {"ln": "ln@1f2e3d4c", "ln kappa=2": "ln@1f2e3d4c"}, "no results of")
    ['ln', 'ln']
    """
    for name in names:
        if not _matching(name, labels):
            raise _missing(problem, name, labels)
    return [label for name in names for label in called(name, labels)]


def called(name: str, labels: Mapping[str, str]) -> list[str]:
    """Return the label that a name means, as in `meant`, or none. Raises ConfigError if it means several."""
    those = _matching(name, labels)
    if len(those) > 1:
        raise ConfigError(f"'{name}' is ambiguous: {'; '.join(those)}. Name one of them")
    return those


def _matching(name: str, labels: Mapping[str, str]) -> list[str]:
    words = _words(name)
    if exact := [label for label in labels if words == _words(label)]:
        return exact
    of_file = {label: {own, own.partition("@")[0]} if "@" in own else set() for label, own in labels.items()}
    containing = [label for label in labels if words <= _words(label) | of_file[label]]
    base = name.split(" ")[0]
    contents = {own for own in labels.values() if own.startswith(f"{base}@")}
    if len(contents) > 1:  # none is the default, and a setting that only one of them has names none
        return [label for label, own in labels.items() if own in contents]
    return [label for label in containing if len(words) == len(_words(label))] or containing


def _missing(problem: str, name: str, labels: Mapping[str, str]) -> ConfigError:
    """Return the error about a name without a label, which names the other contents of its file if there are some."""
    base, _, sha256 = name.split(" ")[0].partition("@")
    others = [label for label, own in labels.items() if own.startswith(f"{base}@") and own != f"{base}@{sha256}"]
    if not sha256 or not others or f"{base}@{sha256}" in labels.values():
        return unknown(problem, name, labels)
    known = " or ".join(f"'{label}'" for label in others)
    return ConfigError(f"{problem} '{name}', only of other contents of its file: run it, or name {known}")


def _words(label: str) -> frozenset[str | tuple[str, float]]:
    """Return the words of a label; numbers by their value."""
    words: list[str | tuple[str, float]] = []
    for word in label.split():
        name, _, value = word.partition("=")
        try:
            words.append((name, float(value)))
        except ValueError:
            words.append(word)
    return frozenset(words)


def _without_hash(text: str, plain: set[str]) -> str:
    return _HASHED.sub(lambda found: found[1] if found[1] in plain else found[0], text)
