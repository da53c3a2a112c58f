import math

import pytest
import torch
from helpers.toy_flows import drawn, tilted, trained
from torch.testing import assert_close

from genbench.core import Batch, Event, Normal
from genbench.errors import ConfigError, Unsupported
from genbench.metrics.starting_noise import noise
from genbench.models.build import build_model
from genbench.models.flow_matching.paths import VariancePreserving
from genbench.numerics.ode import trajectory
from genbench.registry import datasets, models
from genbench.runs.spec import build_data, resolve
from genbench.settings import bind, call

FAMILY = ["cfm", "otcfm", "wcfm", "fm", "sbcfm", "vp"]


SHORT = {"steps": 1500, "batch_size": 512, "lr": 3e-3, "schedule": "cosine", "ema": 0.99}


@pytest.mark.parametrize("normaliser", ["constant", "running", "batch"])
@pytest.mark.parametrize("eps", [2.0, 8.0, 1e6])
def test_wcfm_learns_the_tilted_gaussian_and_not_the_data(normaliser, eps):
    b = 2.0
    model, _ = trained(
        "wcfm",
        "gaussian",
        data={"dims": 1, "std": b},
        model={"cost": "sqnorm", "epsilon": eps, "normaliser": normaliser},
        plan=SHORT | {"steps": 800},
    )
    cov = tilted(eps, b)
    # Samples start from N(0, 1), not from the tilted source: the linear field carries them by the ratio of deviations.
    expected = (cov[1, 1] / cov[0, 0]).item()
    variance = drawn(model).var().item() / noise(model.source, 4096, seed=1).var().item()
    assert variance == pytest.approx(expected, rel=0.06)
    if eps == 2.0:
        assert abs(expected - b**2) > 0.3 * b**2
    x = torch.linspace(-2, 2, 9)[:, None]
    for t in (0.25, 0.5, 0.75):
        to_x, to_v = torch.tensor([1 - t, t]), torch.tensor([-1.0, 1.0])
        slope = (to_v @ cov @ to_x) / (to_x @ cov @ to_x)
        scale = math.sqrt((to_x @ cov @ to_x).item())
        with torch.no_grad():
            assert_close(model.velocity(torch.tensor(t), x * scale), slope * x * scale, rtol=0, atol=0.12 * scale)


def test_epsilon_to_infinity_is_cfm_to_the_last_step():
    plan = {"steps": 50, "batch_size": 64}
    cfm, _ = trained("cfm", "8gaussians", plan=plan)
    wcfm, _ = trained("wcfm", "8gaussians", model={"epsilon": 1e12}, plan=plan)
    for a, b in zip(cfm.parameters(), wcfm.parameters(), strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_trained_net_is_the_closed_form_field_of_a_mixture():
    model, data = trained("cfm", "8gaussians", model={"net": {"width": 128}}, plan=SHORT | {"steps": 5000})
    start, end = noise(model.source, 2000, seed=3), data.test.take(2000, seed=4).x
    errors, scale = [], []
    for t in (0.1, 0.3, 0.5, 0.7, 0.9):
        x, time = (1 - t) * start + t * end, torch.tensor(t)
        exact = data.truth.velocity(time, x)
        with torch.no_grad():
            errors.append((model.velocity(time, x) - exact).square().mean())
        scale.append(exact.square().mean())
    assert (sum(errors) / sum(scale)).item() < 0.02


def test_vp_samples_by_its_probability_flow():
    """The exact drift between N(0, 1) and N(0, b^2) carries every x0 to b x0, and has the density of the data."""
    spec = resolve("vp", "gaussian", metrics=[], settings={"data": {"dims": 1, "std": 0.5}})
    data = build_data(spec.data)
    model = build_model(spec.model, spec.encoder, data)
    assert model.path == VariancePreserving("cosine")

    def drift(t, x):
        scale, noise, d_scale, d_noise = model.path.coefficients(t)
        return x * (scale * d_scale * 0.25 + noise * d_noise) / (scale**2 * 0.25 + noise**2)

    model.net = Exact(drift)
    x0 = noise(model.source, 100, seed=0)
    assert_close(model.sample(x0).x, 0.5 * x0, rtol=0, atol=1e-4)
    x = data.test.take(100, seed=0).x
    assert_close(model.log_prob(x), data.truth.log_prob(x), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in FAMILY if name != "wcfm"])  # its tilt is tested above
def test_every_method_learns_to_reach_the_data(name):
    plan = SHORT | {"steps": 400, "batch_size": 256}
    model, _ = trained(name, "gaussian", data={"dims": 2, "mean": 3.0, "std": 0.5}, plan=plan)
    x = drawn(model, 2048, tol=1e-4)
    assert_close(x.mean(0), torch.full((2,), 3.0), rtol=0, atol=0.15)
    assert x.std(0).mean().item() == pytest.approx(0.5, abs=0.15)


def test_the_couplings_straighten_paths_in_the_known_order():
    """E |x1 - x0|^2 of the pairs: optimal transport < W-CFM < independent."""
    data = build_data(resolve("cfm", "8gaussians", metrics=[]).data)
    lengths = {}
    for name in ("cfm", "wcfm", "otcfm"):
        spec = resolve(name, "8gaussians", metrics=[])
        model = build_model(spec.model, spec.encoder, data)
        model.prepare(data, 0)
        pairs = [model.draw(data.train.batch(i, 256, 0), torch.Generator().manual_seed(i)) for i in range(20)]
        weight = torch.cat([p.weight for p in pairs])
        square = torch.cat([p.velocity for p in pairs]).square().sum(1)
        lengths[name] = ((weight * square).sum() / weight.sum()).item()
    assert lengths["otcfm"] < lengths["wcfm"] < lengths["cfm"]
    assert lengths["cfm"] == pytest.approx(25 + 2 * 0.1**0.5 + 2, rel=0.05)  # |centre|^2 + 2 std^2 + 2


