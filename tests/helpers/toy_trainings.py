"""Trainings of a few steps, whole and interrupted."""

import math
from itertools import count

import torch

from genbench.models.build import build_model
from genbench.runs.make_spec import make_spec
from genbench.runs.spec import build_data, plan_of
from genbench.training.loop import fit
from genbench.training.process_group import start_group


class Stop(Exception):
    """Ends a training where a test says."""


def stop_at(last, error=Stop):
    """Return a progress callback that ends the training at a step."""

    def progress(step, steps, logs):
        if step == last:
            raise error

    return progress


def spoil(model, at):
    """Let the loss of a step be NaN."""
    inner, steps = model.draw, count(1)

    def draw(batch, generator):
        example = inner(batch, generator)
        return example._replace(weight=example.weight * (math.nan if next(steps) == at else 1.0))

    model.draw = draw


def cell(seed=0, threads=1, sample=None, **plan):
    """Return the spec of a run of three steps on moons."""
    plan = {"steps": 3, "batch_size": 8, "threads": threads} | plan
    settings = {"plan": plan, "evaluation": {"n": 16, "curve": []}, "sample": sample or {}}
    return make_spec("cfm", "moons", seed=seed, metrics=["nfe"], settings=settings)


def start(model="cfm", dataset="moons", settings=None, **plan):
    """Return a fresh model, its data and its plan."""
    spec = make_spec(model, dataset, metrics=[], settings={"plan": plan, "model": settings or {}})
    data = build_data(spec.data)
    torch.manual_seed(0)
    return build_model(spec.model, spec.encoder, data), data, plan_of(spec)


def train(model="cfm", dataset="moons", settings=None, progress=None, folder=None, run="", save_every=60.0, **plan):
    """Return a model trained by the plan."""
    built, data, bound = start(model, dataset, settings, **plan)
    kept = {"folders": [folder] if folder else [], "run": run, "save_every": save_every}
    return fit(built, data, bound, start_group("cpu"), seed=0, progress=[progress] if progress else [], **kept)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])
