"""Suite files: TOML that states which models train on which data sets, with which settings and seeds.

A suite file of a track also states the trials of tuning: the settings of every candidate, and their seeds.
"""

import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le, MinLen
from pydantic import BaseModel, ConfigDict, Discriminator, Tag, TypeAdapter, ValidationError, model_validator

from genbench.errors import ConfigError, unknown
from genbench.settings import Settings, merge
from genbench.suites import FOLDER
from genbench.sweeps.user_files import component_name, metric_names
from genbench.validation import DISTINCT, explain

TUNED = ("model", "plan", "sample")
"""Sections whose settings may differ between candidates."""

FIRST_SEED = 100
"""Seed of the first trial of a candidate; reported seeds start from 0."""

Seeds = Annotated[list[Annotated[int, Ge(0)]], MinLen(1), DISTINCT]
Metrics = Annotated[list[str], DISTINCT]


class Table(BaseModel):
    """A table of a suite. Unknown keys are errors, except where they are the settings of a component."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _prepare(cls, table: Any) -> Any:
        if isinstance(table, str) and "name" in cls.model_fields:
            return {"name": table}
        if not isinstance(table, Mapping):
            return table
        for key in table:
            if key == "exclude" and "include" in cls.model_fields:  # the suggestion 'include' would mean the opposite
                raise ConfigError("there is no key exclude: write the cells that you want under include")
            if key not in cls.model_fields and cls.model_config["extra"] == "forbid":
                raise unknown("no key", key, cls.model_fields)
        if "metrics" in cls.model_fields and isinstance(table.get("metric"), str | list):
            raise ConfigError("metric has the settings of metrics: to name metrics, write metrics = [...]")
        return table


class Sections(Table):
    """Settings of a run that belong to none of its components."""

    plan: dict[str, Any] = {}
    sample: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    metric: dict[str, Any] = {}

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        plan = self.plan if isinstance(self.plan, dict) else {}
        return {"plan": plan, "sample": self.sample, "evaluation": self.evaluation, "metric": self.metric}


class Entry(Sections):
    """A component: its name, or a table with its name, its settings, and sections for this entry alone.

    A list in place of a single value makes a grid. A `plan` that is a name, or a list of names, is the setting of
    optimal-transport couplings, not a section.
    """

    model_config = ConfigDict(extra="allow")

    name: str
    plan: Annotated[
        Annotated[dict[str, Any], Tag("section")] | Annotated[str | list[str], Tag("setting")],
        Discriminator(lambda plan: "setting" if isinstance(plan, str | list) else "section"),
    ] = {}  # type: ignore[assignment]

    @property
    def settings(self) -> dict[str, Any]:
        named = {} if isinstance(self.plan, dict) else {"plan": self.plan}
        return (self.model_extra or {}) | named


CHOSEN = ".tuned.json"
"""Ending, in place of .toml, of the file beside a track that holds the settings which tuning chose."""

CHOICES = TypeAdapter(dict[str, dict[str, dict[str, Any]]])
"""{data set: {model: its tuned settings, empty if its defaults were best}}."""


class DataEntry(Entry):
    """A data set. `metrics` replaces the metrics of the suite."""

    metrics: Metrics | None = None


class ModelEntry(Entry):
    """A model. `seeds` replaces the seeds of the suite; a list in `sample` makes a grid of cells that share training.

    `trials` are the candidates of its tuning in a track, {section: {setting: list of values}}. `budgets` lists the
    steps of the budgets of a track at which the model is trained; by default all. A model that states `plan.steps = 0`
    is never trained, and its runs appear at every budget. `pace` multiplies the steps of every budget, to give methods
    equal time.
    """

    seeds: Seeds | None = None
    trials: dict[str, dict[str, Any]] = {}
    budgets: list[int] | None = None
    pace: Annotated[float, Ge(0.01), Le(100)] = 1.0

    def at(self, budget: "Budget") -> dict[str, Any] | None:
        """Return the settings of a budget for this model; None if the model does not have this budget."""
        if self.sections["plan"].get("steps") == 0:
            return {"plan": {"steps": 0}}
        if budget.steps not in (self.budgets or [budget.steps]):
            return None
        return {"plan": {"steps": self.paced(budget.steps)}}

    def paced(self, steps: int) -> int:
        """Return the number of steps for which this model needs as much time as others need for the given number."""
        return max(1, round(steps * self.pace))


class Include(Table):
    """Cells to add: a data set and a model, and their seeds.

    A data set that the suite also lists has the same sections and metrics as there, unless they are stated here.
    """

    dataset: DataEntry
    model: ModelEntry
    seeds: Seeds | None = None


class Budget(Table):
    """A number of training steps, and the seeds of every model at this budget.

    At a budget that is not `tuned`, the default settings stand in both tables of the track.
    """

    steps: Annotated[int, Ge(1)]
    seeds: Seeds
    tuned: bool = True


class Tuning(Table):
    """How the models of a track are tuned: the steps of every trial, and the trials of a candidate.

    `data` and `evaluation` are settings of the trials in place of the track's.
    """

    steps: Annotated[int, Ge(1)]
    seeds: Annotated[int, Ge(1)]
    data: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}


class Track(Table):
    """What makes a suite a track: the baseline of its effects, and its tuning. In a track, every model has every cell.

    The first metric of a data set is its headline metric, by which models are compared and tuned.
    """

    baseline: str
    tuning: Tuning


class Suite(Sections):
    """The contents of a suite file: every model on every data set with every seed; in a track, each budget has seeds.

    `stack` names the settings in which models that are trained as one ensemble may differ, such as ["seed", "kappa"].
    `chosen` is read from a file beside the track, see `CHOSEN`: {data set: {model: its tuned settings}}.
    """

    datasets: Annotated[list[DataEntry], MinLen(1), DISTINCT]
    models: Annotated[list[ModelEntry], MinLen(1), DISTINCT]
    metrics: Metrics | None = None
    seeds: Seeds = [0]
    include: list[Include] = []
    stack: list[str] = []
    budgets: list[Budget] = []
    track: Track | None = None
    chosen: dict[str, dict[str, dict[str, Any]]] = {}

    @model_validator(mode="after")
    def _is_whole(self) -> "Suite":
        """Refuse parts of a track elsewhere; in a track, seeds beside its budgets, and unequal models or trials."""
        if self.track is None:
            models = [*self.models, *(addition.model for addition in self.include)]
            if self.chosen or self.budgets or any(model.trials or model.budgets or model.pace != 1 for model in models):
                raise ValueError("trials, budgets, paces and chosen settings need a track: add [track]")
            return self
        if not self.budgets:
            raise ValueError("budgets: a track needs at least one")
        if "seeds" in self.model_fields_set:
            raise ValueError("seeds: every budget of a track has its own seeds: remove seeds")
        lengths = [budget.steps for budget in self.budgets]
        for model in self.models:
            if unknown_steps := set(model.budgets or ()).difference(lengths):
                raise ValueError(f"{model.name}.budgets: {min(unknown_steps)} is not among the budgets {lengths}")
            if model.trials and model.sections["plan"].get("steps") == 0:  # one run stands at tuned and other budgets
                raise ValueError(f"{model.name}.trials: a model with plan.steps=0 is not tuned: remove its trials")
        if not all(self.metrics if data.metrics is None else data.metrics for data in self.datasets):
            raise ValueError("metrics: name the metrics of the track, the headline metric first")
        if self.include or any(model.seeds for model in self.models):
            raise ValueError("a track trains all models on all data sets and seeds: remove include and seeds of models")
        tried = [(model.name, len(list(points(model.trials, what="trials")))) for model in self.models if model.trials]
        if tried and not any(budget.tuned for budget in self.budgets):
            raise ValueError("trials: no budget has tuned settings: remove the trials, or tuned = false at a budget")
        if len({number for _, number in tried}) > 1:
            counts = ", ".join(f"{name} has {number}" for name, number in tried)
            raise ValueError(f"trials: every model of a track needs the same number: {counts}")
        reported = {seed for budget in self.budgets for seed in budget.seeds}
        if seen := sorted(reported.intersection(range(FIRST_SEED, FIRST_SEED + self.track.tuning.seeds))):
            raise ValueError(f"seeds: tuning uses seed {seen[0]}, and reported seeds must differ: count from 0")
        return self


def read(path: Path) -> Suite:
    """Read a suite file and, for a track, its chosen settings.

    Raises:
        ConfigError: if the file is not a suite, or names an unknown component.
    """
    try:
        contents, chosen = tomllib.loads(path.read_text(encoding="utf-8-sig")), path.with_suffix(CHOSEN)
        if "track" in contents and chosen.exists():
            contents["chosen"] = _chosen(chosen)
        suite = Suite.model_validate(contents)
    except RecursionError as error:
        raise ConfigError(f"{path} is not a suite: it is nested too deeply") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: save it as UTF-8 (byte {error.start})") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error)}") from error
    except ValueError as error:
        raise error if isinstance(error, ConfigError) else ConfigError(f"{path} is not TOML: {error}") from error
    try:
        return _with_components(suite, folder_of(path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _chosen(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Read the settings that tuning chose for a track."""
    try:
        return CHOICES.validate_json(path.read_bytes(), strict=True)
    except (OSError, ValidationError) as error:
        raise ConfigError(f"{path} does not hold settings chosen by tuning: {explain(error)}") from error


