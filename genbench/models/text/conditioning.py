"""Text as a condition: from labels that stand for captions to prefixes of tokens, and the choice of how."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.registry import texts
from genbench.settings import Nested, build_component


class Text(nn.Module, ABC):
    """Prefixes for a table of captions. Row 0 of the table is the empty caption, row i + 1 the one of label i.

    A builder is a function `(event, width, *, keyword-only settings) -> Text`. Registered with a trait
    `complete=(event, bound settings) -> settings`, it has None replaced by what a run records.

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
        """Return the labels that stand for captions; new ones are added to the table, as long as the module lives.

        Raises:
            ConfigError: if a caption is too long, or has a word that was not in training where that matters.
        """
        new = [caption for caption in dict.fromkeys(captions) if caption not in self.label]
        if new:
            self.extend(new)
            self.label |= {caption: self.rows - 1 + i for i, caption in enumerate(new)}
            self.rows += len(new)
        return torch.tensor([self.label[caption] for caption in captions], dtype=torch.long)

    def prepare(self) -> None:
        """Look once, before training, at whatever is needed beside the captions."""

    @abstractmethod
    def extend(self, captions: Sequence[str]) -> None:
        """Add captions to the end of the table."""

    @abstractmethod
    def forward(self, label: Int[Tensor, " b"]) -> Float[Tensor, "b tokens width"]:
        """Return the prefix of each caption; -1 stands for the empty one."""


def _captioned(event: Event, what: str) -> None:
    if not event.captions:
        raise ConfigError(f"{what} needs data with captions, such as digits-captions; this data has none")


TEXT = Nested(texts, lambda event: "words", optional=True, check=_captioned)
TextSetting = Annotated[
    dict[str, Any] | str | None,
    TEXT,
    "encoder of captions, a name (words, transformers) or a table of its settings; makes the model conditional, on"
    " captions; none leaves labels mere numbers",
]


def build(event: Event, width: int, value: dict[str, Any] | str) -> Text:
    """Build a text encoder.

    Args:
        event: its captions are the table.
        width: numbers of a token of the prefix.
        value: a name, or a table of settings with or without a name.

    Raises:
        ConfigError: if the value is wrong, or the event has no captions.
    """
    text = TEXT.resolve(value, "model.text", event)
    assert text is not None
    return build_component(texts, text, event, width)