def test_likelihood_of_a_trained_flow_integrates_to_one_and_matches_its_samples():
    model, _ = trained("cfm", "moons", plan={"steps": 300})
    side = torch.linspace(-8, 8, 161)
    grid = torch.cartesian_prod(side, side)
    mass = model.log_prob(grid, tol=1e-4).exp().sum() * (side[1] - side[0]) ** 2
    assert mass.item() == pytest.approx(1.0, abs=0.01)


def conditional(label_dropout=0.1):
    build, event = models["otcfm"].build, Event((2,), classes=2)
    settings = {"conditional": True, "label_dropout": label_dropout}
    return call(build, event, Normal((2,)), settings=bind(build, settings, "otcfm", context=event))


def test_labels_are_dropped_at_their_rate_and_pairs_stay_within_classes():
    model = conditional(label_dropout=0.25)
    x, label = torch.randn(4000, 2), torch.arange(4000) % 2
    example = model.draw(Batch(x[:500], label[:500]), torch.Generator().manual_seed(0))
    rate = torch.cat(
        [model.draw(Batch(x[i::8], label[i::8]), torch.Generator().manual_seed(i)).label == 2 for i in range(8)]
    )
    assert rate.float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert set(example.label.tolist()) == {0, 1, 2}


def test_guidance_extrapolates_from_the_unconditional_field():
    model = conditional()
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


def test_guidance_without_labels_is_an_error():
    model, _ = trained("cfm", "moons", plan={"steps": 1})
    with pytest.raises(ConfigError, match="conditional"):
        model.sample(torch.randn(2, 2), guidance=1.0)


def test_samples_do_not_depend_on_the_batch_for_fixed_steps():
    model, _ = trained("cfm", "moons", plan={"steps": 50})
    x0 = noise(model.source, 64, seed=0)
    with torch.no_grad():
        whole = model.sample(x0, method="rk4", steps=10).x
        parts = torch.cat([model.sample(part, method="rk4", steps=10).x for part in x0.split(7)])
    assert_close(whole, parts, rtol=0, atol=1e-5)


def test_a_trajectory_starts_at_the_noise_and_ends_at_the_samples():
    model, _ = trained("cfm", "moons", plan={"steps": 50})
    x0 = noise(model.source, 16, seed=0)
    with torch.no_grad():
        path = trajectory(model.velocity, x0, torch.linspace(0, 1, 5)).x
        assert_close(path[0], x0)
        assert_close(path[-1], model.sample(x0).x, rtol=0, atol=1e-3)


def test_double_precision_agrees_with_single_precision():
    model, _ = trained("cfm", "moons", plan={"steps": 50})
    x0 = noise(model.source, 64, seed=0)
    with torch.no_grad():
        single, double = (model.sample(x0, method="rk4", steps=10, dtype=d).x for d in ("float32", "float64"))
    assert double.dtype == torch.float64
    assert_close(single.double(), double, rtol=0, atol=1e-4)
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.parametrize("name", ["fm", "vp"])
def test_paths_from_the_normal_need_a_normal_source(name):
    spec = resolve(name, "moons-8gaussians", metrics=[])
    with pytest.raises(Unsupported, match=r"N\(0, I\)"):
        build_model(spec.model, spec.encoder, build_data(spec.data))


def test_a_budget_that_the_solver_cannot_meet_is_an_error():
    model, _ = trained("cfm", "moons", plan={"steps": 1})
    assert model.at_budget({}, "heun", 8)["steps"] == 4
    with pytest.raises(Unsupported, match="do not divide 1"):
        model.at_budget({}, "heun", 1)


def test_quantised_data_is_spread_over_its_bins():
    spec = resolve("cfm", "digits", metrics=[])
    data = build_data(spec.data)
    model = build_model(spec.model, spec.encoder, data)
    assert model.density == "dequantised data"
    batch = data.train.batch(0, 64, 0)
    example = model.draw(batch, torch.Generator().manual_seed(0))
    x1 = example.x + (1 - example.t.view(-1, 1, 1, 1)) * example.velocity
    assert torch.equal(data.space.decode(x1), data.space.decode(batch.x))
    assert (x1 - batch.x).abs().max() > data.event.bin / 4


def test_registered_names_are_those_of_the_entry_points():
    assert set(FAMILY) <= set(models)
    assert {"moons", "8gaussians", "digits", "cifar10"} <= set(datasets)


class Exact(torch.nn.Module):
    """The closed-form field of a task in the place of a network."""

    def __init__(self, field):
        super().__init__()
        self.field = field
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, t, x, label):
        return self.field(t, x)


@pytest.mark.parametrize(("dims", "n"), [(2, 200), (8, 100), (50, 30)])
def test_the_exact_field_of_a_mixture_has_its_exact_likelihood_and_reaches_it(dims, n):
    spec = resolve("cfm", "mixture", metrics=[], settings={"data": {"dims": dims, "modes": 5}})
    data = build_data(spec.data)
    model = build_model(spec.model, spec.encoder, data)
    model.net = Exact(data.truth.velocity)
    x = data.test.take(n, seed=0).x
    assert_close(model.log_prob(x), data.truth.log_prob(x), rtol=0, atol=5e-3 + 8e-4 * dims)
    drawn_nll = -data.truth.log_prob(drawn(model, 2000)).mean()
    due_nll = -data.truth.log_prob(data.test.take(20_000, seed=1).x).mean()
    assert drawn_nll.item() == pytest.approx(due_nll.item(), abs=0.15 * dims**0.5)
