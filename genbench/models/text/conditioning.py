"""The interface of text encoders, and the setting that chooses one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.registry import texts
from genbench.settings import Nested


class TextEncoder(nn.Module, ABC):
    """Encodes a table of captions as prefixes. Row 0 is the empty caption, row i + 1 the caption of label i.

    A builder is a function `(event, width, *, keyword-only settings) -> TextEncoder`. The optional trait
    `complete=(event, bound settings) -> settings` fills in settings that a run must record.

    Args:
        captions: the caption of each label.
    """

    def __init__(self, captions: Sequence[str]) -> None:
        super().__init__()
        self.rows = 1 + len(captions)
        self.label = {"": -1}
        for label, caption in enumerate(captions):
            self.label.setdefault(caption, label)

    def labels(self, captions: Sequence[str]) -> Int[Tensor, " n"]:
        """Return the labels of captions. New captions are added to the table, which is not saved with the weights.

        Raises:
            ConfigError: if a new caption is too long, or has a word that the encoder does not know.
        """
        new = [caption for caption in dict.fromkeys(captions) if caption not in self.label]
        if new:
            self.add_captions(new)
            self.label |= {caption: self.rows - 1 + i for i, caption in enumerate(new)}
            self.rows += len(new)
        return torch.tensor([self.label[caption] for caption in captions], dtype=torch.long)

    def prepare(self) -> None:
        """Compute what the encoder needs, each time that training starts or is resumed."""

    @abstractmethod
    def add_captions(self, captions: Sequence[str]) -> None:
        """Add captions to the end of the table."""

    @abstractmethod
    def forward(self, label: Int[Tensor, " b"]) -> Float[Tensor, "b tokens width"]:
        """Return the prefix of each label; -1 stands for the empty caption."""


def _captioned(event: Event, what: str) -> None:
    if not event.captions:
        raise ConfigError(f"{what} needs data with captions, such as digits-captions; the data has none")


TEXT = Nested(texts, lambda event: "words", optional=True, check=_captioned)
TextSetting = Annotated[
    dict[str, Any] | str | None,
    TEXT,
    "encoder of captions, a name (words, transformers) or a table of its settings; makes the model conditional, on"
    " captions; none treats labels as class numbers",
]
