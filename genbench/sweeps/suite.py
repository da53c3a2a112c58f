"""Suites: a TOML file that says which models meet which data sets, with which settings and seeds."""

import itertools
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.errors import ConfigError, unknown
from genbench.registry import Registry, datasets, models
from genbench.runs.spec import SECTIONS, Spec, resolve, sampler
from genbench.settings import Settings, bind, merge
from genbench.sweeps.ensembles import together

KEYS = (
    *("datasets", "models", "metrics", "seeds", "plan", "sample", "evaluation", "metric"),
    *("include", "exclude", "stack"),
)


@dataclass(frozen=True)
class Suite:
    """The cells of a sweep, in the order of its tables.

    Args:
        name: the file's name without its ending; tables are called by it.
        specs: one run a cell.
    """

    name: str
    specs: list[Spec]


def load(path: Path, settings: Settings | None = None) -> Suite:
    """Read a suite and check every cell of it.

    Args:
        path: the TOML file.
        settings: nested by section, laid over those of every cell.

    An entry of `datasets` or `models` is a name, or a table of a name, settings of the component and, if wanted,
    tables `plan`, `sample`, `evaluation`, `metric` (and a data set's own list `metrics`, a model's own list `seeds`)
    that hold for this entry. A list where the setting wants a single value makes a grid, in the `sample` of a model
    too: its cells share what is trained.

    `exclude` drops the cells that are like one of its tables, such as `{ model = "wcfm", dataset = "moons" }` or
    `{ model = { name = "wcfm", kappa = 0.5 }, seed = [3, 4] }`. `include` adds cells: tables of a `dataset` and a
    `model`, written as above, and their `seeds`.

    `stack` names what may differ between models that are trained as one, such as `["seed", "kappa"]`: cells that are
    otherwise alike form a stack, where the model is small enough for that to pay.

    Raises:
        ConfigError: if it is no suite, with the key that is wrong.
    """
    try:
        text = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"no suite at {path}: {getattr(error, 'strerror', None) or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error
    try:
        return Suite(path.stem, _cells(text, settings or {}))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _cells(text: Mapping[str, Any], over: Settings) -> list[Spec]:
    for key in text:
        if key not in KEYS:
            raise unknown("a suite has no key", key, KEYS)
    for key in ("datasets", "models"):
        if not isinstance(text.get(key), list) or not text[key]:
            raise ConfigError(f"a suite needs '{key}': a list of names or of tables with a name")
    cells = _once(_product_of(text, text["datasets"], text["models"], over))
    for number, condition in enumerate(_tables(text, "exclude", ("dataset", "model", "seed"))):
        kept = [spec for spec in cells if not _matches(spec, condition)]
        if len(kept) == len(cells):
            raise ConfigError(f"exclude: no cell is like number {number + 1}, {condition}")
        cells = kept
    for addition in _tables(text, "include", ("dataset", "model", "seeds")):
        if "dataset" not in addition or "model" not in addition:
            raise ConfigError(f"include: {addition} needs a dataset and a model")
        own = {**text, "seeds": addition.get("seeds", text.get("seeds", [0]))}
        added = _product_of(own, [addition["dataset"]], [addition["model"]], over)
        cells = _once([*cells, *added])
    if not cells:
        raise ConfigError("no cell is left: exclude drops all of them")
    names = text.get("stack", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f'stack: {names!r} is wrong: write what may differ, such as ["seed"]')
    return together(cells, names) if names else cells


def _once(specs: Iterable[Spec]) -> list[Spec]:
    """Return each cell once, however often and in whatever spelling the suite names it."""
    found: dict[str, Spec] = {}
    for spec in specs:
        found.setdefault(json.dumps(spec.json(), sort_keys=True), spec)
    return list(found.values())


