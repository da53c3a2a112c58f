"""Ensembles: a member is what it would be alone, whatever the other members are, and if they fail."""

import shutil
from functools import partial
from unittest import mock

import pytest
import torch
from helpers.processes import apart
from helpers.toy_trainings import Stop, spoil, stop_at, weights
from torch.testing import assert_close

from genbench.errors import ConfigError, RunFailed
from genbench.runs.make_spec import make_spec
from genbench.runs.spec import build_data, plan_of
from genbench.runs.train_or_resume import build_untrained
from genbench.training.ensemble import Ensemble
from genbench.training.loop import fit
from genbench.training.process_group import start_group

PLAN = {"batch_size": 32, "schedule": "cosine", "ema": 0.99, "clip": 0.5}


def specs_of(model, own, dataset="moons", settings=None, **plan):
    settings = {"plan": PLAN | plan, "model": settings or {}}
    chosen = [{**settings, "model": {**settings["model"], **{k: v for k, v in o.items() if k != "seed"}}} for o in own]
    return [make_spec(model, dataset, seed=o["seed"], metrics=[], settings=s) for o, s in zip(own, chosen, strict=True)]


def stack_of(specs):
    """Return an ensemble, and the data of its members."""
    data = build_data(specs[0].data)
    return Ensemble([build_untrained(spec, data) for spec in specs], [spec.seed for spec in specs]), data


def train(specs, folder=None, **options):
    """Train specs alone, or as a stack if there are several."""
    data, plan = build_data(specs[0].data), plan_of(specs[0])
    models = [build_untrained(spec, data) for spec in specs]
    learner = models[0] if len(models) == 1 else Ensemble(models, [spec.seed for spec in specs])
    folders = [folder / str(i) for i in range(len(specs))] if folder else []
    fit(learner, data, plan, start_group("cpu"), seed=specs[0].seed, folders=folders, **options)
    return models


def train_compiled():
    own, net = [{"seed": 3, "kappa": 0.5}, {"seed": 1, "kappa": 2.0}], {"net": {"width": 16, "depth": 1}}
    eager, compiled = (train(specs_of("wcfm", own, settings=net, steps=20, compile=flag)) for flag in (False, True))
    return max(float((weights(a) - weights(b)).abs().max()) for a, b in zip(eager, compiled, strict=True))


def train_traced():
    """Train two stacks of flows, for which no code is generated, and return the number of their graphs."""
    flow, graphs = {"width": 16, "head": 16, "blocks": [1]}, []

    def run(graph, inputs):
        symbols = graph.graph.find_nodes(op="call_method", target="item")
        assert not symbols, "the generator of code does not take a number that is a symbol in a stack"
        graphs.append(graph)
        return graph

    with mock.patch.object(torch, "compile", partial(torch.compile, backend=run, fullgraph=True)):
        for model in ("tarflow", "starflow"):  # which differ in a number only, the weight of the penalty
            train(specs_of(model, [{"seed": 0}, {"seed": 1}], settings=flow, steps=1, compile=True))
    return len(graphs)


# In processes of their own: what checks shapes in tests cannot be compiled.
@pytest.mark.slow  # g++ compiles a graph
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling on CPU needs g++")
def test_a_compiled_stack_takes_the_same_steps():
    assert apart(train_compiled) < 1e-5


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling on CPU needs g++")
def test_stacks_of_flows_compile_as_one_graph_one_after_another():
    """A break inside a stack would leave all of it uncompiled, without a word."""
    assert apart(train_traced) == 2


WCFM = [{"seed": s, "kappa": k, "normalizer": n} for s, k, n in ((3, 0.5, "constant"), (1, 2.0, "running"))]
WCFM += [{"seed": 3, "kappa": 2.0, "normalizer": "batch"}]


@pytest.mark.parametrize(
    ("model", "own", "dataset", "settings"),
    [
        ("cfm", [{"seed": 5, "sigma": 0.0}, {"seed": 5, "sigma": 0.3}], "moons", {"conditional": True}),
        ("otcfm", [{"seed": 0}, {"seed": 1}], "8gaussians-moons", {}),
        ("wcfm", WCFM, "moons", {}),
        ("starflow", [{"seed": 0}, {"seed": 1}], "moons", {"width": 16, "blocks": [2, 1]}),
        ("nsf", [{"seed": 0}, {"seed": 1}], "moons", {"bins": 4, "hidden": [16]}),
        ("drifting", [{"seed": 0}, {"seed": 1}], "moons", {}),
    ],
)
def test_members_are_what_they_are_alone(model, own, dataset, settings):
    specs = specs_of(model, own, dataset, settings, steps=30)
    for spec, member in zip(specs, train(specs), strict=True):
        (alone,) = train([spec])
        assert_close(weights(member), weights(alone), rtol=0, atol=1e-4)
        for name, buffer in alone.named_buffers():
            assert_close(dict(member.named_buffers())[name], buffer, equal_nan=True)


