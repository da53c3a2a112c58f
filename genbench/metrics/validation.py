"""The loss of a model on held-out data, which shows when training begins to overfit."""

import math

import torch

from genbench.core import Batch
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value
from genbench.registry import metrics
from genbench.seeds import derive, generator
from genbench.settings import Count


@metrics.register("validation_loss", version=1, better="none", bounds=(None, None), of="model")
@torch.no_grad()
def validation_loss(evaluation: Evaluation, *, draws: Count = 1024) -> list[Value]:
    """Training loss on the validation split, also as `bits` per dimension for models that are trained by likelihood.

    Every model has a loss of its own, so compare it along one training, not between models. Noise, times and
    couplings are drawn in the same way after every step, and labels dropped at the rate of training. Couplings pair
    within batches of `evaluation.batch`, or of all validation samples if these are fewer, whatever the batch size of
    training; the detail `batch` states it. Models of latents have the loss of their latents, and bits per dimension of
    these, which are continuous: see `latent_bits_per_dim`.

    Args:
        draws: examples; validation samples are repeated, each time with other noise, until there are so many.
    """
    inner = evaluation.inner
    model, split = inner.model, inner.data.valid
    if model is None:
        raise Unsupported("samples alone have no loss")
    if split.size == 0:
        raise Unsupported("no data is held out for validation")
    n = min(draws, split.size or draws)
    device = next(model.parameters()).device
    x, label = (part.to(device) for part in split.take(n, derive(evaluation.seed, "validation")))
    rows, stream = torch.arange(draws) % n, generator(evaluation.seed, "validation", device=device)
    totals: dict[str, float] = {}
    size = min(evaluation.batch, n)
    for part in rows.split(size):
        scalars = model.loss(model.draw(Batch(x[part], label[part]), stream))
        for name in ("loss", "nll_per_dim"):
            if name in scalars:
                totals[name] = totals.get(name, 0.0) + float(scalars[name]) * len(part) / draws
    if not all(map(math.isfinite, totals.values())):
        raise Unsupported("the loss on validation data is not finite")
    protocol = f"its own loss, {draws} draws of {n} validation samples"
    values = [Value(totals["loss"], draws, protocol, details={"batch": size})]
    if "nll_per_dim" in totals:
        bits = (totals["nll_per_dim"] + inner.data.space.log_scale) / math.log(2)
        of = "validation data" if inner is evaluation else f"{inner.space} as data"
        density = f"density of {model.density}{', labels dropped as in training' if model.conditional else ''}"
        protocol = f"bits/dim of {of}, {density}, {draws} draws of {n} samples"
        values.append(Value(bits, draws, protocol, "bits", better="lower"))
    return values
