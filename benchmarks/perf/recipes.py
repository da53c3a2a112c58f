"""Hours that the recipes for GPUs would take, from the counted arithmetic of their training steps.

    python benchmarks/perf/recipes.py     # half a minute, no GPU; prints a table

Models are built without memory for their weights. The count includes the matrix products and convolutions of a training
step: forward, backward and, with checkpoint=true, forward again. Couplings, evaluation and loading are not counted.
Peak speeds are from NVIDIA's data sheets, for dense bfloat16 products with sums in float32. A training step is assumed
to reach SHARE of the peak.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from genbench.core import Batch, Model, Normal
from genbench.registry import models
from genbench.runs.spec import Spec, build_data, latent_event
from genbench.settings import Settings, build_component
from genbench.sweeps import suite

PEAKS = {"RTX 4090": 165e12, "A100": 312e12, "H100 SXM": 989e12}
SHARE = 0.4
LATENTS = 'encoder = { name = "autoencoder", channels = 4, factor = 8 }'
"""Has latents of the same shape as the autoencoder of Stable Diffusion, and needs no download."""


def recipes() -> Iterator[tuple[str, Spec]]:
    """Yield the recipes whose networks differ: other couplings train the network of cfm."""
    with tempfile.TemporaryDirectory() as folder:
        for label in ("a", "b"):
            (Path(folder) / label).mkdir()
            for number in range(20):
                Image.new("RGB", (256, 256), (number, number, number)).save(Path(folder) / label / f"{number}.png")
        images = {"data": {"path": folder}, "evaluation": {"n": 50}}
        latents = Path(folder) / "imagenet256.toml"
        latents.write_text(re.sub("^encoder = .*", LATENTS, suite.find("imagenet256").read_text(), flags=re.MULTILINE))
        yield "cifar10", _cell("cifar10", "cfm")
        yield "cifar10", _cell("cifar10", "starflow")
        yield "imagenet64", _cell("imagenet64", "tarflow", images)
        yield "imagenet256", _cell(latents, "starflow", images)


def _cell(path: str | Path, model: str, settings: Settings | None = None) -> Spec:
    return next(spec for spec in suite.load(path, settings).specs if spec.model["name"] == model)


def built(spec: Spec) -> Model:
    """Return the model of a recipe, without memory for its weights."""
    event = latent_event(spec.encoder, build_data(spec.data).event)
    with torch.device("meta"):
        return build_component(models, spec.model, event, Normal(event.shape))


def flops(model: Model, batch: int = 2) -> float:
    """Return the floating-point operations of a training step for one sample."""
    data = Batch(torch.zeros(batch, *model.event.shape), torch.zeros(batch, dtype=torch.int64))
    drawn = model.draw(data, torch.Generator().manual_seed(0))
    example = type(drawn)(*(item if item is None else item.to("meta") for item in drawn))
    no_autocast = patch.object(torch, "autocast", lambda *_, **__: nullcontext())  # it refuses tensors without memory
    with no_autocast, FlopCounterMode(display=False) as counter:
        model.train().loss(example)["loss"].backward()
    return counter.get_total_flops() / batch


def main() -> None:
    """Print the table."""
    cards = " | ".join(f"h, {card}" for card in PEAKS)
    print(f"| suite | model | parameters | steps x batch | TFLOP a step | exaFLOP | {cards} |")
    print("|---|---|---|---|---|---|" + "---|" * len(PEAKS))
    for name, spec in recipes():
        model = built(spec)
        steps, batch = spec.plan["steps"], spec.plan["batch_size"]
        step = flops(model) * batch
        hours = " | ".join(f"{steps * step / (SHARE * peak) / 3600:,.1f}" for peak in PEAKS.values())
        count = sum(weight.numel() for weight in model.parameters())
        print(
            f"| {name} | {spec.model['name']} | {count / 1e6:,.1f} M | {steps:,} x {batch} | {step / 1e12:,.1f} |"
            f" {steps * step / 1e18:,.1f} | {hours} |"
        )


if __name__ == "__main__":
    main()
