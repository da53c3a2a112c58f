"""The settings of transformer flows; TARFlow and STARFlow differ only in their values."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from annotated_types import MinLen

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.models.text_encoder import TextSetting
from genbench.nets.patches import Patches
from genbench.nets.transformer import Architecture, Norm, Positions
from genbench.settings import ByEvent, Count, Fraction, Layers, NonNegative, Positive

Order = Literal["identity", "flip"]
Noise = Literal["uniform"] | Positive | None
Blocks = Annotated[tuple[Layers, ...], MinLen(1)]


class Sizes(NamedTuple):
    """Default sizes of tokens and heads, the layers of each block, and the largest number of tokens."""

    width: int
    head: int
    tarflow: Blocks
    starflow: Blocks  # a deep block and shallow ones, with as many layers
    tokens: int


def sizes(event: Event) -> Sizes:
    """Return the sizes for vectors, for images of up to 8x8, and for larger images."""
    if event.is_vector:
        return Sizes(64, 16, (1,) * 8, (3, 1, 1, 1, 1, 1), tokens=4)
    if event.shape[-1] * event.shape[-2] <= 64:
        return Sizes(64, 16, (2,) * 4, (5, 1, 1, 1), tokens=16)
    return Sizes(128, 32, (4,) * 4, (10, 2, 2, 2), tokens=64)


def _patch(event: Event) -> int:
    """Return the smallest patch that leaves 2 tokens or more, at most the number in `sizes`; else the largest patch."""
    sides = event.shape if event.is_vector else event.shape[-2:]
    tokens = {
        p: math.prod(side // p for side in sides) for p in range(1, sides[0] + 1) if not any(s % p for s in sides)
    }
    several = [p for p, count in tokens.items() if count > 1] or [*tokens]
    return next((p for p in several if tokens[p] <= sizes(event).tokens), several[-1])


_BLOCKS = (
    "number of layers of each block in sampling order, the deep block of starflow first; by default 8 blocks of 1"
    " layer for vectors, 4 of 2 for images up to 8x8, 4 of 4 for larger ones; starflow divides the same layers into"
    " blocks of 3-1-1-1-1-1, 5-1-1-1 and 10-2-2-2"
)
TarflowBlocks = Annotated[Blocks | None, ByEvent(lambda event: sizes(event).tarflow), _BLOCKS]
StarflowBlocks = Annotated[Blocks | None, ByEvent(lambda event: sizes(event).starflow), _BLOCKS]


@dataclass(frozen=True, kw_only=True)
class Design:
    """Settings of transformer flows.

    Args:
        patch: side of an image patch, or number of coordinates in a token of a vector; by default the smallest that
            leaves at most 64 tokens (16 for images up to 8x8, 4 for vectors); if that would leave one token, the
            largest that leaves several.
        width: size of a token inside the transformer; by default 64, and 128 for images larger than 8x8.
        head: size of an attention head; by default 16, and 32 for images larger than 8x8.
        order: token order of each block in sampling order, repeated as often as needed.
        first: start: a learned token comes first and every token is transformed; shift: the first token is copied.
        scale: sigma as exponential or softplus of the network output; unit: sigma is 1 (TARFlow's volume-preserving
            variant).
        clip: bound of a soft clip (tanh) of the network outputs; none does not clip.
        positions: rotary positions over row and column, or a learned embedding of each place.
        norm: layer norm or root-mean-square norm, before each part of a layer.
        final_norm: whether a norm precedes the output.
        output_norm: the norm before the output; none takes the norm of the layers.
        rotary: how row, column and condition share the rotated pairs of a head. alternating: in turn. published: in
            consecutive parts, 8 for the condition if there is one (a quarter in heads of less than 32), and equal parts
            for row and column; a head of 64 has 12, 12 and 8. literal: 8 for the condition in small heads as well, as
            in the papers' code; a head of 16 then has none for row and column.
        null: the embedding of no label: the mean over the classes (TARFlow), or a learned one (STARFlow).
        noise: noise added to training data: uniform dequantizes over a bin (for likelihood; no effect on continuous
            data), a number is the standard deviation of Gaussian noise (for samples), none adds nothing.
        penalty: weight in the loss of the mean square of the tokens between blocks.
        penalty_over: mean or sum over the gaps between blocks.
        conditional: whether the model is trained on labels.
        conditioned: blocks that take the label: the first in sampling order (the deep one), or all.
        inject: whether the embedding of a label precedes the inputs as a token, or is added to them all.
        init: standard deviation of the initial embeddings of labels and learned positions; 0.01 in the papers. They are
            added to inputs of standard deviation 0.6: 0.3 has an effect from the first step, 0.01 after thousands.
        label_dropout: share of labels dropped in conditional training, or of captions replaced by the empty one, for
            guidance.
        checkpoint: whether training recomputes the activations of a layer instead of keeping them.
    """

    patch: Annotated[Count | None, ByEvent(_patch)] = None
    width: Annotated[Count | None, ByEvent(lambda event: sizes(event).width)] = None
    head: Annotated[Count | None, ByEvent(lambda event: sizes(event).head)] = None
    order: Annotated[tuple[Order, ...], MinLen(1)]
    first: Literal["start", "shift"]
    scale: Literal["exp", "softplus", "unit"]
    clip: Positive | None
    positions: Positions
    norm: Norm
    final_norm: bool
    output_norm: Norm | None = None
    rotary: Literal["alternating", "published", "literal"] = "alternating"
    null: Literal["mean", "learned"] = "mean"
    noise: Noise = "uniform"
    penalty: NonNegative
    penalty_over: Literal["mean", "sum"] = "mean"
    conditional: bool = False
    text: TextSetting = None
    conditioned: Literal["first", "all"]
    inject: Literal["prefix", "add"]
    init: Positive
    label_dropout: Fraction = 0.1
    checkpoint: bool = False

    @property
    def labeled(self) -> bool:
        """Whether the model is trained on labels or captions."""
        return self.conditional or self.text is not None

    def patches(self, event: Event) -> Patches:
        """Return how samples are cut into tokens."""
        return Patches(event.shape, self.patch or _patch(event))

    def architecture(self, event: Event) -> Architecture:
        """Return what the layers share."""
        width, head_dim = self.width or sizes(event).width, self.head or sizes(event).head
        if width % head_dim or head_dim % 2:
            raise ConfigError(f"model.head={head_dim} must be even and divide model.width={width}")
        return Architecture(
            width=width,
            head_dim=head_dim,
            positions=self.positions,
            norm=self.norm,
            final_norm=(self.output_norm or self.norm) if self.final_norm else None,
            inject=self.inject,
            init=self.init,
            checkpoint=self.checkpoint,
            pairs=self._pairs(head_dim, 1 if event.is_vector else 2),
        )

    def _pairs(self, head_dim: int, axes: int) -> tuple[int, ...] | None:
        """Return the published division of rotated pairs: some for a prefix, the others equally for axes of data."""
        if self.rotary == "alternating" or self.positions == "learned":
            return None
        prefix = ()
        if self.inject == "prefix" and self.labeled:
            prefix = (8 if head_dim >= 32 or self.rotary == "literal" else head_dim // 8,)
        each, rest = divmod(head_dim // 2 - sum(prefix), axes)
        if rest or each < (self.rotary == "published") or not all(prefix):
            raise ConfigError(
                f"model.rotary={self.rotary} cannot divide the {head_dim // 2} pairs of model.head={head_dim} among"
                f" {axes + len(prefix)} positions; choose model.head=16, 32 or 64, or model.rotary=alternating"
            )
        return (each,) * axes + prefix


TARFLOW = Design(
    order=("flip", "identity"),
    first="shift",
    scale="exp",
    clip=None,
    positions="learned",
    norm="layer",
    final_norm=False,
    penalty=0.0,
    conditioned="all",
    inject="add",
    init=0.3,
)
STARFLOW = Design(
    order=("identity", "flip"),
    first="start",
    scale="softplus",
    clip=4.0,
    positions="rope",
    rotary="published",
    norm="layer",
    final_norm=True,
    output_norm="rms",
    null="learned",
    penalty=1e-4,
    penalty_over="sum",
    conditioned="first",
    inject="prefix",
    init=0.01,
)

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
"""The optimizer of the papers, with a learning rate for small networks, and with gradient clipping."""
