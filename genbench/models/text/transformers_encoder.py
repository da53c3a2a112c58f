"""Pretrained text encoders from transformers, frozen: every caption is encoded once, before training."""

import importlib.util
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.models.text.conditioning import Text
from genbench.registry import texts
from genbench.settings import Count
from genbench.storage import hub

BATCH = 64
SETTINGS = ("config.json", "*.json", "*.txt", "*.model")
"""Files that hold a configuration and a tokenizer, the one that must be there first."""
WEIGHTS = ("*.safetensors", *SETTINGS)
INSTEAD = "model.text=words"


class PretrainedText(Text):
    """Hidden states of a frozen encoder, projected to the width of a prefix; behind a caption, a learned padding.

    The states of the table are a buffer. `prepare` computes them before training, and whoever loads weights takes
    them from there: a trained model needs its text encoder for new captions only. Its shape is a setting that a run
    records, so that building does not need the encoder either. Until one or the other has come the states are NaN.

    Args:
        captions: the caption of each label.
        width: numbers of a token of the prefix.
        model: local folder, or name on the hub.
        revision: of the name.
        shape: tokens of a prefix, and numbers of a hidden state.
    """

    states: Tensor
    length: Tensor

    def __init__(
        self, captions: Sequence[str], width: int, *, model: str, revision: str | None, shape: tuple[int, int]
    ) -> None:
        super().__init__(captions)
        self.captions = ("", *captions)
        self.model, self.revision = model, revision
        tokens, size = shape
        self.register_buffer("states", torch.full((self.rows, tokens, size), float("nan")))
        self.register_buffer("length", torch.full((self.rows,), tokens))
        self.projection = nn.Linear(size, width)
        self.padding = nn.Parameter(1e-2 * torch.randn(width))

    def prepare(self) -> None:
        """Encode the table.

        Raises:
            ConfigError: if the encoder cannot be had.
        """
        states, length = self._encoded(self.captions)
        self.states.copy_(states)
        self.length.copy_(length)

    def extend(self, captions: Sequence[str]) -> None:
        """Encode captions, and add them to the end of the table."""
        states, length = self._encoded(captions)
        self.states = torch.cat([self.states, states.to(self.states)])
        self.length = torch.cat([self.length, length.to(self.length)])

    def forward(self, label: Int[Tensor, " b"]) -> Float[Tensor, "b tokens width"]:
        """Return the prefix of each caption; -1 stands for the empty one."""
        inside = torch.arange(self.states.shape[1], device=label.device) < self.length[label + 1][:, None]
        return torch.where(inside[..., None], self.projection(self.states[label + 1]), self.padding)

    def _encoded(self, captions: Sequence[str]) -> tuple[Float[Tensor, "n tokens size"], Int[Tensor, " n"]]:
        found = encode(self.model, self.revision, captions)
        length = torch.tensor([len(each) for each in found])
        tokens = self.states.shape[1]
        if length.max() > tokens:
            worst = captions[int(length.argmax())]
            raise ConfigError(f"caption '{worst}' has {length.max()} tokens; a prefix of this model has {tokens}")
        states = torch.zeros(len(found), *self.states.shape[1:])
        for row, each in zip(states, found, strict=True):
            row[: len(each)] = each
        return states, length


@torch.no_grad()
def encode(model: str, revision: str | None, captions: Sequence[str]) -> list[Float[Tensor, "_ size"]]:
    """Return the last hidden states of every token of every caption, in float32.

    Captions of one length share a batch, so that nothing is padded.

    Raises:
        ConfigError: if the encoder cannot be had.
    """
    rows = tokens_of(model, revision, tuple(captions))
    net = _load(model, revision)
    found: list[Tensor] = [torch.zeros(0)] * len(rows)
    for length in sorted({len(row) for row in rows}):
        same = [i for i, row in enumerate(rows) if len(row) == length]
        for part in (same[start : start + BATCH] for start in range(0, len(same), BATCH)):
            ids = torch.tensor([rows[i] for i in part], dtype=torch.long).view(len(part), length)
            size = net.config.hidden_size
            states = net(input_ids=ids).last_hidden_state if length else torch.zeros(len(part), 0, size)
            for i, state in zip(part, states, strict=True):
                found[i] = state.float()
    return found