def test_a_member_that_fails_leaves_the_others_alone_also_when_resumed(tmp_path):
    def started(spoiled):
        specs = specs_of("cfm", [{"seed": 0}, {"seed": 1}, {"seed": 2}], steps=130)
        (stack, data), plan = stack_of(specs), plan_of(specs[0])
        if spoiled:
            spoil(stack.members[1], 42)
        return stack, data, plan

    stack, data, plan = started(True)
    folders = [tmp_path / str(i) for i in range(3)]
    with pytest.raises(Stop):
        fit(stack, data, plan, start_group("cpu"), seed=0, folders=folders, progress=[stop_at(100)], save_every=0)
    stack, data, plan = started(False)
    fit(stack, data, plan, start_group("cpu"), seed=0, folders=folders)
    assert stack.reasons == [None, "the loss is not finite at step 42", None]
    other, data, plan = started(False)
    fit(other, data, plan, start_group("cpu"), seed=0)
    for i in (0, 2):
        assert torch.equal(weights(stack.members[i]), weights(other.members[i]))
    assert (tmp_path / "0/train.csv").read_text().count("\n") == 131
    assert "nan" not in (tmp_path / "1/train.csv").read_text()


def test_gradients_are_clipped_by_member_and_a_stack_of_which_all_fail_fails():
    stack, data = stack_of(specs_of("cfm", [{"seed": 0}, {"seed": 1}]))
    example = stack.example(stack.batch_source(data), 0, 64, 0, torch.Generator())
    (stack(example)["loss"] * torch.tensor([1.0, 1e-4])).sum().backward()
    before = [p.grad.clone() for p in stack.stacked]
    stack.clip(1e-2)
    norms = torch.stack([p.grad.flatten(1).square().sum(1) for p in stack.stacked]).sum(0).sqrt()
    assert norms[0] == pytest.approx(1e-2, rel=1e-4)
    assert all(torch.equal(a[1], p.grad[1]) for a, p in zip(before, stack.stacked, strict=True))
    stack.diverged([0, 7])
    stack.diverged([0, 8])
    with pytest.raises(RunFailed, match=r"step 9; the loss is not finite at step 7$"):
        stack.diverged([9, 10])
    other = specs_of("cfm", [{"seed": 1}], settings={"net": {"name": "mlp", "width": 8}})[0]
    with pytest.raises(ConfigError, match="parameters of equal shapes"):
        Ensemble([stack.members[0], build_untrained(other, data)], [0, 1])


def ensemble_over(couplings, dataset="8gaussians"):
    ensemble, data = stack_of(
        specs_of("meanflow", [{"seed": 0, "coupling": coupling} for coupling in couplings], dataset)
    )
    ensemble.prepare(data, 0)
    return ensemble, data


@pytest.mark.parametrize("couplings", [["balanced", "independent"], ["independent", "balanced"]])
def test_members_of_which_only_some_know_their_tilt_are_refused(couplings):
    ensemble, data = ensemble_over(couplings)
    with pytest.raises(ConfigError, match="only some members have 'tilt'"):
        ensemble.example(ensemble.batch_source(data), 0, 32, 0, torch.Generator())


def test_examples_are_drawn_ahead_only_where_no_member_has_a_state_that_moves():
    running = {"name": "gibbs", "normalizer": "running"}
    assert ensemble_over(["ot", {"name": "ot", "resample": True}])[0].draws == "thread"
    assert ensemble_over(["ot", "gibbs"])[0].draws == ensemble_over(["independent", "gibbs"])[0].draws == "block"
    assert ensemble_over(["ot", running])[0].draws == "step"


def test_members_keep_their_precision_and_what_they_refuse():
    own, net = [{"seed": 0}, {"seed": 1}], {"net": {"name": "unet", "channels": 8, "dropout": 0.1}}
    exact, planned = (train(specs_of("consistency", own, steps=3, precision=each)) for each in ("fp32", "bf16"))
    assert all(torch.equal(weights(a), weights(b)) for a, b in zip(exact, planned, strict=True))
    with pytest.raises(ConfigError, match=r"^plan\.compile=true: consistency cannot draw a dropout mask twice"):
        train(specs_of("consistency", own, "digits", net, steps=1, compile=True))
