"""Conformance of models: the same checks for every model, on vectors and images, with and without classes."""

import copy
import inspect
import io
import math
from collections.abc import Callable, Mapping
from typing import Any, cast, get_args

import torch
from torch import Tensor

from genbench.core import Data, Draws, Model, Transport
from genbench.errors import ConfigError, RunFailed, Unsupported
from genbench.metrics.sampling import draw, noise, starting_points
from genbench.models.build import check_labels
from genbench.models.flow_matching.reflow import Reflow
from genbench.models.flow_matching.velocity_model import FlowMatching
from genbench.registry import Entry, models
from genbench.runs.component import own_options, sampler
from genbench.seeds import generator
from genbench.settings import Settings, bind, call, settings_of, typed
from genbench.space import dequantize
from genbench.testing.assertions import (
    assert_documented,
    assert_equal,
    assert_finite,
    no_global_randomness,
    reason_of,
    state_unchanged,
)
from genbench.testing.toys import toy_tasks

SIZE = 6
"""Number of samples in a check."""
COARSE = 1e-3
"""Tolerance of adaptive solvers, where a check needs no finer one: it takes a third of the time of the default."""


def check_model(model: str | Callable[..., Model], settings: Settings | None = None) -> list[str]:
    """Check a model on toy tasks, and return a line per task: what was checked, or why the model does not support it.

    Args:
        model: a registered name, or a builder.

    Raises:
        AssertionError: with a sentence that says which requirement is violated.

    >>> from genbench.testing.toys import AffineFlow
    >>> def affine(event, source) -> AffineFlow:
    ...     "Scale and shift the noise."
    ...     return AffineFlow(event, source)
    >>> check_model(affine)[0]
    'model affine on vectors: draw, loss, gradient, sample, state, log_prob, velocity'
    """
    entry = models[model] if isinstance(model, str) else Entry(model.__name__, model)
    assert_documented(entry.build, entry.name)
    if settings_of(sampler(entry)):
        assert_documented(sampler(entry), f"{entry.name}.sample")
    lines, passed = [], False
    for title, data in toy_tasks().items():
        try:
            checked = _check_on(entry, data, settings or {})
        except (Unsupported, ConfigError) as reason:
            lines.append(f"model {entry.name} on {title}: - {reason_of(reason, entry.name)}")
        else:
            passed = True
            lines.append(f"model {entry.name} on {title}: {', '.join(checked)}")
    assert passed, f"{entry.name} must support at least one task: " + "; ".join(lines)
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
    checked = ["draw", "loss", "gradient", "sample", "state"]
    example = _draw(model, data)
    _draws_ahead(model, data)
    _loss(model, example)
    _gradient(model, example)
    _sample(model)
    _state(model, _built(entry, data, settings, seed=1), example)
    if model.nfe_curve:
        _budget(model)
        checked.append("budget")
    for name, check in (("log_prob", _log_prob), ("velocity", _velocity)):
        try:
            check(model, data)
        except Unsupported as reason:
            checked.append(f"no {name} ({reason_of(reason, f'{entry.name}.{name}')})")
        else:
            checked.append(name)
    return checked


def _built(entry: Entry, data: Data, settings: Settings, seed: int) -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        bound = bind(entry.build, settings, entry.name, context=data.event)
        model = call(entry.build, data.event, data.source, settings=bound)
    assert isinstance(model, Model), f"{entry.name} must build a Model, not {type(model)}"
    assert model.event == data.event, f"{entry.name} must keep its event as model.event"
    check_labels(model)
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
    batch = batch_source.batch(0, SIZE, 0)
    with no_global_randomness("draw"), state_unchanged(model, "draw in evaluation mode"):
        try:
            example = model.draw(batch, generator(0, "draw"))
        except Unsupported:  # a model whose pairs hold training data, whatever the batch, has no loss on other data
            example = model.train().draw(batch, generator(0, "draw"))
    assert_equal(batch.x, batch_source.batch(0, SIZE, 0).x, "draw must not write into its batch")
    again = _tensors(model.draw(batch, generator(0, "draw")))
    for name, value in _tensors(example).items():
        assert len(value) == SIZE, f"the first axis of '{name}' must be the batch, its shape is {tuple(value.shape)}"
        assert_equal(value, again[name], f"draw must depend on the batch and the generator only; '{name}' differs")
    model.eval()
    return example


