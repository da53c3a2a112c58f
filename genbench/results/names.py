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
from genbench.results.frames import TUNED_END
from genbench.runs.spec import READERS, content_of, own_data_name

T = TypeVar("T")
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
    plain = {name for name, hashes in code.items() if len(hashes) == 1 and name not in known | data.keys()}
    own_data = {name for name, hashes in data.items() if len(hashes) == 1 and name not in known | code.keys()}

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

    A file that exists means its present content. A Python file is executed, to find the name of the component of this
    kind that it registers.

    Raises:
        ConfigError: if the file is broken, or registers several such components or none.
    """
    code = _PYTHON.fullmatch(text)
    if code and (path := Path(f"{code[1]}.py")).is_file():
        return registry.load(path, code[2] or "")
    data = {"name": "points", "path": text}
    if registry is datasets and text not in datasets and Path(text).exists():
        return f"{own_data_name(data)}@{content_of(data):.8}"
    return text


def full_names(record: Mapping[str, Any]) -> tuple[str, str]:
    """Return the names of a record's model and data, which mean the same in any folder: files have their hashes.

    Args:
        record: as it is saved, not as `named` returns it.
    """
    data, own = record["labels"]["data"], own_data_name(record["spec"]["data"])
    if own and (of_file := OF_FILE.search(data)):
        _, *settings = OF_FILE.sub("", data).split()
        data = " ".join([f"{own}@{of_file[2]}", *settings])
    return record["labels"]["model"], data


def meant(name: str, known: Sequence[tuple[str, str, T]], problem: str) -> list[T]:
    """Return what a name means: all that has its words, if its label is the same.

    Args:
        known: label in tables, name with the hash of a file and further words, and what is returned. A name begins as
            one of the two, and has words of both; "tuned" if the label has it. A label all whose words are in the name
            goes before longer ones.
        problem: beginning of the message about a name that means nothing.

    Raises:
        ConfigError: if a name means nothing, or several labels.

    >>> meant("wcfm kappa=.5", [("wcfm", "wcfm", 0), ("wcfm kappa=0.50 sigma=0.1", "wcfm", 1)], "no results of")
    [1]
    >>> meant("ln@1f2e3d4c steps=9", [("ln", "ln@1f2e3d4c steps=9", 0), ("ln", "ln@1f2e3d4c steps=90", 1)], "none of")
    [0]
    """
    first, asked = name.partition(" ")[0], _words(name)
    alike = [
        (label, full, each)
        for label, full, each in known
        if first in (label.split()[0], full.split()[0]) and asked - {"tuned"} <= _words(f"{label} {full}")
    ]
    found: dict[str, list[T]] = defaultdict(list)
    for label, _, each in alike:
        if label.endswith(TUNED_END) == ("tuned" in asked):
            found[label].append(each)
    if not found:
        raise _missing(problem, name, alike or known)
    # The hash of a data file is a word of its label, but belongs to its name here.
    settings = {label: (OF_FILE.sub("", label) if "@" in first else label).partition(" ")[2] for label in found}
    whole = [label for label in found if _words(settings[label]) <= asked]
    labels = [max(whole, key=len)] if whole else [*found]
    if len(labels) > 1:
        raise ConfigError(f"'{name}' is ambiguous: {'; '.join(labels)}. Name one of them")
    return found[labels[0]]


def _missing(problem: str, name: str, known: Sequence[tuple[str, str, Any]]) -> ConfigError:
    """Return the error about a name that means nothing, which names the contents of its file if there are some."""
    first = name.partition(" ")[0]
    begun = any(first in (label.split()[0], full.split()[0]) for label, full, _ in known)
    contents = sorted({full.split()[0] for _, full, _ in known if full.startswith(f"{first.partition('@')[0]}@")})
    if begun or not contents:
        return unknown(problem, name, {label for label, *_ in known})
    only = " or ".join(f"'{each}'" for each in contents)
    return ConfigError(f"{problem} '{name}', only of {only}: name one of these contents of its file, or run it")


def _words(text: str) -> set[str | tuple[str, float]]:
    """Return the words of a label; numbers by their value."""
    words: set[str | tuple[str, float]] = set()
    for word in text.split():
        name, _, value = word.partition("=")
        try:
            words.add((name, float(value)))
        except ValueError:
            words.add(word)
    return words


def _without_hash(text: str, plain: set[str]) -> str:
    return _HASHED.sub(lambda found: found[1] if found[1] in plain else found[0], text)
