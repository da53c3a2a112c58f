"""Flow-matching models: field, samples, likelihood and guidance."""

import pytest
import torch
from torch.testing import assert_close

from genbench.core import Normal
from genbench.errors import ConfigError, Unsupported
from genbench.metrics.sampling import noise
from genbench.runs.make_spec import make_spec


def test_a_trained_net_is_the_closed_form_field_of_a_mixture(trained):
    plan = {"steps": 800, "batch_size": 512, "lr": 5e-3, "schedule": "cosine", "ema": 0.99}
    model, data = trained("cfm", "8gaussians", model={"net": {"width": 96}}, plan=plan)
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


def test_a_budget_that_the_solver_cannot_meet_is_an_error(built):
    model, _ = built("cfm", "moons")
    assert model.at_budget({}, "heun", 8)["steps"] == 4
    with pytest.raises(Unsupported, match="do not divide 1"):
        model.at_budget({}, "heun", 1)


@pytest.mark.parametrize(("dims", "n"), [(2, 200), (50, 15)])
def test_the_exact_field_of_a_mixture_has_its_exact_likelihood_and_reaches_it(dims, n, built, drawn, exact):
    model, data = built("cfm", "mixture", data={"dims": dims, "modes": 5})
    model.net = exact(data.truth.velocity)
    x = data.test.take(n, seed=0).x
    assert_close(model.log_prob(x), data.truth.log_prob(x), rtol=0, atol=5e-3 + 8e-4 * dims)
    drawn_nll = -data.truth.log_prob(drawn(model, 2000)).mean()
    due_nll = -data.truth.log_prob(data.test.take(20_000, seed=1).x).mean()
    assert drawn_nll.item() == pytest.approx(due_nll.item(), abs=0.15 * dims**0.5)


@pytest.mark.parametrize("strength", [0.3, 4.0])
def test_diffusion_leaves_the_marginals_of_a_gaussian(strength, built, exact, gaussian_flow):
    model, _ = built("cfm", "mixture")
    model.net = exact(gaussian_flow.velocity)
    model.source = Normal((50,))
    x0 = noise(model.source, 400, seed=0)
    drawn = [model.sample(x0, method="euler", steps=steps, diffusion=strength) for steps in (50, 200)]
    assert [part.nfe for part in drawn] == [50, 200]
    x = drawn[-1].x
    assert float(x.mean()) == pytest.approx(1.0, abs=5 * 0.4 / len(x.flatten()) ** 0.5 + 0.004)
    assert float(x.std()) == pytest.approx(0.4, rel=0.03)
    flow = model.sample(x0, method="euler", steps=200).x
    correlation = torch.corrcoef(torch.stack([x.flatten(), flow.flatten()]))[0, 1]
    assert float(correlation) < 0.99  # other samples than the flow's, and the more so with more diffusion


def test_diffusion_needs_the_score(built):
    model, _ = built("otcfm", "moons")
    with pytest.raises(Unsupported, match="needs independent pairs"):
        model.sample(noise(model.source, 2, seed=0), method="euler", steps=2, diffusion=1.0)
    for task in ("moons-8gaussians", "branches"):  # noise of another law, and with a condition
        model, data = built("cfm", task)
        with pytest.raises(Unsupported, match="noise from N"):
            model.sample(noise(data.source, 2, seed=0), method="euler", steps=2, diffusion=1.0)
    for name in ("otcfm", "wcfm", "sdcfm", "sbcfm", "reflow", "wcfm-balanced", "eotcfm"):
        with pytest.raises(ConfigError, match="needs independent pairs"):
            make_spec(name, "moons", settings={"sample": {"method": "euler", "steps": 4, "diffusion": 1.0}})
    cfm, _ = built("cfm", "moons")
    with pytest.raises(ConfigError, match="takes Euler steps"):
        cfm.sample(noise(cfm.source, 2, seed=0), diffusion=1.0)
    with pytest.raises(Unsupported, match="not heun"):
        cfm.at_budget({"diffusion": 1.0}, "heun", 8)


def test_diffusion_counts_guidance(built):
    model, _ = built("cfm", "moons", conditional=True)
    x0, label = noise(model.source, 6, seed=0), torch.tensor([0, 1] * 3)
    drawn = model.sample(x0, label=label, method="euler", steps=4, diffusion=1.0, guidance=1.0)
    assert drawn.nfe == 8
    assert not torch.allclose(drawn.x, model.sample(x0, label=label, method="euler", steps=4, guidance=1.0).x)
