"""Methods: what each learns, and how straight its paths are."""

import math

import pytest
import torch
from helpers.toy_flows import tilted
from torch.testing import assert_close

from genbench.metrics.sampling import noise
from genbench.models.flow_matching.couplings.wcfm_weights import GRID
from genbench.models.flow_matching.paths import VariancePreserving
from genbench.results.reader import Run
from genbench.runs.make_spec import make_spec
from genbench.runs.run import run
from genbench.runs.store import Store

SHORT = {"batch_size": 512, "lr": 3e-3, "schedule": "cosine", "ema": 0.99}


@pytest.mark.parametrize("normalizer", ["constant", "running", "batch"])
def test_wcfm_learns_the_tilted_gaussian_and_not_the_data(normalizer, trained, drawn):
    eps, b = 2.0, 2.0
    settings = {"cost": "sqnorm", "epsilon": eps, "normalizer": normalizer}
    plan = SHORT | {"steps": 400, "batch_size": 1024}
    model, _ = trained("wcfm", "gaussian", data={"dims": 1, "std": b}, model=settings, plan=plan)
    cov = tilted(eps, b)
    # Samples start from N(0, 1), not from the tilted source: the linear field carries them by the ratio of deviations.
    expected = (cov[1, 1] / cov[0, 0]).item()
    variance = drawn(model).var().item() / noise(model.source, 4096, seed=1).var().item()
    assert variance == pytest.approx(expected, rel=0.06)
    assert abs(expected - b**2) > 0.3 * b**2
    x = torch.linspace(-2, 2, 9)[:, None]
    for t in (0.25, 0.5, 0.75):
        to_x, to_v = torch.tensor([1 - t, t]), torch.tensor([-1.0, 1.0])
        slope = (to_v @ cov @ to_x) / (to_x @ cov @ to_x)
        scale = math.sqrt((to_x @ cov @ to_x).item())
        with torch.no_grad():
            assert_close(model.velocity(torch.tensor(t), x * scale), slope * x * scale, rtol=0, atol=0.12 * scale)


def test_epsilon_to_infinity_is_cfm_to_the_last_step(trained):
    plan = {"steps": 50, "batch_size": 64}
    cfm, *weighted = (
        trained(name, "8gaussians", model=model, plan=plan)[0]
        for name, model in (("cfm", {}), ("wcfm", {"epsilon": 1e12}), ("wcfm-balanced", {"epsilon": 1e9}))
    )
    for model in weighted:
        for a, b in zip(cfm.parameters(), model.parameters(), strict=True):
            assert_close(b, a, rtol=1e-4, atol=1e-5)


def test_vp_samples_by_its_probability_flow(built, exact):
    """The exact drift between N(0, 1) and N(0, b^2) carries every x0 to b x0, and has the density of the data."""
    model, data = built("vp", "gaussian", data={"dims": 1, "std": 0.5})
    assert model.path == VariancePreserving("cosine")

    def drift(t, x):
        scale, noise, d_scale, d_noise = model.path.coefficients(t)
        return x * (scale * d_scale * 0.25 + noise * d_noise) / (scale**2 * 0.25 + noise**2)

    model.net = exact(drift)
    x0 = noise(model.source, 100, seed=0)
    assert_close(model.sample(x0).x, 0.5 * x0, rtol=0, atol=1e-4)
    x = data.test.take(100, seed=0).x
    assert_close(model.log_prob(x), data.truth.log_prob(x), rtol=0, atol=1e-3)


def test_the_couplings_straighten_paths_in_the_known_order(built):
    """E |x1 - x0|^2 of the pairs: optimal transport < W-CFM < independent."""
    lengths = {}
    for name in ("cfm", "wcfm", "otcfm"):
        model, data = built(name, "8gaussians")
        model.prepare(data, 0)
        pairs = [model.draw(data.train.batch(i, 256, 0), torch.Generator().manual_seed(i)) for i in range(20)]
        weight = torch.cat([p.weight for p in pairs])
        square = torch.cat([p.velocity for p in pairs]).square().sum(1)
        lengths[name] = ((weight * square).sum() / weight.sum()).item()
    assert lengths["otcfm"] < lengths["wcfm"] < lengths["cfm"]
    assert lengths["cfm"] == pytest.approx(25 + 2 * 0.1**0.5 + 2, rel=0.05)  # |center|^2 + 2 std^2 + 2


def test_the_record_of_a_run_states_the_kappa_that_the_elbow_rule_chose(tmp_path):
    settings = {"model": {"kappa": "elbow"}, "plan": {"steps": 2, "batch_size": 16}}
    settings |= {"evaluation": {"n": 32, "batch": 32, "curve": []}}
    record = run(make_spec("wcfm", "moons", metrics=["failed"], settings=settings), Store(tmp_path))
    chosen = record["provenance"]["training"]["cost"]["kappa"]
    assert min(abs(chosen / kappa - 1) for kappa in GRID) < 1e-3
    assert Run(record, "wcfm kappa=elbow", None).stated == f"kappa={chosen:.4g}"
