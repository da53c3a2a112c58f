"""Flow matching in JAX as an expert writes it: vmap over seeds, scan over steps, one program and one thread."""

import os
from collections.abc import Callable
from typing import Any

# Read when JAX is imported: one thread, as the other side has.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["NPROC"] = "1"

WIDTH, SIGMA, LR, DECAY, BETAS = 64, 0.1, 1e-3, 1e-5, (0.9, 0.999)


def jax_loop(steps: int, seeds: int, batch: int) -> Callable[[], object]:
    """Return the training of an ensemble on eight Gaussians to moons: data, noise, loss, gradient and AdamW in a scan.

    Network, data, loss and optimizer equal the other loops in the table.
    """
    import jax
    import jax.numpy as jnp
    from jax import random

    sizes = [3, WIDTH, WIDTH, WIDTH, 2]

    def start(key: Any) -> list[tuple[Any, Any]]:
        bounds = [size**-0.5 for size in sizes[:-1]]
        keys = random.split(key, 2 * len(bounds))
        return [
            (
                random.uniform(keys[2 * i], (sizes[i], sizes[i + 1]), minval=-bound, maxval=bound),
                random.uniform(keys[2 * i + 1], (sizes[i + 1],), minval=-bound, maxval=bound),
            )
            for i, bound in enumerate(bounds)
        ]

    def net(layers: list[tuple[Any, Any]], x: Any) -> Any:
        for weight, bias in layers[:-1]:
            x = jax.nn.selu(x @ weight + bias)
        return x @ layers[-1][0] + layers[-1][1]

    def pairs(key: Any) -> tuple[Any, Any, Any, Any]:
        mode, noise, arc, angle, shift, times, blur = random.split(key, 7)
        turn = random.randint(mode, (batch,), 0, 8) * (jnp.pi / 4)
        x0 = 5 * jnp.stack([jnp.cos(turn), jnp.sin(turn)], 1) + 0.1**0.25 * random.normal(noise, (batch, 2))
        upper, theta = random.bernoulli(arc, 0.5, (batch,)), jnp.pi * random.uniform(angle, (batch,))
        outer = jnp.stack([jnp.cos(theta), jnp.sin(theta)], 1)
        inner = jnp.stack([1 - jnp.cos(theta), 0.5 - jnp.sin(theta)], 1)
        x1 = 3 * (jnp.where(upper[:, None], outer, inner) + 0.2 * random.uniform(shift, (batch, 1))) - 1
        return x0, x1, random.uniform(times, (batch, 1)), SIGMA * random.normal(blur, (batch, 2))

    def loss(layers: list[tuple[Any, Any]], key: Any) -> Any:
        x0, x1, t, blur = pairs(key)
        velocity = net(layers, jnp.concatenate([(1 - t) * x0 + t * x1 + blur, t], 1))
        return jnp.mean((velocity - (x1 - x0)) ** 2)

    def step(state: Any, now: Any) -> tuple[Any, Any]:
        layers, first, second, key = state
        value, gradient = jax.value_and_grad(loss)(layers, random.fold_in(key, now))
        first = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, first, gradient)
        second = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, second, gradient)
        rates = [1 - beta ** (now + 1.0) for beta in BETAS]

        def moved(weight: Any, m: Any, v: Any) -> Any:
            return weight * (1 - LR * DECAY) - LR * m / rates[0] / (jnp.sqrt(v / rates[1]) + 1e-8)

        return (jax.tree.map(moved, layers, first, second), first, second, key), value

    @jax.jit
    @jax.vmap
    def train(key: Any) -> Any:
        layers = start(key)
        zeros = jax.tree.map(jnp.zeros_like, layers)
        return jax.lax.scan(step, (layers, zeros, zeros, key), jnp.arange(steps))[1]

    keys = random.split(random.key(0), seeds)

    def loop() -> object:
        losses = train(keys).block_until_ready()
        if not bool(jnp.isfinite(losses).all()):
            raise AssertionError("the loss of the peer is not finite")
        return losses

    return loop