def _product_of(
    text: Mapping[str, Any], data_entries: Iterable[Any], model_entries: Iterable[Any], over: Settings
) -> Iterator[Spec]:
    """Yield the cells in which each data set meets each model, for each seed."""
    shared = {key: text[key] for key in ("plan", "sample", "evaluation", "metric") if key in text}
    chosen_data = [grid for entry in data_entries for grid in _grid(datasets, entry, "data")]
    chosen_models = [grid for entry in model_entries for grid in _grid(models, entry, "model")]
    for (dataset, data_settings), (model, model_settings) in itertools.product(chosen_data, chosen_models):
        names = data_settings.get("metrics") or text.get("metrics")
        if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ConfigError(f"metrics: {names!r} is wrong: write a list of names")
        seeds = model_settings.get("seeds", text.get("seeds", [0]))
        if not isinstance(seeds, list) or not seeds:
            raise ConfigError(f"seeds: {seeds!r} is wrong: write a list such as [0, 1, 2]")
        parts = ({key: part for key, part in own.items() if key in SECTIONS} for own in (data_settings, model_settings))
        settings = merge(shared, *parts, over)
        for seed in seeds:
            yield resolve(model, dataset, seed=seed, metrics=names, settings=settings)


def _tables(text: Mapping[str, Any], key: str, known: Sequence[str]) -> list[Mapping[str, Any]]:
    tables = text.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) and table for table in tables):
        raise ConfigError(f"{key}: {tables!r} is wrong: write a list of tables with {', '.join(known)}")
    for name in (name for table in tables for name in table):
        if name not in known:
            raise unknown(f"{key} has no key", name, known)
    return tables


def _matches(spec: Spec, condition: Mapping[str, Any]) -> bool:
    """Return whether all that a condition names is so: names and settings, of which a list means any of its values."""
    parts = {"dataset": spec.data, "model": spec.model, "seed": {"name": spec.seed}}
    for key, wanted in condition.items():
        table = wanted if isinstance(wanted, Mapping) else {"name": wanted}
        for name, value in table.items():
            found = parts[key].get(name)
            if found != value and not (isinstance(value, list) and found in value):
                return False
    return True


def _grid(registry: Registry, entry: Any, section: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (name, nested settings) for every combination of an entry's lists."""
    table = {"name": entry} if isinstance(entry, str) else dict(entry) if isinstance(entry, Mapping) else {}
    name = table.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"{section}s: {entry!r} is wrong: write a name, or a table with a name")
    kept: dict[str, Any] = {key: table.pop(key) for key in SECTIONS if key in table}
    of_entry = {"data": "metrics", "model": "seeds"}[section]
    if of_entry in table:
        kept[of_entry] = table.pop(of_entry)
    component = registry[name]
    chosen = list(_product(component.build, name, table))
    sampled: list[dict[str, Any]] = [{}]
    if section == "model" and isinstance(kept.get("sample"), Mapping):
        sampled = [{"sample": own} for own in _product(sampler(component), name, kept["sample"])]
    for own, sample in itertools.product(chosen, sampled):
        yield name, kept | {section: own} | sample


def _product(build: Any, name: str, table: Settings) -> Iterator[dict[str, Any]]:
    """Yield the settings of every combination of a table's lists."""
    axes = [[(key, item) for item in _choices(build, name, table, key)] for key in table]
    yield from (dict(combination) for combination in itertools.product(*axes))


def _choices(build: Any, name: str, table: Settings, key: str) -> list[Any]:
    """Return the values of one setting: a list is one value where the setting takes lists, and a grid elsewhere."""
    value = table[key]
    if not isinstance(value, list):
        return [value]
    if not value:
        raise ConfigError(f"{name}.{key}: [] is wrong: a grid needs a value")
    # An encoder is no setting of the builder: it stands between the model and the data.
    scalars = {k: v for k, v in table.items() if not isinstance(v, list) and k != "encoder"}
    try:
        bind(build, {**scalars, key: value}, name)
    except ConfigError:
        return value
    return [value]
