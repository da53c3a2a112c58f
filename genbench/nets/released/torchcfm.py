"""Released weights of torchcfm's U-Net: the network `unet` with other parameter names."""

import re
from collections.abc import Callable, Mapping

from torch import Tensor

NAMES: tuple[tuple[str, str | Callable[[re.Match], str]], ...] = (
    (r"^module\.", ""),  # training on several GPUs adds it
    (r"^time_embed\.", "time."),
    (r"^input_blocks\.0\.0\.", "enter."),
    (r"^input_blocks\.(\d+)\.", lambda found: f"down.{int(found[1]) - 1}."),
    (r"^middle_block\.", "middle."),
    (r"^output_blocks\.", "up."),
    (r"^out\.0\.", "norm."),
    (r"^out\.2\.", "leave."),
    (r"\.in_layers\.0\.", ".norm1."),
    (r"\.in_layers\.2\.", ".conv1."),
    (r"\.emb_layers\.1\.", ".shift."),
    (r"\.out_layers\.0\.", ".norm2."),
    (r"\.out_layers\.3\.", ".conv2."),
    (r"\.skip_connection\.", ".skip."),
    (r"\.proj_out\.", ".out."),
    (r"\.op\.", ".conv."),
)
"""Patterns in torchcfm's names and their replacements, applied in this order."""


def weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of torchcfm's CIFAR-10 example as parameters of `UNet`.

    Convolutions over pixel sequences in its attention become 1x1 convolutions.

    Source: github.com/atong01/conditional-flow-matching, examples/images/cifar10.
    """
    renamed = {}
    for name, value in state.items():
        for pattern, ours in NAMES:
            name = re.sub(pattern, ours, name)
        renamed[name] = value[..., None] if value.dim() == 3 else value
    return renamed
