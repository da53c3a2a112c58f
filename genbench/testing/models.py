"""Conformance of models: one function that every model passes, on vectors and images, with and without classes."""

import io
import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from genbench.core import Data, Model, Transport
from genbench.errors import ConfigError, Unsupported
from genbench.metrics.noise import noise
from genbench.models.flow_matching.model import FlowMatching
from genbench.models.flow_matching.reflow import Reflow
from genbench.registry import Entry, models
from genbench.runs.spec import own_options, sampler
from genbench.seeds import generator
from genbench.settings import Settings, bind, call, settings_of, typed
from genbench.space import dequantise
from genbench.testing.facts import copied, explained, finite, own_randomness, reasoned, same, unchanged
from genbench.testing.toys import tasks, tensors

SIZE = 6
"""Samples in a check: enough to tell them apart."""


def check_model(model: str | Callable[..., Model], settings: Settings | None = None) -> list[str]:
    """Check a model on toy tasks.

    Args:
        model: a registered name, or a builder.
        settings: of the model.

    Returns:
        One line a task: what was checked, or why the model does not go with it.

    Raises:
        AssertionError: with a sentence that says which fact is violated.

    >>> from genbench.testing.toys import Affine
    >>> def affine(event, source) -> Affine:
    ...     "Scale and shift the noise."
    ...     return Affine(event, source)
    >>> check_model(affine)[0]
    'model affine on vectors: draw, loss, gradient, sample, state, log_prob, velocity'
    """
    entry = models[model] if isinstance(model, str) else Entry(model.__name__, model)
    explained(entry.build, entry.name)
    if settings_of(sampler(entry)):
        explained(sampler(entry), f"{entry.name}.sample")
    lines, passed = [], False
    for title, data in tasks().items():
        try:
            done = _check_on(entry, data, settings or {})
        except (Unsupported, ConfigError) as reason:
            lines.append(f"model {entry.name} on {title}: - {reasoned(reason, entry.name)}")
        else:
            passed = True
            lines.append(f"model {entry.name} on {title}: {', '.join(done)}")
    assert passed, f"{entry.name} must go with something: " + "; ".join(lines)
    return lines


def _check_on(entry: Entry, data: Data, settings: Settings) -> list[str]:
    model = _built(entry, data, settings, seed=0)
    model.prepare(data, 0)
    if isinstance(model, Reflow):
        teacher = cast(FlowMatching, _built(models[entry.traits["teacher"]], data, {}, seed=2))
        _perturb(teacher)
        model.learn(model.pairs(teacher, data, 0, SIZE))
    _perturb(model)
    model.eval()
    done = ["draw", "loss", "gradient", "sample", "state"]
    example = _draw(model, data)
    _loss(model, example)
    _gradient(model, example)
    _sample(model)
    _state(model, _built(entry, data, settings, seed=1), example)
    if model.nfe_curve:
        _budget(model)
        done.append("budget")
    for name, check in (("log_prob", _log_prob), ("velocity", _velocity)):
        try:
            check(model, data)
        except Unsupported as reason:
            done.append(f"no {name} ({reasoned(reason, f'{entry.name}.{name}')})")
        else:
            done.append(name)
    return done


def _built(entry: Entry, data: Data, settings: Settings, seed: int) -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        bound = bind(entry.build, settings, entry.name, context=data.event)
        model = call(entry.build, data.event, data.source, settings=bound)
    assert isinstance(model, Model), f"{entry.name} must build a Model, not {type(model)}"
    assert model.event == data.event, f"{entry.name} must keep its event as model.event"
    assert any(p.requires_grad for p in model.parameters()), f"{entry.name} has nothing to train"
    return model


def _perturb(model: Model) -> None:
    """Move every weight a little: layers that start at zero would hide what lies before them."""
    draws = generator(0, "perturb")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=draws))


def _draw(model: Model, data: Data) -> Any:
    batch_source = model.batch_source(data)
    batch, state = batch_source.batch(0, SIZE, 0), copied(model.state_dict())
    with own_randomness("draw"):
        first = model.draw(batch, generator(0, "draw"))
    same(batch.x, batch_source.batch(0, SIZE, 0).x, "draw must not write into its batch")
    model.load_state_dict(state)
    second = tensors(model.draw(batch, generator(0, "draw")))
    for name, value in tensors(first).items():
        assert len(value) == SIZE, f"the first axis of '{name}' must be the batch, its shape is {tuple(value.shape)}"
        same(value, second[name], f"draw must depend on the batch and the generator only; '{name}' does not repeat")
    return first


def _loss(model: Model, example: Any) -> None:
    state = copied(model.state_dict())
    with own_randomness("loss"):
        first = model.loss(example)
    assert "loss" in first, "loss must return a dictionary with 'loss' in it"
    second = model.loss(example)
    for name, value in first.items():
        assert value.shape == (), f"loss['{name}'] must be a scalar, its shape is {tuple(value.shape)}"
        finite(value, f"loss['{name}']")
        same(value, second[name], f"loss must be pure; '{name}' does not repeat", 1e-6)
    unchanged(state, model.state_dict(), "loss")
    model.train()
    model.loss(example)
    unchanged(state, model.state_dict(), "loss in training mode")
    model.eval()


