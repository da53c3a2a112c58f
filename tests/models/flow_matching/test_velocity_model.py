"""Flow-matching models: field, samples, likelihood and guidance."""

import pytest
import torch
from torch.testing import assert_close

from genbench.errors import Unsupported
from genbench.metrics.sampling import noise
from genbench.models.build import build_model
from genbench.runs.make_spec import make_spec
from genbench.runs.spec import build_data

LONG = {"steps": 2000, "batch_size": 512, "lr": 3e-3, "schedule": "cosine", "ema": 0.99}


@pytest.mark.slow
def test_a_trained_net_is_the_closed_form_field_of_a_mixture(trained):
    model, data = trained("cfm", "8gaussians", model={"net": {"width": 128}}, plan=LONG)
    start, end = noise(model.source, 2000, seed=3), data.test.take(2000, seed=4).x
    errors, scale = [], []
    for t in (0.1, 0.3, 0.5, 0.7, 0.9):
        x, time = (1 - t) * start + t * end, torch.tensor(t)
        exact = data.truth.velocity(time, x)
        with torch.no_grad():
            errors.append((model.velocity(time, x) - exact).square().mean())
        scale.append(exact.square().mean())
    assert (sum(errors) / sum(scale)).item() < 0.02


def test_guidance_extrapolates_from_the_unconditional_field(built):
    model, _ = built("otcfm", "moons", conditional=True)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    x0, label = torch.randn(8, 2), torch.tensor([0, 1] * 4)
    with torch.no_grad():
        plain, guided = (model.sample(x0, label=label, method="euler", steps=1, guidance=g) for g in (0.0, 2.0))
        t = torch.tensor(0.0)
        c, u = model.velocity(t, x0, label), model.velocity(t, x0, None)
    assert_close(plain.x, x0 + c)
    assert_close(guided.x, x0 + c + 2 * (c - u))
    assert (plain.nfe, guided.nfe) == (1, 2)


def test_double_precision_agrees_with_single_precision(trained):
    model, _ = trained("cfm", "moons", plan={"steps": 50})
    x0 = noise(model.source, 64, seed=0)
    with torch.no_grad():
        single, double = (model.sample(x0, method="rk4", steps=10, dtype=d).x for d in ("float32", "float64"))
    assert double.dtype == torch.float64
    assert_close(single.double(), double, rtol=0, atol=1e-4)
    assert next(model.parameters()).dtype == torch.float32


def test_a_budget_that_the_solver_cannot_meet_is_an_error(trained):
    model, _ = trained("cfm", "moons", plan={"steps": 1})
    assert model.at_budget({}, "heun", 8)["steps"] == 4
    with pytest.raises(Unsupported, match="do not divide 1"):
        model.at_budget({}, "heun", 1)


@pytest.mark.parametrize(("dims", "n"), [(2, 200), (8, 100), (50, 30)])
def test_the_exact_field_of_a_mixture_has_its_exact_likelihood_and_reaches_it(dims, n, drawn, exact):
    spec = make_spec("cfm", "mixture", metrics=[], settings={"data": {"dims": dims, "modes": 5}})
    data = build_data(spec.data)
    model = build_model(spec.model, spec.encoder, data)
    model.net = exact(data.truth.velocity)
    x = data.test.take(n, seed=0).x
    assert_close(model.log_prob(x), data.truth.log_prob(x), rtol=0, atol=5e-3 + 8e-4 * dims)
    drawn_nll = -data.truth.log_prob(drawn(model, 2000)).mean()
    due_nll = -data.truth.log_prob(data.test.take(20_000, seed=1).x).mean()
    assert drawn_nll.item() == pytest.approx(due_nll.item(), abs=0.15 * dims**0.5)