def _draws_ahead(model: Model, data: Data) -> None:
    """Check that examples that are drawn ahead of their steps do not depend on these steps."""
    assert model.draws in get_args(Draws), f"draws must be one of {', '.join(get_args(Draws))}, not {model.draws!r}"
    if model.draws == "step":
        return
    needed = f"draws={model.draws!r} needs examples that do not depend on earlier steps, or else set draws='step'"
    batch_source, state = model.batch_source(data), copy.deepcopy(model.state_dict())
    model.train()
    with state_unchanged(model, f"{needed}: draw"):
        ahead = _tensors(model.example(batch_source, 1, SIZE, 0, torch.Generator()))
    _perturb(model)
    for name, value in _tensors(model.example(batch_source, 1, SIZE, 0, torch.Generator())).items():
        assert_equal(value, ahead[name], f"{needed}: '{name}' changes with the weights")
    model.load_state_dict(state)
    model.eval()


def _tensors(example: Any) -> dict[str, Tensor]:
    fields = getattr(example, "_fields", None)
    assert fields, f"draw must return a NamedTuple of tensors, not {type(example)}"
    named = {name: value for name, value in zip(fields, example, strict=True) if value is not None}
    for name, value in named.items():
        assert isinstance(value, Tensor), f"draw must return tensors, '{name}' is {type(value)}"
    return named


def _loss(model: Model, example: Any) -> None:
    with state_unchanged(model, "loss"):
        with no_global_randomness("loss"):
            first = model.loss(example)
        assert "loss" in first, "loss must return a dictionary with 'loss' in it"
        second = model.loss(example)
        for name, value in first.items():
            assert value.shape == (), f"loss['{name}'] must be a scalar, its shape is {tuple(value.shape)}"
            assert_finite(value, f"loss['{name}']")
            assert_equal(value, second[name], f"loss must be pure; '{name}' differs when called again", 1e-6)
    with state_unchanged(model, "loss in training mode"):
        model.train()
        model.loss(example)
    model.eval()


