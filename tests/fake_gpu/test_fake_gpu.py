"""genbench on a CUDA device that needs no GPU: README.md says what that proves, and what it cannot see."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fake_gpu import library, measures, models, parts
from fake_gpu.expectations import violations
from fake_gpu.proof import SMALL
from genbench.registry import couplings, datasets, encoders, extractors, metrics, nets, texts
from genbench.registry import models as model_registry
from genbench.runs.make_spec import make_spec
from genbench.settings import merge

ROOT = Path(__file__).parents[2]
NEEDS_MORE = {
    "reconstruction_fd": "parts: the case of a tuned decoder",
    "cifar10-8x8x8": "parts.photographs, which writes images of 32x32 pixels",
    "diffusers": "parts.pretrained, which writes its files",
    "transformers": "parts.pretrained, which writes its files",
}
"""Components that a case below proves, whose spec cannot be made here."""

needs_device = pytest.mark.skipif(library.unavailable() is not None, reason=str(library.unavailable()))


def prove(groups):
    env = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "TORCH_CPP_LOG_LEVEL": "ERROR"}
    command = [sys.executable, "-W", "ignore", "-m", "fake_gpu.prove", groups]
    done = subprocess.run(command, env=os.environ | env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = {each["case"]: violations(each) for each in found}
    assert not any(wrong.values()), json.dumps({name: lines for name, lines in wrong.items() if lines}, indent=1)


# Each half of this file goes to a process of xdist, from which no other takes the last test: one proof in each.
@needs_device
@pytest.mark.slow
def test_on_the_device_trainings_and_measures_are_what_they_are_on_the_cpu():
    prove("trainings,measures")


@needs_device
@pytest.mark.slow
def test_on_the_device_models_and_their_parts_are_what_they_are_on_the_cpu():
    prove("rules,models,parts")


def test_every_component_of_genbench_is_proven(monkeypatch):
    for name in datasets:
        assert datasets[name]  # modules register theirs once, and not in the copy
    monkeypatch.setattr(datasets, "_entries", dict(datasets._entries))
    cases = [*models.vectors(), *models.images(), *parts.couplings(), *parts.networks(), *parts.samplers()]
    cases += [*parts.datasets(), *parts.latents()]
    proven = {*measures.components(), *NEEDS_MORE}
    for case in cases:
        spec = make_spec(case.model, case.data, metrics=case.metrics, settings=merge(SMALL, case.settings))
        proven |= set(names(spec.json()))
    kinds = (model_registry, couplings, nets, encoders, texts, metrics, extractors)
    assert {name for kind in kinds for name in kind if str(kind.module(name)).startswith("genbench.")} <= proven


def names(part):
    """Yield the names of all components in a spec."""
    if isinstance(part, dict):
        if "version" in part:
            yield part["name"]
        for value in part.values():
            yield from names(value)