def _gradient(model: Model, example: Any) -> None:
    state = copied(model.state_dict())
    before = model.loss(example)["loss"]
    before.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"no gradient reaches '{name}'"
            finite(parameter.grad, f"the gradient of '{name}'")
            assert bool((parameter.grad != 0).any()), f"the gradient of '{name}' is zero everywhere"
    slopes = [(p, p.grad.clone()) for p in model.parameters() if p.grad is not None]
    slope = math.sqrt(sum(float(gradient.square().sum()) for _, gradient in slopes))
    with torch.no_grad():
        for parameter, gradient in slopes:
            parameter.sub_(1e-3 / slope * gradient)
        fall = float(before - model.loss(example)["loss"])
    share = fall / (1e-3 * slope)
    assert 0.5 < share < 1.5, (
        f"a step of 1e-3 down the gradient must lower the loss by {1e-3 * slope:.2g}, not {fall:.2g}"
    )
    model.load_state_dict(state)
    model.zero_grad(set_to_none=True)


def _state(model: Model, fresh: Model, example: Any) -> None:
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    fresh.eval()
    with torch.no_grad():
        for name, value in model.loss(example).items():
            same(fresh.loss(example)[name], value, f"a model loaded from its state has another '{name}'", 1e-6)
        x = _sampled(model, noise(model.source, SIZE, 0), _fixed(model))[0]
        again = _sampled(fresh, noise(model.source, SIZE, 0), _fixed(fresh))[0]
    same(again, x, "a model loaded from its state must sample the same", 1e-6)


def _sample(model: Model) -> None:
    x0 = noise(model.source, SIZE, 0)
    kept = x0.clone()
    with torch.no_grad(), own_randomness("sample"):
        x, nfe = _sampled(model, x0, _default(model))
        again = _sampled(model, x0, _default(model))[0]
        whole = _sampled(model, x0, _fixed(model))[0]
        single = torch.cat([_sampled(model, x0[i : i + 1], _fixed(model), start=i)[0] for i in range(SIZE)])
    same(x0, kept, "sample must not write into its noise")
    assert x.shape == (SIZE, *model.event.shape), f"samples have the shape {tuple(x.shape[1:])}, not that of the event"
    finite(x, "samples")
    assert nfe >= 0, f"a sample takes {nfe} evaluations, which is no count"
    same(again, x, "sample must be deterministic given its noise")
    same(single, whole, "a sample must not depend on the batch it is drawn in", 1e-4)
    assert not torch.equal(x[0], x[1]), "different noise must give different samples"


def _budget(model: Model) -> None:
    for asked in (1, 4):
        options = model.at_budget(_default(model), "euler", asked)
        with torch.no_grad():
            nfe = _sampled(model, noise(model.source, SIZE, 0), options)[1]
        assert nfe == asked, f"asked for {asked} evaluations a sample, it counts {nfe}"


def _log_prob(model: Model, data: Data) -> None:
    batch = data.test.take(3, 0)
    x = dequantise(batch.x, data.space.bin, generator(0, "dequantise"))
    label = batch.label if model.conditional else None
    with torch.no_grad(), own_randomness("log_prob"):
        whole = model.log_prob(x, label=label)
        assert whole.shape == (3,), f"log_prob must return one number a sample, its shape is {tuple(whole.shape)}"
        finite(whole, "log_prob")
        if len(model.event.shape) == 1:
            single = [model.log_prob(x[i : i + 1], label=None if label is None else label[i : i + 1]) for i in range(3)]
            same(torch.cat(single), whole, "log_prob of a sample must not depend on its batch", 1e-3)
            if model.conditional or not model.event.classes:
                _normalised(model)


def _normalised(model: Model) -> None:
    """Sum the density over a grid that covers the samples with a margin."""
    x = _sampled(model, noise(model.source, 256, 0), _fixed(model))[0]
    low, high = x.min(0).values, x.max(0).values
    side, cells = (high - low) * 1.5, 36
    axes = [(low[i] + high[i]) / 2 + side[i] * ((torch.arange(cells) + 0.5) / cells - 0.5) for i in range(2)]
    grid = torch.cartesian_prod(*axes)
    label = torch.zeros(len(grid), dtype=torch.long) if model.conditional else None
    total = float(model.log_prob(grid, label=label).double().exp().sum() * side.prod() / cells**2)
    assert math.isclose(total, 1, abs_tol=0.03), f"the density must integrate to 1 over the plane, it gives {total:.3f}"


def _velocity(model: Model, data: Data) -> None:
    if not isinstance(model, Transport):
        raise Unsupported("its samples do not follow an ODE")
    batch = data.test.take(SIZE, 0)
    label = batch.label if model.conditional else None
    with torch.no_grad():
        field = model.velocity(torch.tensor(0.5), batch.x, label)
    assert field.shape == batch.x.shape, f"velocity has the shape {tuple(field.shape)}, not that of x"
    finite(field, "velocity")


def _default(model: Model) -> dict[str, Any]:
    return bind(own_options(type(model)), {}, "sample")


def _fixed(model: Model) -> Mapping[str, Any]:
    """Options of a fixed number of steps: an adaptive solver shares its steps over a batch."""
    return model.at_budget(_default(model), "euler", 4) if model.nfe_curve else _default(model)


def _sampled(model: Model, x0: Tensor, options: Mapping[str, Any], start: int = 0) -> tuple[Tensor, float]:
    label = (start + torch.arange(len(x0))) % model.event.classes if model.conditional else None
    drawn = model.sample(x0, label=label, **typed(own_options(type(model)), options))
    return drawn.x, drawn.nfe