def _gradient(model: Model, example: Any) -> None:
    """Check that a gradient reaches every parameter, and that the loss (unless its target moves) falls along it."""
    state = copy.deepcopy(model.state_dict())
    before = model.loss(example)["loss"]
    before.backward()
    gradients = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"no gradient reaches '{name}'"
            assert_finite(parameter.grad, f"the gradient of '{name}'")
            assert bool((parameter.grad != 0).any()), f"the gradient of '{name}' is zero everywhere"
            gradients[name] = parameter.grad
    norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients.values()))
    with torch.no_grad():
        for name, gradient in gradients.items():
            model.get_parameter(name).sub_(1e-3 / norm * gradient)
        fall = float(before - model.loss(example)["loss"])
    assert model.self_targeted or 0.5 < fall / (1e-3 * norm) < 1.5, (
        f"a step of 1e-3 down the gradient must lower the loss by {1e-3 * norm:.2g}, not {fall:.2g}"
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
        loaded = fresh.loss(example)
        for name, value in model.loss(example).items():
            assert_equal(loaded[name], value, f"a model loaded from its state has another '{name}'", 1e-6)
    x, again = (_drawn(each, _fixed_steps(model))[0] for each in (model, fresh))
    assert_equal(again, x, "a model loaded from its state must sample the same", 1e-6)


def _sample(model: Model) -> None:
    options, fixed = _defaults(model), _fixed_steps(model)
    with no_global_randomness("sample"):
        try:
            x = _drawn(model, options)[0]
        except RunFailed as error:  # samples that no model may return
            raise AssertionError(str(error)) from error
        again = _drawn(model, options)[0]
        batched, single = (_drawn(model, fixed, batch=batch)[0] for batch in (SIZE, 1))
    x0, label = starting_points(model, range(SIZE), 0, _labels(model, SIZE))
    with torch.no_grad():
        model.sample(x0, label=label, **typed(model.sampler, fixed))
    assert_equal(x0, noise(model.source, SIZE, 0), "sample must not write into its noise")
    assert_finite(x, "samples")
    assert_equal(again, x, "sample must be deterministic given its noise")
    assert_equal(single, batched, "a sample must not depend on the batch it is drawn in", 1e-4)
    assert not torch.equal(x[0], x[1]), "different noise must give different samples"


def _budget(model: Model) -> None:
    met = 0
    for asked in (1, 2, 4):
        try:
            options = model.at_budget(_defaults(model), "euler", asked)
            nfe = _drawn(model, options)[1]
        except (ConfigError, Unsupported):  # consistency models take a multiple of their segments
            continue
        assert nfe == asked, f"at a budget of {asked} network evaluations per sample, it counts {nfe}"
        met += 1
    assert met, "a model with a curve of NFE must meet a budget of 1, 2 or 4 network evaluations"


def _log_prob(model: Model, data: Data) -> None:
    vectors = model.event.is_vector
    batch = data.test.take(3 if vectors else 1, 0)  # along the exact flow of an image each takes a second
    x = dequantize(batch.x, data.space.bin, generator(0, "dequantise"))
    label = batch.label if model.conditional else None
    coarse = {} if vectors else _coarse(model.log_prob)  # an adaptive solver shares its steps over a batch
    with torch.no_grad(), no_global_randomness("log_prob"):
        log_prob = model.log_prob(x, label=label, **coarse)
        assert log_prob.shape == (len(x),), (
            f"log_prob must return a number per sample, not shape {tuple(log_prob.shape)}"
        )
        assert_finite(log_prob, "log_prob")
        if vectors:
            ends = [slice(1), slice(2, 3)]
            single = [model.log_prob(x[i], label=None if label is None else label[i]) for i in ends]
            assert_equal(torch.cat(single), log_prob[::2], "log_prob of a sample must not depend on its batch", 1e-3)
            if model.conditional or not model.event.classes:
                _normalized(model)


def _normalized(model: Model) -> None:
    """Sum the density over a grid that covers the samples with a margin."""
    x = _drawn(model, _fixed_steps(model), 256, 256)[0]
    low, high = x.min(0).values, x.max(0).values
    side, cells = (high - low) * 1.5, 36
    axes = [(low[i] + high[i]) / 2 + side[i] * ((torch.arange(cells) + 0.5) / cells - 0.5) for i in range(2)]
    grid = torch.cartesian_prod(*axes)
    label = torch.zeros(len(grid), dtype=torch.long) if model.conditional else None
    density = model.log_prob(grid, label=label, **_coarse(model.log_prob)).double().exp()
    total = float(density.sum() * side.prod() / cells**2)
    assert math.isclose(total, 1, abs_tol=0.03), f"the density must integrate to 1 over the plane, it gives {total:.3f}"


def _velocity(model: Model, data: Data) -> None:
    if not isinstance(model, Transport):
        raise Unsupported("its samples do not follow an ODE")
    batch = data.test.take(SIZE, 0)
    with torch.no_grad():
        velocity = model.velocity(torch.tensor(0.5), batch.x, batch.label if model.conditional else None)
    assert velocity.shape == batch.x.shape, f"velocity has the shape {tuple(velocity.shape)}, not the shape of x"
    assert_finite(velocity, "velocity")


def _defaults(model: Model) -> dict[str, Any]:
    options = own_options(type(model))
    return bind(options, _coarse(options), "sample")


def _coarse(method: Callable) -> dict[str, float]:
    """Return options that make a method coarser: none unless it takes a tolerance."""
    tol = inspect.signature(method).parameters.get("tol")
    return {"tol": COARSE} if tol and isinstance(tol.default, float) else {}


def _labels(model: Model, n: int) -> Tensor | None:
    return torch.arange(n) % model.event.classes if model.conditional else None


def _drawn(model: Model, options: Mapping[str, Any], n: int = SIZE, batch: int = SIZE) -> tuple[Tensor, float]:
    """Return n samples of a model, of all classes in turn, and the mean NFE."""
    return draw(model, n, batch, 0, options, label=_labels(model, n))


def _fixed_steps(model: Model) -> Mapping[str, Any]:
    """Return options with a fixed number of steps: an adaptive solver shares its steps over a batch."""
    return model.at_budget(_defaults(model), "euler", 4) if model.nfe_curve else _defaults(model)
