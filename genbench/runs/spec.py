"""Specs: a run as plain JSON with every default filled in, and the hashes by which it is known."""

import hashlib
import json
import re
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from genbench.core import Data, Event
from genbench.data.splits import BLOCK, REMEMBERED
from genbench.errors import ConfigError
from genbench.metrics.sampling import Sampling
from genbench.registry import Registry, datasets, encoders, metrics, models
from genbench.runs.component import (
    component,
    differing,
    identity,
    known_by_content,
    label,
    model_class,
    nested_label,
    sampler,
)
from genbench.runs.record_types import Component, Kind, Seed, Stack
from genbench.settings import Nested, Settings, bind, build_component, settings_in, settings_of, typed
from genbench.storage import content_hash, files
from genbench.training.plan import Plan, training_version

KEPT = 2**29
"""Largest total size in bytes of the data sets that stay in memory besides the latest one."""

_built: dict[tuple[str, str], Data] = {}
"""The data sets that stay in memory, the latest last."""

ENCODER = Nested(encoders, optional=True)
"""The setting `encoder`, which every model has."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Spec:
    """All that determines a run.

    Args:
        data: name, version and settings of the data set.
        model: name, version and settings of the model, or of the encoder if an encoder is trained.
        plan: fields of `genbench.training.plan.Plan`.
        sample: options of the model's `sample`.
        evaluation: fields of `genbench.metrics.sampling.Sampling`.
        metrics: {name: version and settings}.
        encoder: name, version and settings of the encoder, for a model of latents.
        stack: the seed and the differing settings of each member of the ensemble, this model included.
        kind: what is trained. An encoder has no plan, samples or metrics; its settings describe its training.
        content: sha256 of the data file when the run was requested. The JSON names the file and omits the sha256.
    """

    data: Component
    model: Component
    plan: dict[str, Any]
    sample: dict[str, Any]
    evaluation: dict[str, Any]
    metrics: dict[str, Component]
    seed: Seed
    encoder: Component | None = None
    stack: Stack | None = None
    kind: Kind = "model"
    content: str | None = None

    def json(self) -> dict[str, Any]:
        """Return the spec as plain JSON, without copying its parts."""
        usual = {"encoder": None, "stack": None, "kind": "model", "content": self.content}
        parts = ((field.name, getattr(self, field.name)) for field in fields(self))  # type: ignore[arg-type]
        return {name: part for name, part in parts if name not in usual or part != usual[name]}

    def check_files(self) -> None:
        """Raise ConfigError if a file that settings of the model name has changed since this spec was made."""
        now = replace(self)
        if (now.train_key, now.evaluation_key) != (self.train_key, self.evaluation_key):
            raise ConfigError(
                f"{self.model_label}: a file in its settings has changed since the run was requested: run it again"
            )

    def build_data(self) -> Data:
        """Build the data set. Raises ConfigError if its file has changed since the run was requested."""
        return build_data(self.data, self.content)

    @cached_property
    def _content(self) -> dict[str, Any]:
        """The hash of the content of the data file, which replaces its path in keys."""
        sha256 = self.content or content_of(self.data)
        return {"path": sha256} if sha256 else {}

    @cached_property
    def event(self) -> Event:
        return self.build_data().event

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by section, as in a request for this run."""
        return {
            "data": settings_in(self.data),
            "model": settings_in(self.model) | ({"encoder": self.encoder} if self.encoder is not None else {}),
            "plan": self.plan,
            "sample": self.sample,
            "evaluation": self.evaluation,
            "metric": {name: settings_in(part) for name, part in self.metrics.items()},
        }

    @property
    def registry(self) -> Registry:
        """The registry of what is trained."""
        return REGISTRIES[self.kind]

    def parts(self) -> Iterator[tuple[str, Callable, Settings]]:
        """Yield the name, the builder and the settings of each component, and of the sampling options."""
        yield "data", datasets[self.data["name"]].build, self.data
        yield self.kind, self.registry[self.model["name"]].build, self.model
        if self.encoder is not None:
            yield "encoder", encoders[self.encoder["name"]].build, self.encoder
        if self.kind == "model":
            yield "sample", self._options, self.sample
        for member in self.stack or ():
            yield "stack", self.registry[self.model["name"]].build, member
        for name, part in self.metrics.items():
            yield f"metric.{name}", metrics[name].build, part

    @cached_property
    def prerequisites(self) -> dict[str, "Spec"]:
        """The runs that must be trained before this one, under the names that `Trainable.learn_from` expects."""
        needed = {}
        if self.encoder is not None:
            needed["encoder"] = encoder_spec(self.data, self.encoder, self.content)
        teacher = self.registry[self.model["name"]].traits.get("teacher")
        if teacher is not None:
            known = settings_of(models[teacher].build)
            inherited = {setting: value for setting, value in settings_in(self.model).items() if setting in known}
            event = latent_event(self.encoder, self.event)
            sampled_alike = model_class(models[teacher]).sample is model_class(models[self.model["name"]]).sample
            sample = self.sample if sampled_alike else bind(sampler(models[teacher]), {}, "sample")
            model = component(models, teacher, inherited, context=event)
            needed["teacher"] = replace(self, model=model, sample=sample, metrics={})
        return needed

    @property
    def members(self) -> list["Spec"]:
        """The specs that are trained together with this one, in the order of its stack; this spec alone without one."""
        members = self.stack or [{"seed": self.seed}]
        return [replace(self, seed=m["seed"], model=self.model | {n: m[n] for n in m if n != "seed"}) for m in members]

    @cached_property
    def train_key(self) -> str:
        """Hash of what determines the trained model: values equal to their defaults do not count."""
        parts = {
            "data": identity(datasets, self.data) | self._content,
            self.kind: identity(self.registry, self.model),
            "train": training_version(self.plan),
        }
        if self.kind == "model":
            parts |= {"plan": differing(Plan, self.plan), "seed": self.seed}
        if self.encoder is not None:
            parts["encoder"] = identity(encoders, self.encoder)
        if self.stack:
            parts["stack"] = self.stack
        if "teacher" in self.prerequisites:
            parts["teacher"] = self.prerequisites["teacher"].train_key
        return _hash(parts)

    @cached_property
    def evaluation_key(self) -> str:
        """Hash of how samples are drawn and measured; the record states the versions of metrics."""
        sample = known_by_content(self._options, self.sample, "sample")
        return _hash({"sample": sample, "evaluation": differing(Sampling, self.evaluation)})

    @property
    def _options(self) -> Callable:
        """The schema of the sampling options."""
        return sampler(models[self.model["name"]]) if self.kind == "model" else lambda: None

    @cached_property
    def model_label(self) -> str:
        """The label of the model in tables: its name and the settings that are not defaults."""
        extra = differing(self._options, self.sample)
        if released := self.plan.get("released"):
            extra = {"released": released[:8]} | extra
        if self.encoder is not None:
            extra = {"encoder": nested_label(ENCODER, self.encoder, None, self.event)} | extra
        return label(self.registry, self.model, extra, context=latent_event(self.encoder, self.event))

    @cached_property
    def data_label(self) -> str:
        """The name of the data set in tables, with settings that are not defaults; paths are shown by their hash."""
        text = label(datasets, self.data, hidden=("path",))
        if not self._content:
            return text
        return f"{text} {'images' if self.event.is_image else 'file'}={self._content['path'][:8]}"


