"""Sampling from transformer flows: caches, Jacobi decoding, guidance."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close
from toy_transformer_flows import IMAGE, NAMES, VECTOR, perturbed, points

from genbench.core import Event
from genbench.models.starflow.guidance import Affine, starflow, tarflow, weights
from genbench.models.starflow.jacobi_decoding import Jacobi, Response, sequential
from genbench.nets.transformer import angles, rotate

LABEL = torch.tensor([0, 1, 2])


@pytest.mark.parametrize("inject", ["prefix", "add"])
@pytest.mark.parametrize("positions", ["rope", "learned"])
@pytest.mark.parametrize("cuts", [[0, 1, 2, 3, 4, 5, 6], [0, 6], [0, 2, 5, 6]])
def test_cached_steps_equal_the_full_pass(inject, positions, cuts):
    model = perturbed("starflow", IMAGE, conditional=True, inject=inject, positions=positions).double()
    net = model.flow.blocks[0].net
    tokens = model.flow.tokens.split(points(IMAGE, 3, torch.float64))
    prefix = model.classes(LABEL)
    cache = net.start(prefix)
    with torch.no_grad():
        steps = [net.step(tokens[:, a:b], cache, a) for a, b in itertools.pairwise(cuts)]
        assert_close(torch.cat(steps, 1), net(tokens, prefix))


def test_a_longer_prefix_is_causal_and_told_apart_by_place():
    """In one layer, keys and values of a prefix token are its own: only places tell an order from another."""
    model = perturbed("starflow", IMAGE, conditional=True, blocks=[1]).double()
    net = model.flow.blocks[0].net
    tokens = model.flow.tokens.split(points(IMAGE, 2, torch.float64))
    prefix = torch.randn(2, 5, 16, dtype=torch.float64)
    with torch.no_grad():
        out = net(tokens, prefix)
        cache = net.start(prefix)
        assert_close(torch.cat([net.step(tokens[:, i : i + 1], cache, i) for i in range(6)], 1), out)
        assert (net(tokens, prefix.flip(1)) - out).abs().amax((1, 2)).min() > 1e-4


@pytest.mark.parametrize(("axes", "head"), [(1, 8), (2, 8), (3, 16)])
def test_rotary_products_depend_on_differences_of_places_along_every_axis(axes, head):
    q, k = torch.randn(2, head, dtype=torch.float64)

    def product(here, there):
        rotations = angles(torch.tensor([here, there]), head).double().unbind(1)
        return rotate(q[None], rotations[0][:, None])[0] @ rotate(k[None], rotations[1][:, None])[0]

    zero = [0] * axes
    assert_close(product(zero, zero), q @ k)
    for axis in range(axes):
        one, three, five = ([n if a == axis else 0 for a in range(axes)] for n in (1, 3, 5))
        assert_close(product(one, three), product(three, five), atol=1e-5, rtol=1e-5)
        assert (product(zero, one) - q @ k).abs() > 1e-3


def test_the_cache_is_allocated_once_and_written_in_place():
    net = perturbed("starflow", IMAGE).flow.blocks[0].net
    cache = net.start()
    tokens = torch.randn(2, 6, 8)
    with torch.no_grad():
        net.step(tokens[:, :1], cache, 0)
        where = [layer.memory[0].data_ptr() for layer in cache.layers]
        net.step(tokens[:, 1:4], cache, 1)
    assert [layer.memory[0].data_ptr() for layer in cache.layers] == where
    assert cache.layers[0].memory[0].shape[2] == 6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("event", [pytest.param(IMAGE, id="image"), pytest.param(VECTOR, id="vector")])
@pytest.mark.parametrize("window", [1, 2, 3, 100])
def test_jacobi_without_tolerance_is_sequential_and_takes_at_most_as_many_sweeps_as_tokens(name, event, window):
    model = perturbed(name, event, 0.1).double()
    z = points(event, 3, torch.float64)
    expected = model.sample(z)
    found = model.sample(z, decode="jacobi", tolerance=0.0, window=window)
    assert_close(found.x, expected.x, atol=1e-10, rtol=1e-10)
    tokens = model.flow.tokens.count
    assert 1 <= found.nfe <= min(window, tokens)
    assert expected.nfe == 1


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
def test_jacobi_errs_by_no_more_than_its_tolerance(tolerance):
    model = perturbed("starflow", Event((1, 8, 8)), 0.1, patch=1).double()
    z = points(Event((1, 8, 8)), 4, torch.float64)
    exact = model.sample(z).x
    found = model.sample(z, decode="jacobi", tolerance=tolerance, window=16)
    assert (found.x - exact).abs().max() <= tolerance
    loose = model.sample(z, decode="jacobi", tolerance=100 * tolerance, window=16)
    assert loose.nfe < found.nfe


def linear(coupling):
    """A chain u_i = coupling u_{i-1} + z_i, and how often its step was called."""
    calls = []

    def step(inputs, at):
        calls.append((at, inputs.shape[1]))
        return Affine(coupling * inputs, torch.zeros_like(inputs))

    return step, calls


def chain(z, coupling):
    u, last = [], torch.zeros_like(z[:, :1])
    for i in range(z.shape[1]):
        last = coupling * last + z[:, i : i + 1]
        u.append(last)
    return torch.cat(u, 1)


@pytest.mark.parametrize("decode", [sequential, Jacobi(4, 1e-12), Jacobi(32, 0.0)])
def test_decoding_solves_a_linear_chain(decode):
    z = torch.randn(3, 20, 2, dtype=torch.float64)
    step, _ = linear(0.7)
    found = decode(z, torch.zeros(3, 1, 2, dtype=torch.float64), step)
    assert_close(found.u, chain(z, 0.7), atol=1e-10, rtol=1e-10)


def test_independent_tokens_take_one_sweep():
    z = torch.randn(2, 12, 1)
    step, calls = linear(0.0)
    assert Jacobi(12, 0.0)(z, torch.zeros(2, 1, 1), step).evaluated == 12  # the noise is the solution
    assert len(calls) == 1


def test_corrections_are_carried_along_a_chain(monkeypatch):
    """Plain iteration takes a sweep a token there, since a token is told of a correction when its neighbour has it."""
    z = torch.randn(2, 40, 3, dtype=torch.float64)
    coupling = torch.tensor([[0.9, 0.2, 0.0], [-0.3, 0.8, 0.0], [0.0, 0.1, 0.95]], dtype=torch.float64)
    calls = []

    def step(inputs, at):
        calls.append(at)
        return Affine(inputs @ coupling, torch.zeros_like(inputs))

    def sweeps(reach):
        monkeypatch.setattr(Response, "REACH", reach)
        calls.clear()
        found = Jacobi(40, 1e-8)(z, torch.zeros(2, 1, 3, dtype=torch.float64), step).u
        assert_close(found, sequential(z, torch.zeros(2, 1, 3, dtype=torch.float64), step).u, atol=1e-6, rtol=0)
        return len(calls) - 40

    assert sweeps(0) == 39  # the first guess of token 0 happens to be right
    assert sweeps(3) < 25


def test_the_response_of_a_linear_chain_is_its_coupling():
    coupling = torch.tensor([[0.5, 0.2], [-0.4, 0.7]], dtype=torch.float64)
    solution = torch.randn(3, 30, 2, dtype=torch.float64)
    response = Response(torch.zeros(2, 2, dtype=torch.float64))
    guess = torch.randn(3, 30, 2, dtype=torch.float64)

    def before(u):
        return torch.cat([torch.zeros_like(u[:, :1]), u[:, :-1]], 1)

    for _ in range(6):
        wrong = guess - solution
        guess = guess + response(before(wrong) @ coupling - wrong, 0)
    assert_close(response.matrix, coupling, atol=0.1, rtol=0)


def test_the_response_leaves_alone_what_is_settled():
    response = Response(torch.zeros(2, 2))
    for _ in range(5):
        residual = torch.randn(3, 8, 2)
        residual[:, :3] = 0
        correction = response(residual, 0)
        assert_close(correction[:, :3], torch.zeros(3, 3, 2))
        assert_close(correction[:, 3], residual[:, 3])
    assert (correction[:, 4:] - residual[:, 4:]).abs().max() > 1e-3


def test_by_default_one_sample_of_many_tokens_is_decoded_by_jacobi_and_a_batch_is_not():
    event = Event((1, 16, 16))
    model = perturbed("starflow", event, 0.02, patch=1, blocks=[1, 1])
    x0 = points(event, 3)
    alone, three = model.sample(x0[:1]), model.sample(x0)
    assert alone.nfe > three.nfe == 1
    assert_close(alone.x, three.x[:1], atol=8e-3, rtol=0)
    assert_close(three.x, model.sample(x0, decode="sequential").x, atol=0, rtol=0)
    assert model.sample(x0[:1], decode="sequential").nfe == 1
    few = perturbed("starflow", IMAGE)
    assert few.sample(points(IMAGE, 1)).nfe == 1


def test_jacobi_works_under_bfloat16():
    model = perturbed("starflow", IMAGE, 0.1)
    x0 = points(IMAGE, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.sample(x0, decode="jacobi", tolerance=1e-3).x
    assert found.dtype == torch.float32
    assert_close(found, model.sample(x0).x, atol=0.2, rtol=0.1)


def test_samples_are_tensors_like_any_other():
    x = perturbed("starflow", IMAGE).sample(points(IMAGE, 2)).x
    assert not x.is_inference()
    (x.requires_grad_() ** 2).sum().backward()


def test_a_cap_bounds_the_sweeps_of_every_token():
    z = torch.randn(2, 30, 1)
    step, calls = linear(0.9)
    found = Jacobi(8, 0.0, sweeps=3)(z, torch.zeros(2, 1, 1), step)
    visits = torch.zeros(30, dtype=torch.long)
    for at, size in calls:
        visits[at : at + size] += 1
    assert visits.max() == 3
    assert found.evaluated == visits.sum()


def test_wild_guesses_do_not_spoil_what_is_finite():
    """Guesses beyond the settled tokens may overflow, and a causal sum meets infinity times zero."""
    z = torch.randn(1, 6, 1, dtype=torch.float64)
    first = torch.zeros(1, 1, 1, dtype=torch.float64)
    solution = z.clone()
    solution[:, 0] += 1
    sums = torch.cat([first, solution[:, :-1]], 1).cumsum(1)
    seen = torch.zeros(1, 6, 1, dtype=torch.float64)

    def step(inputs, at):
        end = at + inputs.shape[1]
        seen[:, at:end] = inputs
        causal = torch.ones(end - at, end, dtype=torch.float64).tril(at)
        mu = torch.zeros_like(inputs)
        if at == 0:
            mu[:, 0] = 1
        return Affine(mu, 1e4 * (causal @ seen[:, :end] - sums[:, at:end]).abs().round(decimals=6))

    assert_close(sequential(z, first, step).u, solution)
    assert_close(Jacobi(6, 0.0)(z, first, step).u, solution)


def test_a_failed_sample_stays_failed_and_spoils_no_other():
    model = perturbed("starflow", IMAGE, 0.1)
    z = points(IMAGE, 3)
    expected = model.sample(z).x
    z[1, 0, 0, 0] = math.nan
    for options in ({}, {"decode": "jacobi", "tolerance": 1e-6}):
        found = model.sample(z, **options).x
        assert found[1].isnan().any()
        assert_close(found[[0, 2]], expected[[0, 2]], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("options", [{}, {"decode": "jacobi", "tolerance": 1e-6, "window": 4}])
def test_a_sample_does_not_depend_on_its_batch(name, options):
    model = perturbed(name, IMAGE, 0.1)
    z = points(IMAGE, 9)
    whole = model.sample(z, **options).x
    parts = torch.cat([model.sample(part, **options).x for part in z.split([1, 3, 5])])
    assert_close(parts, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rule", [starflow, tarflow])
def test_no_guidance_is_the_plain_prediction(rule):
    given, null = (Affine(torch.randn(2, 3, 4), torch.randn(2, 3, 4)) for _ in range(2))
    for found, expected in zip(rule(given, null, torch.zeros(3, 1)), given, strict=True):
        assert_close(found, expected)


@pytest.mark.parametrize("rule", [starflow, tarflow])
def test_guidance_extrapolates_linearly_where_variances_agree(rule):
    log_sigma = torch.randn(2, 3, 4)
    given, null = (Affine(torch.randn(2, 3, 4), log_sigma) for _ in range(2))
    mu, scale = rule(given, null, torch.full((3, 1), 1.7))
    assert_close(mu, 2.7 * given.mu - 1.7 * null.mu)
    assert_close(scale, log_sigma)


def test_the_starflow_rule_is_the_product_of_gaussians():
    """Where the conditional variance is the smaller, the guided density is p_c^(1+w) / p_u^w."""
    given = Affine(torch.tensor([[[0.4]]]), torch.tensor([[[-0.6]]]))
    null = Affine(torch.tensor([[[-0.3]]]), torch.tensor([[[0.1]]]))
    w = 1.5
    mu, log_sigma = starflow(given, null, torch.tensor([[w]]))
    u = torch.linspace(-3, 3, 50)

    def log_density(affine):
        return torch.distributions.Normal(affine[0].item(), affine[1].exp().item()).log_prob(u)

    gap = (1 + w) * log_density(given) - w * log_density(null) - log_density((mu, log_sigma))
    assert gap.std() < 1e-4


def test_the_starflow_rule_never_widens_nor_overflows():
    given, null = (Affine(torch.randn(50, 3, 4), 3 * torch.randn(50, 3, 4)) for _ in range(2))
    mu, log_sigma = starflow(given, null, torch.full((3, 1), 20.0))
    assert (log_sigma <= given.log_sigma + 1e-6).all()
    assert mu.isfinite().all()


def test_annealed_weights_grow_from_nothing_to_all():
    assert_close(weights(2.0, 5, "linear"), torch.tensor([[0.0], [0.5], [1.0], [1.5], [2.0]]))
    assert_close(weights(2.0, 3, "constant"), torch.full((3, 1), 2.0))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rule", ["starflow", "tarflow"])
def test_guidance_works_where_the_label_is_seen(name, rule):
    model = perturbed(name, IMAGE, 0.1, conditional=True).double()
    z = points(IMAGE, 3, torch.float64)
    plain = model.sample(z, label=LABEL)
    barely = model.sample(z, label=LABEL, guidance=1e-9, rule=rule)
    assert_close(barely.x, plain.x, atol=1e-6, rtol=1e-6)
    guided = model.sample(z, label=LABEL, guidance=1.0, rule=rule)
    assert (guided.x - plain.x).abs().max() > 1e-3
    tokens = model.flow.tokens.count
    shares = [b.net.depth * b.steps * (2 if b.net.conditioned else 1) for b in model.flow.blocks]
    assert guided.nfe == pytest.approx(sum(shares) / sum(b.net.depth * b.steps for b in model.flow.blocks))
    assert tokens == 6
    fast = model.sample(z, label=LABEL, guidance=1.0, rule=rule, decode="jacobi", tolerance=0.0)
    assert_close(fast.x, guided.x, atol=1e-9, rtol=1e-9)
    nothing = torch.full((3,), -1)
    unguided = model.sample(z, label=nothing, guidance=1.0, rule=rule)
    assert_close(unguided.x, model.sample(z).x)  # no label against no label


def test_a_model_of_one_token_samples():
    model = perturbed("starflow", Event((1, 2, 2)), patch=2)
    x0 = points(Event((1, 2, 2)), 3)
    assert_close(model.sample(x0, decode="jacobi").x, model.sample(x0).x)


def test_labels_do_not_touch_an_unconditional_model():
    model = perturbed("starflow", IMAGE)
    x0 = points(IMAGE, 3)
    assert_close(model.sample(x0, label=LABEL).x, model.sample(x0).x)
    assert_close(model.log_prob(x0, label=LABEL), model.log_prob(x0))
