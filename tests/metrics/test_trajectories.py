import math
from dataclasses import replace

import pytest
import torch

from genbench.core import Normal, Source, Truth
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.registry import datasets, metrics


class Signs(Source):
    """Plus and minus one in every coordinate: each |z0|^2 is d, so that means over noise are exact."""

    def __init__(self, d):
        self.shape = (d,)

    def sample(self, n, generator):
        return torch.randint(0, 2, (n, *self.shape), generator=generator).float() * 2 - 1

    def log_prob(self, x):
        raise Unsupported("the signs have no density")


def gaussian_field(s):
    """Return the field of independent pairs from N(0, 1) to N(0, s^2)."""

    def field(t, x):
        return x * (-(1 - t) + t * s * s) / ((1 - t) ** 2 + t * t * s * s)

    return field


@pytest.fixture
def evaluation(fixed_velocity):
    """Build the evaluation of a model with a known velocity."""

    def build(velocity, d=1, w2_squared=None, source=None, batch=64):
        source = source or Signs(d)
        data = replace(datasets["gaussian"].build(dims=d), source=source, truth=Truth(w2_squared=lambda: w2_squared))
        model = fixed_velocity(data.event, source, velocity)
        return Evaluation(data, 0, x=torch.zeros(1, d), model=model, batch=batch)

    return build


def read(name, where, **settings):
    value = metrics[name].build(where, n=100, **settings)
    return value.value if not isinstance(value, list) else {v.part: v.value for v in value}


@pytest.mark.parametrize(
    ("s", "energy", "straight", "npe"),
    [(0.5, 0.46460184, 0.21460184, 0.85840735), (2.0, 1.85840735, 0.85840735, 0.85840735)],
)
def test_gaussian_to_gaussian_is_the_closed_form(s, energy, straight, npe, evaluation):
    where = evaluation(gaussian_field(s), w2_squared=(s - 1) ** 2)
    torch.testing.assert_close(read("path_energy", where), energy, atol=2e-4, rtol=0)
    torch.testing.assert_close(read("straightness", where), straight, atol=2e-4, rtol=0)
    parts = read("npe", where)
    torch.testing.assert_close(parts[""], npe, atol=5e-4, rtol=0)
    torch.testing.assert_close(parts["path"], npe, atol=5e-4, rtol=0)
    assert abs(parts["transport"]) < 5e-4
    nearest = s / math.sqrt(1 + s * s)  # the least of sd_t, from where the path turns back
    length = (1 - nearest) + (s - nearest)
    torch.testing.assert_close(read("detour", where), 1 - abs(s - 1) / length, atol=2e-3, rtol=0)


def test_samples_of_an_sde_have_no_paths_to_measure(evaluation):
    where = replace(evaluation(gaussian_field(0.5)), options={"diffusion": 1.0})
    with pytest.raises(Unsupported, match=r"sample\.diffusion=0"):
        read("straightness", where)


def test_the_paths_of_a_rotation_are_arcs(evaluation):
    turn, angle = torch.tensor([[0.0, -1.0], [1.0, 0.0]]), 2.0
    where = evaluation(lambda t, x: angle * x @ turn.T, d=2)
    chord = 2 * math.sin(angle / 2)
    torch.testing.assert_close(read("path_energy", where), 2 * angle**2, atol=1e-3, rtol=0)
    torch.testing.assert_close(read("straightness", where), 2 * (angle**2 - chord**2), atol=1e-3, rtol=0)
    torch.testing.assert_close(read("detour", where), 1 - chord / angle, atol=1e-4, rtol=0)


def test_a_flow_that_stops_short_has_a_negative_transport_part(evaluation):
    where = evaluation(lambda t, x: -0.25 * x / (1 - 0.25 * t), w2_squared=0.25)
    parts = read("npe", where)
    torch.testing.assert_close(parts["transport"], -0.75, atol=1e-3, rtol=0)
    torch.testing.assert_close(parts[""], 0.75, atol=1e-3, rtol=0)
    torch.testing.assert_close(parts[""], abs(parts["path"] + parts["transport"]), atol=1e-9, rtol=0)


def test_metrics_share_one_solution_whose_error_is_far_below_the_standard_error(evaluation):
    calls, exact = [], gaussian_field(0.5)
    where = evaluation(lambda t, x: calls.append(1) or exact(t, x), w2_squared=0.25, source=Normal((1,)))
    value = metrics["path_energy"].build(where, n=2048)
    spent = len(calls)
    for name in ("straightness", "npe", "detour"):
        metrics[name].build(where, n=2048)
    assert len(calls) == spent
    tight = metrics["path_energy"].build(where, n=2048, tol=1e-6)
    assert abs(value.value - tight.value) < value.details["standard_error"] / 20
    assert abs(value.value - 0.46460184) < 4 * value.details["standard_error"]


def test_paths_do_not_depend_on_the_batch(evaluation):
    wide, narrow = (evaluation(gaussian_field(2.0), source=Normal((1,)), batch=batch) for batch in (100, 7))
    torch.testing.assert_close(read("path_energy", wide), read("path_energy", narrow), atol=1e-3, rtol=0)


def test_the_reason_is_given_where_there_is_no_value(evaluation):
    where = evaluation(gaussian_field(2.0), d=9)
    (row,) = measure(where, "npe", {"n": 10}, True)
    assert "9 dimensions" in row["reason"]
    where.model.source = Normal((9,))
    (row,) = measure(where, "npe", {"n": 10}, True)
    assert "source of the task" in row["reason"]
    where.model.conditional = True
    (row,) = measure(where, "npe", {"n": 10}, True)
    assert "to each class" in row["reason"]
    still = evaluation(lambda t, x: 0 * x)
    assert "length 0" in measure(still, "detour", {"n": 10}, True)[0]["reason"]
    alone = Evaluation(where.data, 0, x=torch.zeros(1, 9))
    for name in ("path_energy", "straightness", "npe", "detour"):
        assert "ODE" in measure(alone, name, {}, True)[0]["reason"]
