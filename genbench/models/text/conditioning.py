"""Text as a condition: from labels that stand for captions to prefixes of tokens, and the choice of how."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.registry import texts
from genbench.settings import Nested, bind, call

DEFAULT = "words"


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


class TextChoice(Nested):
    """Marks a setting that is a text encoder: nothing, a name, or a table of settings with or without a name."""

    registry = texts

    def resolve(self, value: Any, what: str, context: Event | None) -> dict[str, Any] | None:
        """Return {"name", "version", ...every setting} as plain JSON; None stays None.

        Args:
            value: None; a name; {"name": ..., settings}; settings without a name, for `words`.
            what: how messages call the setting.
            context: the event whose captions it is for.

        Raises:
            ConfigError: on an unknown name or setting, a wrong type, a table of another version, or no captions.
        """
        if value is None:
            return None
        if not isinstance(value, str | Mapping):
            raise ConfigError(f"{what}: {value!r} is no text encoder; give a name ({', '.join(texts)}) or a table")
        settings = {"name": value} if isinstance(value, str) else {"name": DEFAULT, **value}
        name = settings.pop("name")
        if not isinstance(name, str):
            raise ConfigError(f"{what}.name: {name!r} is no name of a text encoder; known: {', '.join(texts)}")
        entry = texts[name]
        version = settings.pop("version", entry.version)
        if version != entry.version:
            raise ConfigError(f"{what}: settings are of version {version} of {name}, which is now {entry.version}")
        bound = bind(entry.build, settings, f"{what} ({name})", context=context)
        if context is not None:
            _captioned(context, what)
            if "complete" in entry.traits:
                bound |= entry.traits["complete"](context, bound)
        return {"name": name, "version": entry.version, **bound}


TextSetting = Annotated[
    dict[str, Any] | str | None,
    TextChoice(),
    "encoder of captions, a name (words, transformers) or a table of its settings; makes the model conditional, on"
    " captions; none leaves labels mere numbers",
]


def build(event: Event, width: int, value: dict[str, Any] | str) -> Text:
    """Build a text encoder.

    Args:
        event: its captions are the table.
        width: numbers of a token of the prefix.
        value: as `TextChoice` takes it.

    Raises:
        ConfigError: if the value is wrong, or the event has no captions.
    """
    _captioned(event, "model.text")
    settings = TextChoice().resolve(value, "model.text", event)
    assert settings is not None
    own = {key: item for key, item in settings.items() if key not in ("name", "version")}
    return call(texts[settings["name"]].build, event, width, settings=own)


def _captioned(event: Event, what: str) -> None:
    if not event.captions:
        raise ConfigError(f"{what} needs data with captions, such as digits-captions; this data has none")
