"""Words: a text encoder with a vocabulary of the captions' own words, trained along with the model."""

import difflib
import re
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.models.text.conditioning import Text
from genbench.registry import texts
from genbench.settings import Count, Size


class Words(Text):
    """One token a word, padded to the longest caption by a learned one; then layers that look both ways.

    The empty caption is padding only. A prefix has the same number of tokens whatever its caption.

    Args:
        captions: the caption of each label; their words are the vocabulary.
        width: numbers of a token.
        layers: transformer layers after the embedding.
        heads: attention heads of each.
    """

    table: Tensor

    def __init__(self, captions: Sequence[str], width: int, *, layers: int, heads: int) -> None:
        super().__init__(captions)
        found = sorted({word for caption in captions for word in words(caption)})
        self.vocabulary = {word: i + 1 for i, word in enumerate(found)}
        self.longest = max(len(words(caption)) for caption in captions)
        self.register_buffer("table", self._spelled(["", *captions]), persistent=False)
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, width)
        self.position = nn.Parameter(0.1 * torch.randn(self.longest, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )

    def extend(self, captions: Sequence[str]) -> None:
        """Add captions to the end of the table."""
        self.table = torch.cat([self.table, self._spelled(captions).to(self.table.device)])

    def forward(self, label: Int[Tensor, " b"]) -> Float[Tensor, "b tokens width"]:
        """Return the prefix of each caption; -1 stands for the empty one."""
        h = self.embedding(self.table[label + 1]) + self.position
        for layer in self.layers:
            h = layer(h)
        return h

    def _spelled(self, captions: Sequence[str]) -> Int[Tensor, "n longest"]:
        rows = torch.zeros(len(captions), self.longest, dtype=torch.long)
        for row, caption in zip(rows, captions, strict=True):
            spelled = words(caption)
            for word in spelled:
                if word not in self.vocabulary:
                    raise ConfigError(f"caption '{caption}': training knew no word '{word}'; {self._close(word)}")
            if len(spelled) > self.longest:
                raise ConfigError(
                    f"caption '{caption}' has {len(spelled)} words; the longest in training had {self.longest}"
                )
            row[: len(spelled)] = torch.tensor([self.vocabulary[word] for word in spelled])
        return rows

    def _close(self, word: str) -> str:
        close = difflib.get_close_matches(word, self.vocabulary, n=3, cutoff=0.5)
        return f"close: {', '.join(close)}" if close else f"known: {', '.join(self.vocabulary)}"


def words(caption: str) -> list[str]:
    """Return the words of a caption, in lower case and without punctuation.

    >>> words("The digit seven, thick")
    ['the', 'digit', 'seven', 'thick']
    """
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", caption.lower())


@texts.register("words", version=1)
def build(event: Event, width: int, *, layers: Size = 1, heads: Count = 4) -> Words:
    """Embedding of the captions' own words, trained along: small, and needs no download.

    Args:
        layers: bidirectional transformer layers after the embedding.
        heads: attention heads of each; they divide the model's width.

    Raises:
        ConfigError: if the heads do not divide the width, or no caption has a word.
    """
    if layers and width % heads:
        raise ConfigError(f"model.text.heads={heads} must divide model.width={width}")
    if not any(words(caption) for caption in event.captions):
        raise ConfigError("model.text=words needs captions with words in them")
    return Words(event.captions, width, layers=layers, heads=heads)
