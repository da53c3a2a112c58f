"""Specs: a run as plain JSON with every default filled in, and the hashes by which it is known."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from functools import cached_property, lru_cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from genbench.core import Data, Event
from genbench.metrics.sampling import Sampling
from genbench.registry import Registry, datasets, encoders, metrics, models
from genbench.runs.component import (
    cached_across_seeds,
    component,
    differing,
    identity,
    label,
    model_class,
    nested_label,
    sampler,
)
from genbench.runs.record_types import Component, Kind, Seed, Stack
from genbench.settings import (
    Nested,
    Settings,
    bind,
    build_component,
    settings_in,
    settings_of,
    typed,
)
from genbench.training.plan import VERSION, Plan

ENCODER = Nested(encoders, optional=True)
"""The setting `encoder`, which every model has."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Spec:
    """All that determines a run.

    Args:
        data: name, version and settings of the data set.
        model: name, version and settings of the model, or of the encoder that is trained.
        plan: fields of `genbench.training.plan.Plan`.
        sample: options of the model's `sample`.
        evaluation: fields of `genbench.metrics.sampling.Sampling`.
        metrics: {name: version and settings}.
        encoder: name, version and settings of the encoder, for a model of latents.
        stack: the models that are trained as one, this one included: seed, and settings in which they differ.
        kind: what is trained. An encoder has no plan, samples or metrics; its settings describe its training.
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

    def json(self) -> dict[str, Any]:
        """Return the spec as plain JSON, whose parts are those of the spec."""
        usual = {"encoder": None, "stack": None, "kind": "model"}
        parts = ((field.name, getattr(self, field.name)) for field in fields(self))  # type: ignore[arg-type]
        return {name: part for name, part in parts if name not in usual or part != usual[name]}

    @cached_property
    def text(self) -> str:
        """Everything but the seed and the metrics, as text."""
        parts = [self.kind, self.data, self.model, self.encoder, self.stack, self.plan, self.sample, self.evaluation]
        return json.dumps(parts, sort_keys=True)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by section, as a request for this run has them."""
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
            yield "sample", sampler(models[self.model["name"]]), self.sample
        for member in self.stack or ():
            yield "stack", self.registry[self.model["name"]].build, member
        for name, part in self.metrics.items():
            yield f"metric.{name}", metrics[name].build, part

    @cached_property
    def prerequisites(self) -> dict[str, "Spec"]:
        """The runs that must be trained before this one, by the names that `Trainable.learn_from` knows them by."""
        needed = {}
        if self.encoder is not None:
            needed["encoder"] = encoder_spec(self.data, self.encoder)
        teacher = self.registry[self.model["name"]].traits.get("teacher")
        if teacher is not None:
            known = settings_of(models[teacher].build)
            inherited = {setting: value for setting, value in settings_in(self.model).items() if setting in known}
            event = latent_event(self.encoder, build_data(self.data).event)
            sampled_alike = model_class(models[teacher]).sample is model_class(models[self.model["name"]]).sample
            sample = self.sample if sampled_alike else bind(sampler(models[teacher]), {}, "sample")
            model = component(models, teacher, inherited, context=event)
            needed["teacher"] = replace(self, model=model, sample=sample, metrics={})
        return needed

    @property
    def members(self) -> list["Spec"]:
        """The specs that are trained together with this one, in the order of its stack; itself where there is none."""
        members = self.stack or [{"seed": self.seed}]
        return [replace(self, seed=m["seed"], model=self.model | {n: m[n] for n in m if n != "seed"}) for m in members]

    @cached_property
    def train_key(self) -> str:
        """Hash of what determines the trained model: values equal to their defaults do not count."""
        parts = self._identities | ({"seed": self.seed} if self.kind == "model" else {})
        if "teacher" in self.prerequisites:
            parts["teacher"] = self.prerequisites["teacher"].train_key
        return _hash(parts)

    @cached_across_seeds
    def _identities(self) -> dict[str, Any]:
        """What determines the trained model beside the seed and the teacher."""
        parts = {
            "data": identity(datasets, self.data) | _content(self.data),
            self.kind: identity(self.registry, self.model),
            "train": VERSION,
        }
        if self.kind == "model":
            parts["plan"] = differing(Plan, self.plan)
        if self.encoder is not None:
            parts["encoder"] = identity(encoders, self.encoder)
        if self.stack:
            parts["stack"] = self.stack
        return parts

    @cached_across_seeds
    def evaluation_key(self) -> str:
        """Hash of how its samples are drawn; metrics have their own versions in the record."""
        return _hash({"sample": self._chosen_options, "evaluation": differing(Sampling, self.evaluation)})

    @property
    def _chosen_options(self) -> dict[str, Any]:
        """The sampling options that are not defaults."""
        return differing(sampler(models[self.model["name"]]), self.sample) if self.kind == "model" else {}

    @cached_across_seeds
    def model_label(self) -> str:
        """The model and its settings that are not defaults, as tables call it."""
        extra, event = self._chosen_options, build_data(self.data).event
        if self.encoder is not None:
            extra = {"encoder": nested_label(ENCODER, self.encoder, None, event)} | extra
        return label(self.registry, self.model, extra, context=latent_event(self.encoder, event))

    @cached_across_seeds
    def data_label(self) -> str:
        """The name of the data set in tables, with settings that are not defaults; paths are shown by their hash."""
        text, content = label(datasets, self.data, hidden=("path",)), _content(self.data)
        kind = "images" if build_data(self.data).event.is_image else "file"
        return f"{text} {kind}={content['path'][:8]}" if content else text


SPEC = TypeAdapter(Spec)

REGISTRIES = {"model": models, "encoder": encoders}


def encoder_spec(data: Component, encoder: Component) -> Spec:
    """Return the spec of an encoder, whose weights all models and seeds of a data set share."""
    return Spec(data, encoder, plan={}, sample={}, evaluation={}, metrics={}, seed=0, kind="encoder")


def build_data(spec: Mapping[str, Any]) -> Data:
    """Build a data set from its part of a spec; the same part gives the same object within a process."""
    return _build_data(json.dumps(spec, sort_keys=True))


@lru_cache(maxsize=8)
def _build_data(text: str) -> Data:
    return build_component(datasets, json.loads(text))


def latent_event(encoder: Mapping[str, Any] | None, event: Event) -> Event:
    """Return the event that a model is built for: that of the data, or of the latents of an encoder."""
    if encoder is None:
        return event
    shape = encoders[encoder["name"]].traits["shape"](event, settings_in(encoder))
    return replace(event, shape=shape, bin=0.0)


def _content(part: Mapping[str, Any]) -> dict[str, Any]:
    """Paths are hashed by content."""
    if part.get("path") is None:
        return {}
    return {"path": build_data(part).provenance["sha256"]}


def _hash(parts: Mapping[str, Any]) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def plan_of(spec: Spec) -> Plan:
    """Return the plan of a spec."""
    return Plan(**typed(Plan, spec.plan))


def sampling_of(spec: Spec) -> Sampling:
    """Return the sampling of a spec's evaluation."""
    return Sampling(**typed(Sampling, spec.evaluation))
