"""Trainings that are interrupted and resumed, ensembles, one graph for each compiled model, two processes."""

import os
import socket
import tempfile
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fake_gpu.models import FEW_STEPS, SETTINGS, TRANSFORMERS
from fake_gpu.proof import EXACT, SMALL, TINY, TWICE, UNET, Case, Cases, Numbers, check, compare, difference, reason
from genbench.core import Model
from genbench.runs.make_spec import make_spec
from genbench.runs.spec import build_data, plan_of
from genbench.runs.train_or_resume import build_untrained
from genbench.settings import merge
from genbench.training.ensemble import Ensemble
from genbench.training.loop import fit
from genbench.training.process_group import Group

INTERRUPTED = {
    "wcfm": ("8gaussians", {"normalizer": "running"}),
    "wcfm-balanced": ("8gaussians", {"reference": 64}),
    "otcfm": ("8gaussians", {"pool": 2}),
    "shortcut": ("8gaussians", {}),
    "cfm": ("digits", {"net": TINY | {"dropout": 0.2}}),
}
"""Models with a state beside their weights, or with dropout: {model: (data set, settings)}."""

WHOLE = ("cfm", "consistency", "meanflow")
"""Models that are compiled with a whole U-Net: its loss, its loss without a gradient, its derivative in time."""


def cases() -> Cases:
    yield from together()
    for model, (data, settings) in INTERRUPTED.items():
        name = f"{model} resumed"
        yield name, partial(check, name, partial(resumed, model, data, settings))
    yield "ensemble", partial(compare, "ensemble", ensemble)
    for model in ("cfm", "wcfm", "eotcfm", *FEW_STEPS, *TRANSFORMERS, "drifting", "nsf"):  # others share cfm's loss
        name = f"{model} compiled"
        yield name, partial(check, name, partial(one_graph, model))


class Interrupted(Exception):
    """Ends a training in its middle."""


def resumed(model: str, data: str, settings: dict[str, Any]) -> None:
    """Assert that an interrupted training ends with the weights of a whole one, bit for bit."""
    plan = {"steps": 24, "ema": 0.9, "eval_every": 1}
    spec = make_spec(model, data, metrics=["nfe"], settings=merge(SMALL, {"model": settings, "plan": plan}))

    def train(folder: Path, stop: int = 0) -> dict[str, torch.Tensor]:
        def interrupt(step: int) -> None:
            if step == stop:
                raise Interrupted

        kept = {"folders": [folder], "run": "x", "evaluate": interrupt, "save_every": -1.0}
        built = build_untrained(spec, build_data(spec.data))
        return fit(
            built, build_data(spec.data), plan_of(spec), Group(torch.device("cuda", 0)), seed=0, **kept
        ).state_dict()

    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as cut:
        expected = train(Path(whole))
        try:
            train(Path(cut), stop=22)
        except Interrupted:
            assert list(Path(cut).glob("checkpoint*"))
        actual = train(Path(cut))
    different = [name for name, value in expected.items() if not torch.equal(value, actual[name])]
    assert not different, f"other weights after an interruption: {different}"


def ensemble(where: str) -> Numbers:
    """Train two W-CFM as one, with an average of the weights."""
    settings = merge(SMALL, {"plan": {"steps": 3}})
    members = [make_spec("wcfm", "8gaussians", seed=seed, metrics=[], settings=settings) for seed in (0, 1)]
    data = build_data(members[0].data)
    models = [build_untrained(spec, data) for spec in members]
    assert all(isinstance(model, Model) for model in models)
    device = torch.device("cuda", 0) if where == "cuda" else torch.device("cpu")
    fit(Ensemble(models, [0, 1]), data, plan_of(members[0]), Group(device), seed=0)
    return {
        f"{i} {name}": value.double().cpu().numpy()
        for i, model in enumerate(models)
        for name, value in model.state_dict().items()
    }


