"""Trainings of a few steps, whole and interrupted."""

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