def folder_of(path: Path) -> Path:
    """Return the folder to which paths in a suite are relative: its own; for suites of genbench, the working folder."""
    return Path() if path.parent == FOLDER else path.parent


def _with_components(suite: Suite, folder: Path) -> Suite:
    """Return a suite in which names of components replace files relative to its folder; check these names."""

    def named(kind: str, part: Entry) -> Entry:
        name, found = component_name(kind, part.name, folder)
        if twice := found.keys() & part.settings.keys():
            raise ConfigError(f"{part.name} already states the {twice.pop()}: remove that setting")
        own = {"metrics": metric_names(part.metrics, folder)} if isinstance(part, DataEntry) else {}
        return part.model_copy(update={"name": name, **found, **own})

    return with_entries(suite, named).model_copy(update={"metrics": metric_names(suite.metrics, folder)})


def with_entries(suite: Suite, change: Callable[[str, Any], Any]) -> Suite:
    """Return the suite with each entry replaced by change(kind of component, entry)."""
    include = [
        {"dataset": change("datasets", part.dataset), "model": change("models", part.model)} for part in suite.include
    ]
    return suite.model_copy(
        update={
            "datasets": [change("datasets", part) for part in suite.datasets],
            "models": [change("models", part) for part in suite.models],
            "include": [part.model_copy(update=own) for part, own in zip(suite.include, include, strict=True)],
        }
    )