def one_graph(model: str) -> None:
    """Assert that the compiled loss of a model is one graph, with a gradient (no code is generated)."""
    import torch._dynamo as dynamo

    data = "8gaussians" if model == "nsf" else "digits"
    net = {} if model in (*TRANSFORMERS, "nsf") else {"net": UNET if model in WHOLE else TINY}
    own = SETTINGS.get(model, {}) | net
    spec = make_spec(model, data, metrics=[], settings=merge(SMALL, {"model": own, "plan": {"compile": True}}))
    task, device = build_data(spec.data), torch.device("cuda", 0)
    learner = build_untrained(spec, task).to(device)
    if model == "reflow":
        teacher = make_spec("cfm", data, metrics=[], settings=merge(SMALL, {"model": net, "sample": {"tol": 1e-1}}))
        learner.learn_from({"teacher": build_untrained(teacher, task).to(device).eval()}, task, 0)
    learner.prepare(task, 0)
    learner.train()
    example = learner.example(learner.batch_source(task, device), 0, 16, 0, torch.Generator(device=device))
    dynamo.reset()
    dynamo.utils.counters.clear()
    torch.compile(learner, backend="eager")(example)["loss"].backward()
    graphs, breaks = dynamo.utils.counters["stats"]["unique_graphs"], dynamo.utils.counters["graph_break"]
    assert graphs == 1, f"{graphs} graphs: {'; '.join(' '.join(why.split())[:120] for why in breaks)}"


def shared_cases() -> Iterator[Case]:
    """Runs of two processes, which divide each batch and the samples."""
    plan = {"accumulate": 2}
    images = {"model": {"net": UNET}, "plan": plan, "sample": {"tol": 1e-2}}
    yield Case("wcfm", "wcfm", "digits", images | {"metric": {"bits_per_dim": {"n": 40}}}, ("nfe", "bits_per_dim"))
    balanced = {"model": {"net": UNET, "reference": 64}, "sample": {"method": "euler", "steps": 2}}
    yield Case("wcfm-balanced", "wcfm-balanced", "digits", balanced)
    yield Case("bf16", "cfm", "digits", merge(images, {"plan": {"precision": "bf16"}}), tolerance=1e-2)
    for model in ("otcfm", "sdcfm", *FEW_STEPS):
        near = TWICE if model == "reflow" else EXACT
        yield Case(model, model, "8gaussians", {"model": SETTINGS.get(model, {})}, tolerance=near)
    for model in TRANSFORMERS:
        settings = {"model": SETTINGS[model] | {"conditional": True}, "metric": {"bits_per_dim": {"n": 40}}}
        yield Case(model, model, "digits", settings, ("nfe", "bits_per_dim"))
    encoder = {"name": "autoencoder", "steps": 2, "batch_size": 8, "width": 4}
    latent = {"model": {"net": TINY, "encoder": encoder}}
    yield Case("latents", "cfm", "digits", latent)
    features = {"metric": {"fd-digits_cnn": {}}, "evaluation": {"n": 80}}
    yield Case("features", "tarflow", "digits", {"model": SETTINGS["tarflow"]} | features, ("fd-digits_cnn",))


def together() -> Cases:
    """Compare what two processes leave with what one leaves; they run all shared cases, as torchrun would let them."""
    with tempfile.TemporaryDirectory() as folder:
        for case in shared_cases():
            name = f"{case.name} in two processes"
            yield name, partial(check, name, partial(same_as_alone, case, folder))


@cache
def run_together(folder: str) -> None:
    """Run all shared cases in two processes with the variables of torchrun, which write their results into the folder.

    They are forks of this one, where nothing has been computed yet: imports take longer than all cases.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    shared = address | {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GENBENCH_HOME": f"{folder}/home"}
    children = []
    for rank in "01":
        children.append(os.fork())
        if not children[-1]:
            os.environ.update(shared, RANK=rank, LOCAL_RANK=rank)
            try:
                run_shared(Path(folder))
            finally:
                os._exit(1)
    for child in children:
        os.waitpid(child, 0)


def run_shared(folder: Path) -> None:
    """Run all shared cases; the first process writes what they leave, or why they failed."""
    for case in shared_cases():
        try:
            numbers = case.run_in(str(folder / case.name), "cuda")
        except Exception as error:
            (folder / f"{case.name}.txt").write_text(reason(error), "utf-8")
            continue
        if os.environ["RANK"] == "0":
            np.savez(folder / f"{case.name}.npz", **numbers)


def same_as_alone(case: Case, folder: str) -> None:
    """Assert that the processes leave what one process leaves."""
    run_together(folder)
    failure = Path(folder) / f"{case.name}.txt"
    assert not failure.exists(), failure.read_text("utf-8")
    with np.load(Path(folder) / f"{case.name}.npz") as saved:
        apart = difference(case.compute("cuda"), dict(saved))
    assert apart <= case.tolerance, f"differs from one process by {apart:.1e}"