@lru_cache(maxsize=16)
def tokens_of(model: str, revision: str | None, captions: tuple[str, ...]) -> list[list[int]]:
    """Return the numbers of the tokens of each caption, as the encoder's own tokenizer has it."""
    _installed()
    from transformers import AutoTokenizer

    place = hub.folder(model, revision, SETTINGS, "model.text", INSTEAD)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
        return [list(map(int, row)) for row in tokenizer(list(captions))["input_ids"]]
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ConfigError(f"model.text.model={model} has no tokenizer to use: {_line(error)}") from error


def _config(model: str, revision: str | None) -> Any:
    """Return the configuration of a text encoder, or of the text half of an encoder of more than text."""
    _installed()
    from transformers import AutoConfig

    place = hub.folder(model, revision, SETTINGS, "model.text", INSTEAD)
    try:
        config = AutoConfig.from_pretrained(place, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"model.text.model={model} has no configuration to use: {_line(error)}") from error
    return config.text_config if "text_config" in config.to_dict() else config


def _load(model: str, revision: str | None) -> Any:
    """Return the encoder with its weights: of a T5, only its first half."""
    config = _config(model, revision)
    from transformers import AutoModel, AutoModelForTextEncoding
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING

    kind = AutoModelForTextEncoding if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING else AutoModel
    place = hub.folder(model, revision, WEIGHTS, "model.text", INSTEAD)
    try:
        net = kind.from_pretrained(place, config=config, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ConfigError(f"model.text.model={model} has no weights to use: {_line(error)}") from error
    return net.float().eval().requires_grad_(False)


def _installed() -> None:
    if importlib.util.find_spec("transformers") is None:
        raise ConfigError(
            "model.text=transformers needs the package transformers: pip install 'genbench[text]'; "
            "model.text=words needs none"
        )


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def complete(event: Event, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shape of the prefix's states under these settings, read off the configuration and the tokenizer.

    Raises:
        ConfigError: if these cannot be had, or a caption is longer than `tokens`.
    """
    if settings["shape"] is not None:
        return {}
    model, revision = settings["model"], settings["revision"]
    size = int(_config(model, revision).hidden_size)
    rows = tokens_of(model, revision, ("", *event.captions))
    longest = max(map(len, rows))
    if longest > settings["tokens"]:
        worst = max(zip(rows, ("", *event.captions), strict=True), key=lambda pair: len(pair[0]))[1]
        raise ConfigError(f"caption '{worst}' has {longest} tokens, more than model.text.tokens={settings['tokens']}")
    return {"shape": [longest, size]}


@texts.register("transformers", version=1, complete=complete)
def build(
    event: Event,
    width: int,
    *,
    model: str = "google/flan-t5-xl",
    revision: str | None = None,
    tokens: Count = 128,
    shape: tuple[Count, Count] | None = None,
) -> PretrainedText:
    """Frozen text encoder of Hugging Face transformers: T5 (its encoder), BERT, the text half of CLIP and the like.

    Gu et al., 2025, "STARFlow", use FLAN-T5-XL (Chung et al., 2022, https://arxiv.org/abs/2210.11416) and 128 tokens.

    Args:
        model: name on the hub (owner/name), or local folder with configuration, tokenizer and weights in safetensors.
        revision: branch, tag or commit of the name; a commit is the only one that never changes.
        tokens: how many tokens a caption may have; longer ones are refused.
        shape: tokens of a prefix and numbers of a hidden state; by default the longest caption's tokens, and as the
            encoder has it.

    Raises:
        ConfigError: if transformers, or the files of the encoder, cannot be had, or a caption is too long.
    """
    if shape is None:
        shape = complete(event, {"model": model, "revision": revision, "tokens": tokens, "shape": None})["shape"]
        assert shape is not None
    return PretrainedText(event.captions, width, model=model, revision=revision, shape=(shape[0], shape[1]))