def points(
    over: Settings, method: str = "", methods: Collection[str] = (), what: str = "--over"
) -> Iterator[dict[str, Any]]:
    """Yield the settings of every candidate of a method: every combination of the given values.

    Args:
        over: {section: {name: list of values}}; a section may be the name of a method, for its model settings alone.
        methods: names that sections may have.
        what: name of the values in messages.

    Raises:
        ConfigError: if values are not lists.
    """
    for section in over:
        if section not in (*TUNED, *methods):
            raise unknown(f"{what}: there is nothing to tune in", section, [*TUNED, *methods])
    axes = []
    for section, table in over.items():
        if section in (*TUNED, method):
            axes += _axes(("model" if section == method else section,), f"{what} {section}", table)
    yield from (merge(*combination) for combination in product(*axes))


def _axes(path: tuple[str, ...], written: str, value: Any) -> Iterator[list[dict[str, Any]]]:
    """Yield, for each list of values in nested settings, the nested settings with each of its values."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _axes((*path, name), f"{written}.{name}", part)
    elif isinstance(value, list) and value:
        yield [_nested(path, item) for item in value]
    else:
        raise ConfigError(f"{written}={value}: write a list of values, as in {written}=[1, 2]")


def _nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    return {path[0]: value if len(path) == 1 else _nested(path[1:], value)}