SPEC = TypeAdapter(Spec)

REGISTRIES = {"model": models, "encoder": encoders}


OF_DATA = re.compile(r"\.(csv|npy|npz|parquet|zip|tgz|tbz2|txz|tar(\.\w+)?)$")
"""File extensions of data files."""


READERS = ("points", "folder")
"""Data sets of genbench that are always a file or a folder of the user, whose name stands in place of theirs."""


def own_data_name(data: Mapping[str, Any]) -> str:
    """Return the name of a data set that is a file or a folder, without its extension; empty for other data sets.

    >>> own_data_name({"name": "points", "path": "data/people.csv"}), own_data_name({"name": "moons"})
    ('people', '')
    """
    if data["name"] not in READERS or not data.get("path"):
        return ""
    name = OF_DATA.sub("", Path(data["path"]).name)
    return re.sub(r"[^\w.-]+", "-", name)


def without_folders(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec as plain JSON in which all paths are cut to their last part."""
    paths = {Path(kept["data"]["path"])} if kept["data"].get("path") else set()
    with suppress(
        ValueError, RuntimeError
    ):  # of a component that is not installed here, only absolute paths are recognized
        for _, builder, part in SPEC.validate_python(kept).parts():
            paths |= {path for _, path in content_hash.paths_in(builder, part)}

    return cut_paths(kept, paths)


def cut_paths(value: Any, paths: Container[Path] = ()) -> Any:
    """Return plain JSON in which absolute paths, and the given ones, are cut to their last part."""
    if isinstance(value, Mapping):
        return {name: cut_paths(item, paths) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [cut_paths(item, paths) for item in value]
    if isinstance(value, str) and (value.startswith(("/", "~/")) or Path(value) in paths):
        return Path(value).name
    return value


def encoder_spec(data: Component, encoder: Component, content: str | None) -> Spec:
    """Return the spec of an encoder, whose weights all models and seeds of a data set share."""
    nothing: dict[str, Any] = {"plan": {}, "sample": {}, "evaluation": {}, "metrics": {}}
    return Spec(data, encoder, **nothing, seed=0, kind="encoder", content=content)


def build_data(part: Mapping[str, Any], content: str | None = None) -> Data:
    """Build a data set from its part of a spec; the same part and file give the same object within a process.

    Args:
        content: sha256 that the file must have; None for any.

    Raises:
        ConfigError: if the file has another content.
    """
    path, stamp = part.get("path"), ""
    with suppress(OSError, TypeError, ValueError):  # the data set refuses a path that cannot be read
        stamp = content_hash.stamp(files.expanded(path)) if path is not None else ""
    data = _build_data(json.dumps(part, sort_keys=True), stamp)
    if content is not None and content_of(part) != content:
        raise ConfigError(f"{path} has changed since the run was requested: run it again")
    return data


def _build_data(text: str, stamp: str) -> Data:
    """Build a data set whose file has this stamp, unless it is among the latest ones that fit into KEPT."""
    data = _built.pop((text, stamp), None)
    if data is None:
        data = build_component(datasets, json.loads(text))
    _built[text, stamp] = data
    while len(_built) > 1 and sum(map(_size, _built.values())) > KEPT:
        del _built[next(iter(_built))]
    return data


def _size(data: Data) -> int:
    """Estimate the bytes of the samples that a data set may hold: one for a number of an image, else four."""
    if data.train.size is None:
        return 4 * BLOCK * REMEMBERED
    samples = sum(split.size or 0 for split in (data.train, data.valid, data.test))
    return samples * data.event.dims * (1 if data.event.bin else 4)


def content_of(data: Mapping[str, Any]) -> str | None:
    """Return the sha256 of the file or folder that the setting `path` of a data set names; None without one."""
    return None if data.get("path") is None else content_hash.remembered(files.expanded(data["path"]))


def latent_event(encoder: Mapping[str, Any] | None, event: Event) -> Event:
    """Return the event that a model is built for: the data or the latents of an encoder."""
    if encoder is None:
        return event
    shape = encoders[encoder["name"]].traits["shape"](event, settings_in(encoder))
    return replace(event, shape=shape, bin=0.0)


def _hash(parts: Mapping[str, Any]) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def plan_of(spec: Spec) -> Plan:
    """Return the plan of a spec."""
    return Plan(**typed(Plan, spec.plan))


def sampling_of(spec: Spec) -> Sampling:
    """Return the sampling of a spec's evaluation."""
    return Sampling(**typed(Sampling, spec.evaluation))
