"""TARFlow and STARFlow: two sets of values for one transformer flow."""

from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import MinLen

from genbench.core import Event, Source
from genbench.errors import ConfigError
from genbench.models.starflow.autoregressive import Flow, Form, Order
from genbench.models.starflow.model import Classes, Noise, TransformerFlow
from genbench.models.starflow.patches import Tokens
from genbench.models.text.conditioning import TextSetting, build
from genbench.nets.transformer import Architecture, Norm, Positions
from genbench.registry import models
from genbench.settings import ByEvent, Count, Fraction, NonNegative, Positive

Blocks = Annotated[tuple[Count, ...], MinLen(1)]


def _kind(event: Event) -> Literal["vector", "small", "large"]:
    if len(event.shape) == 1:
        return "vector"
    return "small" if event.shape[-1] * event.shape[-2] <= 64 else "large"


def _patch(event: Event) -> int:
    """Return the smallest patch that leaves at most 16 tokens of a small image, 64 of a large one."""
    if len(event.shape) == 1:
        return 1
    height, width = event.shape[-2:]
    most = 16 if _kind(event) == "small" else 64
    divisors = [p for p in range(1, height + 1) if height % p == width % p == 0]
    return next((p for p in divisors if (height // p) * (width // p) <= most), divisors[-1])


def _tarflow_blocks(event: Event) -> Blocks:
    return {"vector": (1,) * 8, "small": (2,) * 4, "large": (4,) * 4}[_kind(event)]


def _starflow_blocks(event: Event) -> Blocks:
    return {"vector": (3, 1, 1, 1, 1, 1), "small": (5, 1, 1, 1), "large": (10, 2, 2, 2)}[_kind(event)]


def _width(event: Event) -> int:
    return 128 if _kind(event) == "large" else 64


def _head(event: Event) -> int:
    return 32 if _kind(event) == "large" else 16


_BLOCKS = (
    "layers of each block in the order of sampling, so the deep one first; by default 8 blocks of 1 layer for vectors,"
    " 4 of 2 for images up to 8x8, 4 of 4 for larger ones, which starflow shares out as 3-1-1-1-1-1, 5-1-1-1, 10-2-2-2"
)
TarflowBlocks = Annotated[Blocks | None, ByEvent(_tarflow_blocks), _BLOCKS]
StarflowBlocks = Annotated[Blocks | None, ByEvent(_starflow_blocks), _BLOCKS]
Patch = Annotated[
    Count | None,
    ByEvent(_patch),
    "side of an image patch, or coordinates in a token of a vector; by default 1 for vectors, and for images the"
    " smallest that leaves at most 64 tokens (16 up to 8x8)",
]
Width = Annotated[
    Count | None,
    ByEvent(_width),
    "numbers a token has inside the transformer; by default 64, and 128 for images larger than 8x8",
]
Head = Annotated[
    Count | None,
    ByEvent(_head),
    "numbers of an attention head; by default 16, and 32 for images larger than 8x8",
]
Orders = Annotated[
    tuple[Order, ...],
    "orders in which the blocks see the tokens, in the order of sampling, repeated as often as needed",
]
First = Annotated[
    Literal["start", "shift"],
    "start: a learned token comes first and every token is transformed; shift: the first token is copied",
]
Scale = Annotated[Literal["exp", "softplus"], "sigma as exponential or softplus of the network output"]
Clip = Annotated[Positive | None, "bound of a soft clip (tanh) on the network outputs; none does not clip"]
PositionsSetting = Annotated[Positions, "rotary positions over row and column, or a learned embedding of each place"]
NormSetting = Annotated[Norm, "layer norm or root-mean-square norm, before each part of a layer"]
FinalNorm = Annotated[bool, "whether a norm precedes the output"]
NoiseSetting = Annotated[
    Noise,
    "what training adds to data: uniform dequantises over a bin (for likelihood; nothing where data is continuous), a"
    " number is the deviation of Gaussian noise (for samples), none adds nothing",
]
Penalty = Annotated[NonNegative, "weight in the loss of the mean square of the latents between blocks"]
Conditional = Annotated[bool, "whether the model is trained on labels"]
Conditioned = Annotated[
    Literal["first", "all"], "blocks that see the label: the first in sampling (the deep one), or all"
]
Inject = Annotated[
    Literal["prefix", "add"], "whether a label's embedding comes before the inputs as a token, or is added to them all"
]
Init = Annotated[
    Positive,
    "deviation of the initial embeddings of labels and learned positions; the papers have 0.01. Where they are added"
    " to inputs (deviation 0.6), 0.3 is seen from the first step, and 0.01 takes thousands of steps to grow",
]
Dropout = Annotated[
    Fraction, "share of labels dropped in conditional training, of captions replaced by the empty one, for guidance"
]
Checkpoint = Annotated[bool, "whether training recomputes the activations of a layer instead of keeping them"]

PLAN = {
    "optimizer": "adamw",
    "lr": 1e-3,
    "betas": (0.9, 0.95),
    "weight_decay": 1e-4,
    "warmup": 200,
    "schedule": "cosine",
    "lr_min": 0.01,
    "clip": 1.0,
}
"""The papers' optimiser, at a learning rate for small networks and with gradients clipped."""


@models.register("tarflow", version=2, plan=PLAN)
def tarflow(
    event: Event,
    source: Source,
    *,
    blocks: TarflowBlocks = None,
    patch: Patch = None,
    width: Width = None,
    head: Head = None,
    order: Orders = ("flip", "identity"),
    first: First = "shift",
    scale: Scale = "exp",
    clip: Clip = None,
    positions: PositionsSetting = "learned",
    norm: NormSetting = "layer",
    final_norm: FinalNorm = False,
    noise: NoiseSetting = "uniform",
    penalty: Penalty = 0.0,
    conditional: Conditional = False,
    text: TextSetting = None,
    conditioned: Conditioned = "all",
    inject: Inject = "add",
    init: Init = 0.3,
    label_dropout: Dropout = 0.1,
    checkpoint: Checkpoint = False,
) -> TransformerFlow:
    """Autoregressive transformer flow of equal blocks, with an exact likelihood (TARFlow).

    Zhai et al., 2024, "Normalizing flows are capable generative models", https://arxiv.org/abs/2412.06329.
    Labels have one table of embeddings for all blocks.

    Raises:
        ConfigError: if the sizes do not fit the event or each other, or the data lacks labels or captions asked for.
        Unsupported: if the source is not N(0, I).
    """
    width, head = width or _width(event), head or _head(event)
    return _build(
        event,
        source,
        blocks or _tarflow_blocks(event),
        patch or _patch(event),
        order=order,
        form=Form(first, scale, clip),
        shape=Architecture(width, head, positions, norm, final_norm, inject, init, checkpoint),
        noise=noise,
        penalty=penalty,
        conditional=conditional,
        text=text,
        conditioned=conditioned,
        label_dropout=label_dropout,
    )


@models.register("starflow", version=1, plan=PLAN)
def starflow(
    event: Event,
    source: Source,
    *,
    blocks: StarflowBlocks = None,
    patch: Patch = None,
    width: Width = None,
    head: Head = None,
    order: Orders = ("identity", "flip"),
    first: First = "start",
    scale: Scale = "softplus",
    clip: Clip = 4.0,
    positions: PositionsSetting = "rope",
    norm: NormSetting = "rms",
    final_norm: FinalNorm = True,
    noise: NoiseSetting = "uniform",
    penalty: Penalty = 1e-4,
    conditional: Conditional = False,
    text: TextSetting = None,
    conditioned: Conditioned = "first",
    inject: Inject = "prefix",
    init: Init = 0.01,
    label_dropout: Dropout = 0.1,
    checkpoint: Checkpoint = False,
) -> TransformerFlow:
    """Deep-shallow autoregressive transformer flow, with an exact likelihood (STARFlow).

    Gu et al., 2025, "STARFlow: scaling latent normalizing flows for high-resolution image synthesis",
    https://arxiv.org/abs/2506.06276.

    Raises:
        ConfigError: if the sizes do not fit the event or each other, or the data lacks labels or captions asked for.
        Unsupported: if the source is not N(0, I).
    """
    width, head = width or _width(event), head or _head(event)
    return _build(
        event,
        source,
        blocks or _starflow_blocks(event),
        patch or _patch(event),
        order=order,
        form=Form(first, scale, clip),
        shape=Architecture(width, head, positions, norm, final_norm, inject, init, checkpoint),
        noise=noise,
        penalty=penalty,
        conditional=conditional,
        text=text,
        conditioned=conditioned,
        label_dropout=label_dropout,
    )


class Preset(NamedTuple):
    """A configuration of the papers: the model, the event it was made for, its settings."""

    model: str
    event: Event
    settings: dict[str, Any]


PRESETS = {
    "tarflow-2-768-8-8": Preset(
        "tarflow", Event((3, 64, 64), 1000, 2 / 256), {"patch": 2, "width": 768, "head": 64, "blocks": [8] * 8}
    ),
    "starflow-18(6)-2048": Preset(
        "starflow",
        Event((4, 32, 32), 1000),
        {
            "patch": 1,
            "width": 2048,
            "head": 64,
            "blocks": [18, 2, 2, 2, 2, 2],
            "noise": 0.3,
            "conditional": True,
            "checkpoint": True,
        },
    ),
    "starflow-24(6)-3072": Preset(
        "starflow",
        Event((4, 32, 32), 1, captions=("a photo of a frog",)),
        {
            "patch": 1,
            "width": 3072,
            "head": 64,
            "blocks": [24, 2, 2, 2, 2, 2],
            "noise": 0.3,
            "text": {"name": "transformers", "model": "google/flan-t5-xl", "shape": [128, 2048]},
            "checkpoint": True,
        },
    ),
}
"""TARFlow (patch-width-blocks-layers) on ImageNet at 64x64, and STARFlow (deep layers(blocks)-width) on the latents
of ImageNet and of captioned images at 256x256."""


def _build(
    event: Event,
    source: Source,
    blocks: Blocks,
    patch: int,
    *,
    order: tuple[Order, ...],
    form: Form,
    shape: Architecture,
    noise: Noise,
    penalty: float,
    conditional: bool,
    text: dict[str, Any] | str | None,
    conditioned: Literal["first", "all"],
    label_dropout: float,
) -> TransformerFlow:
    tokens = Tokens(event.shape, patch)
    if not order:
        raise ConfigError("model.order is empty; it needs at least one of identity, flip")
    if shape.width % shape.head or shape.head % 2:
        raise ConfigError(f"model.head={shape.head} must be even and divide model.width={shape.width}")
    if tokens.count == 1 and form.first == "shift":
        raise ConfigError("model.first=shift copies the only token there is; take first=start or a smaller patch")
    if conditional and not event.classes:
        raise ConfigError("model.conditional=true needs data with classes; this data has none")
    if text is not None and shape.inject != "prefix":
        raise ConfigError("model.text needs model.inject=prefix: a caption has several tokens, which cannot be added")
    seen = "none" if text is None and not conditional else conditioned
    flow = Flow(tokens, blocks, order=order, form=form, conditioned=seen, shape=shape)
    if text is not None:
        classes = build(event, shape.width, text)
    else:
        classes = Classes(event.classes, shape.width, shape.init) if conditional else None
    return TransformerFlow(
        event, source, flow, classes=classes, noise=noise, label_dropout=label_dropout, penalty=penalty
    )
