"""Text encoders: their interface, the setting that selects one, and an encoder with the words of the captions."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from annotated_types import Le
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Event
from genbench.errors import ConfigError, unknown
from genbench.registry import texts
from genbench.settings import Count, Nested, Size


class TextEncoder(nn.Module, ABC):
    """Encodes a table of captions as prefixes. Row 0 is the empty caption, row i + 1 the caption of label i.

    A builder is a function `(event, width, *, keyword-only settings) -> TextEncoder`. The optional trait
    `complete=(event, bound settings) -> settings` fills in settings that a run must record.
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
    "encoder of captions: a name (words, transformers), or a table of its name and settings; makes the model"
    " conditional on captions; none treats labels as class numbers",
]


@texts.register("words", version=1)
class VocabularyEncoder(TextEncoder):
    """Embedding of the captions' own words, trained with the model: small, and needs no download.

    Each word is a token. A learned token pads each caption to the length of the longest caption. Bidirectional
    transformer layers follow. The empty caption is all padding.

    Args:
        layers: number of bidirectional transformer layers after the embedding.
        heads: number of attention heads; divides the model's width.

    Raises:
        ConfigError: if the heads do not divide the width, or no caption has a word.
    """

    table: Tensor

    def __init__(self, event: Event, width: int, *, layers: Annotated[Size, Le(1000)] = 1, heads: Count = 4) -> None:
        captions = event.captions
        if layers and width % heads:
            raise ConfigError(f"model.text.heads={heads} must divide model.width={width}")
        if not any(words_of(caption) for caption in captions):
            raise ConfigError("model.text=words needs captions with words in them")
        super().__init__(captions)
        words = sorted({word for caption in captions for word in words_of(caption)})
        self.vocabulary = {word: i + 1 for i, word in enumerate(words)}
        self.longest = max(len(words_of(caption)) for caption in captions)
        self.register_buffer("table", self._rows_of(["", *captions]), persistent=False)
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, width)
        self.position = nn.Parameter(0.1 * torch.randn(self.longest, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )

    def add_captions(self, captions: Sequence[str]) -> None:
        self.table = torch.cat([self.table, self._rows_of(captions).to(self.table.device)])

    def forward(self, label: Int[Tensor, " b"]) -> Float[Tensor, "b tokens width"]:
        h = self.embedding(self.table[label + 1]) + self.position
        for layer in self.layers:
            h = layer(h)
        return h

    def _rows_of(self, captions: Sequence[str]) -> Int[Tensor, "n longest"]:
        rows = torch.zeros(len(captions), self.longest, dtype=torch.long)
        for row, caption in zip(rows, captions, strict=True):
            words = words_of(caption)
            for word in words:
                if word not in self.vocabulary:
                    raise unknown(f"caption '{caption}': the vocabulary lacks", word, self.vocabulary)
            if len(words) > self.longest:
                raise ConfigError(
                    f"caption '{caption}' has {len(words)} words; write at most {self.longest}, as in training"
                )
            row[: len(words)] = torch.tensor([self.vocabulary[word] for word in words])
        return rows


def words_of(caption: str) -> list[str]:
    """Return the words of a caption, in lower case and without punctuation.

    >>> words_of("The digit seven, thick")
    ['the', 'digit', 'seven', 'thick']
    """
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", caption.lower())
