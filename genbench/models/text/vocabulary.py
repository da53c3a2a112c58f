"""A text encoder with a vocabulary of the captions' own words, trained with the model."""

import re
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Le
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Event
from genbench.errors import ConfigError, unknown
from genbench.models.text.conditioning import TextEncoder
from genbench.registry import texts
from genbench.settings import Count, Size


@texts.register("words", version=1)
class VocabularyEncoder(TextEncoder):
    """Embedding of the captions' own words, trained with the model: small, and needs no download.

    One token per word, padded by a learned token to the longest caption; then bidirectional transformer layers. The
    empty caption consists of padding, so that all prefixes have the same length.

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
                    f"caption '{caption}' has {len(words)} words; the longest in training had {self.longest}"
                )
            row[: len(words)] = torch.tensor([self.vocabulary[word] for word in words])
        return rows


def words_of(caption: str) -> list[str]:
    """Return the words of a caption, in lower case and without punctuation.

    >>> words_of("The digit seven, thick")
    ['the', 'digit', 'seven', 'thick']
    """
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", caption.lower())
