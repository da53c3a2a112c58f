"""Frozen pretrained text encoders from transformers; every caption is encoded once, before training."""

import importlib.util
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from torch import Tensor, nn

from genbench.core import Event
from genbench.errors import ConfigError, first_line
from genbench.models.text_encoder import TextEncoder
from genbench.registry import texts
from genbench.settings import Count, OnDisk
from genbench.storage import cache, content_hash, files, hub, tensors

BATCH = 64
CONFIG_FILES = ("config.json", "*.json", "*.txt", "*.model")
"""Files of a configuration and a tokenizer; the first is required."""
WEIGHT_FILES = ("*.safetensors", *CONFIG_FILES)
ALTERNATIVE = "model.text=words"


def complete(event: Event, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the setting `shape`, from the configuration, the tokenizer and the captions."""
    if settings["shape"] is not None:
        return {}
    model, revision = settings["model"], settings["revision"]
    size = int(_configuration(model, revision).hidden_size)
    captions = ("", *event.captions)
    lengths = [len(row) for row in tokenize(model, revision, captions)]
    if (most := max(lengths)) > settings["tokens"]:
        longest = captions[lengths.index(most)]
        raise ConfigError(f"caption '{longest}' has {most} tokens: raise model.text.tokens={settings['tokens']}")
    return {"shape": [most, size]}


@texts.register("transformers", version=1, complete=complete)
class TransformersEncoder(TextEncoder):
    """Frozen text encoder from Hugging Face transformers: T5 (its encoder), BERT, the text part of CLIP and others.

    Hidden states are projected to the width of a prefix and padded by a learned token. The cache, not the weights,
    holds the states of all captions. Its key is the content of encoder and captions. A trained model needs the text
    encoder only for new captions, or if the cache lacks states. A run records the shape of the states, to build models
    without the encoder.

    Gu et al., 2025, "STARFlow", use FLAN-T5-XL (Chung et al., 2022, https://arxiv.org/abs/2210.11416) and 128 tokens.

    Args:
        model: name on the hub (owner/name), or local folder with configuration, tokenizer and weights in safetensors.
        revision: branch, tag or commit on the hub; only a commit never changes.
        tokens: maximal number of tokens of a caption; longer captions are errors.
        shape: number of tokens of a prefix, and size of a hidden state; by default from the longest caption and
            the encoder.

    Raises:
        ConfigError: if transformers or the files of the encoder are missing, or a caption is too long.
    """

    states: Tensor | None
    length: Tensor | None

    def __init__(
        self,
        event: Event,
        width: int,
        *,
        model: Annotated[str, OnDisk(or_name=True)] = "google/flan-t5-xl",
        revision: str | None = None,
        tokens: Count = 128,
        shape: tuple[Count, Count] | None = None,
    ) -> None:
        super().__init__(event.captions)
        self.captions = ("", *event.captions)
        self.model, self.revision = model, revision
        if shape is None:
            shape = complete(event, {"model": model, "revision": revision, "tokens": tokens, "shape": None})["shape"]
            assert shape is not None
        self.shape = shape
        self.register_buffer("states", None, persistent=False)
        self.register_buffer("length", None, persistent=False)
        self.projection = nn.Linear(shape[1], width)
        self.padding = nn.Parameter(1e-2 * torch.randn(width))

    def prepare(self) -> None:
        self._table()

    def add_captions(self, captions: Sequence[str]) -> None:
        new = self._encoded(captions)
        self.states, self.length = (torch.cat([old, new[name].to(old)]) for name, old in self._table().items())

    def forward(self, label: Int[Tensor, " b"]) -> Float[Tensor, "b tokens width"]:
        states, length = self._table().values()
        inside = torch.arange(states.shape[1], device=label.device) < length[label + 1][:, None]
        return torch.where(inside[..., None], self.projection(states[label + 1]), self.padding)

    def _table(self) -> dict[str, Tensor]:
        """Return the hidden states of each row and the number of its tokens, read or computed when first needed."""
        if self.states is None or self.length is None:
            folder = files.expanded(self.model)
            encoder = content_hash.remembered(folder) if folder.is_dir() else f"{self.model} {self.revision}"
            name = f"{cache.key(encoder=encoder, captions=self.captions, shape=self.shape)}.safetensors"
            found = tensors.cached("captions", name, lambda: self._encoded(self.captions))
            self.states, self.length = (found[each].to(self.padding.device) for each in ("states", "length"))
        return {"states": self.states, "length": self.length}

    def _encoded(self, captions: Sequence[str]) -> dict[str, Tensor]:
        encoded = encode(self.model, self.revision, captions)
        length = torch.tensor([len(each) for each in encoded])
        if length.max() > self.shape[0]:
            longest = captions[int(length.argmax())]
            raise ConfigError(
                f"caption '{longest}' has {length.max()} tokens; this model takes at most {self.shape[0]}"
            )
        states = torch.zeros(len(encoded), *self.shape)
        for row, each in zip(states, encoded, strict=True):
            row[: len(each)] = each
        return {"states": states, "length": length}


@torch.no_grad()
def encode(model: str, revision: str | None, captions: Sequence[str]) -> list[Float[Tensor, "_ size"]]:
    """Return the last hidden states of the tokens of each caption, in float32, without padding."""
    rows = tokenize(model, revision, tuple(captions))
    net = _encoder(model, revision)
    encoded: list[Tensor] = [torch.zeros(0)] * len(rows)
    for length in sorted({len(row) for row in rows}):
        same = [i for i, row in enumerate(rows) if len(row) == length]
        for part in (same[start : start + BATCH] for start in range(0, len(same), BATCH)):
            ids = torch.tensor([rows[i] for i in part], dtype=torch.long).view(len(part), length)
            size = net.config.hidden_size
            states = net(input_ids=ids).last_hidden_state if length else torch.zeros(len(part), 0, size)
            for i, state in zip(part, states, strict=True):
                encoded[i] = state.float()
    return encoded


@lru_cache(maxsize=16)
def tokenize(model: str, revision: str | None, captions: tuple[str, ...]) -> list[list[int]]:
    """Return the token ids of each caption by the encoder's own tokenizer."""
    tokenizer = _load("AutoTokenizer", model, revision, CONFIG_FILES)
    return [list(map(int, row)) for row in tokenizer(list(captions))["input_ids"]]


def _configuration(model: str, revision: str | None) -> Any:
    """Return the configuration of a text encoder, or of the text part of a multimodal encoder."""
    config = _load("AutoConfig", model, revision, CONFIG_FILES)
    return config.text_config if "text_config" in config.to_dict() else config


def _encoder(model: str, revision: str | None) -> Any:
    """Return the encoder with its weights; only the encoder of an encoder-decoder such as T5."""
    config = _configuration(model, revision)
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING

    kind = "AutoModelForTextEncoding" if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING else "AutoModel"
    net = _load(kind, model, revision, WEIGHT_FILES, config=config, use_safetensors=True)
    return net.float().eval().requires_grad_(False)


def _load(kind: str, model: str, revision: str | None, files: tuple[str, ...], **options: Any) -> Any:
    """Return an object of an Auto class of transformers, from a local folder or the hub."""
    if importlib.util.find_spec("transformers") is None:
        raise ConfigError(
            "model.text=transformers needs the package transformers: pip install 'genbench[text]'; "
            f"{ALTERNATIVE} needs none"
        )
    import transformers

    folder = hub.folder(model, revision, files, "model.text", ALTERNATIVE)
    try:
        return getattr(transformers, kind).from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError) as error:
        raise ConfigError(f"model.text.model={model} cannot be loaded by {kind}: {first_line(error)}") from error
