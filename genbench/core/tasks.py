"""What models learn from: samples, sources, splits, and the task that they make up."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64, Int, Shaped
from torch import Tensor

from genbench.errors import Unsupported
from genbench.space import Space


class Batch(NamedTuple):
    """Samples in model space with their labels (all zero where the data has no classes)."""

    x: Float[Tensor, "b *event"]
    label: Int[Tensor, " b"]


@dataclass(frozen=True)
class Event:
    """What a model may know about one sample.

    Args:
        shape: (d,) for vectors, (channels, height, width) for images.
        classes: number of labels; 0 without labels.
        bin: width of one quantization step in model space; 0 for continuous data.
        captions: text of each label; empty without captions.
        conditions: number of last coordinates, or last channels of images, that are continuous conditions: sources draw
            them from the distribution of the data, and models must not change them.
    """

    shape: tuple[int, ...]
    classes: int = 0
    bin: float = 0.0
    captions: tuple[str, ...] = ()
    conditions: int = 0

    @property
    def dims(self) -> int:
        """Number of coordinates of one sample."""
        return int(torch.Size(self.shape).numel())

    @property
    def is_vector(self) -> bool:
        """Whether samples are vectors."""
        return len(self.shape) == 1

    @property
    def is_image(self) -> bool:
        """Whether samples have channels, height and width: images, or latents of images."""
        return len(self.shape) == 3


class Source(ABC):
    """The distribution from which sampling starts."""

    shape: tuple[int, ...]
    """Shape of one sample."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n *event"]:
        """Draw n independent samples on the generator's device."""

    @abstractmethod
    def log_prob(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, " b"]:
        """Return the log-density in nats. Raises Unsupported if it is unknown."""


@dataclass(frozen=True)
class Normal(Source):
    """N(0, I) over samples of the given shape."""

    shape: tuple[int, ...]

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n *event"]:
        return torch.randn(n, *self.shape, generator=generator, device=generator.device)

    def log_prob(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, " b"]:
        normal = torch.distributions.Normal(0.0, 1.0, validate_args=False)  # its checks make a GPU wait
        return normal.log_prob(x).flatten(1).sum(1)


def require_normal(source: Source, event: Event, model: str) -> None:
    """Raise Unsupported unless a source is N(0, I) over the samples of an event.

    Args:
        model: what starts from it, as the subject of the message.
    """
    if not isinstance(source, Normal) or source.shape != event.shape:
        raise Unsupported(f"{model} starts from N(0, I) of the shape of its data")


class LazyRows(ABC):
    """An array whose rows are read when they are indexed."""

    shape: tuple[int, ...]
    """(rows, *shape of one row)."""

    @abstractmethod
    def __getitem__(self, rows: Int[Tensor, " b"], /) -> Shaped[Tensor, "b *event"]:
        """Return the rows with these indices, in this order."""


Rows = Tensor | LazyRows

Encode = Callable[[Tensor], Tensor]
"""A function from samples in model space to latents."""


COUNTED = 2**16
"""Number of samples in which classes are counted if their probabilities are not known."""


class Split(ABC):
    """One part of a data set. Its methods are pure: the same arguments give the same samples."""

    size: int | None
    """Number of samples; None for data generated on the fly."""

    augmented: bool = False
    """Whether training batches are augmented, by mirroring for example; samples of `take` are not."""

    @abstractmethod
    def batch(self, step: int, size: int, seed: int) -> Batch:
        """Return the training batch of a step: finite data is visited once per epoch, in an order set by the seed."""

    @abstractmethod
    def take(self, n: int, seed: int) -> Batch:
        """Return n distinct samples for evaluation, not augmented. Raises Unsupported if the split has fewer."""

    def stand_in(self, n: int, seed: int) -> Batch:
        """Return n distinct samples that represent the distribution; by default, the samples of `take`."""
        return self.take(n, seed)

    def views(self, seed: int) -> Batch:
        """Return every sample that training can serve from a finite split: all rows, then the augmented rows.

        Raises:
            Unsupported: if these are too many to list.
        """
        if self.size is None or self.augmented:
            raise Unsupported("the samples that training can serve from this split of the data are too many to list")
        return self.take(self.size, seed)

    def frequencies(self, classes: int) -> Float64[Tensor, " classes"]:
        """Return how frequent each class is, up to a common factor; by default counted in samples of `take`."""
        return torch.bincount(self.take(self.size or COUNTED, 0).label, minlength=classes).double()

    def raw(self, n: int, seed: int) -> Rows | None:
        """Return the samples of `take` as raw data, read lazily; None if the split does not store raw data."""
        return None

    def on(self, device: torch.device) -> "Split":
        """Return a split with the same batches that may build them on the device; by default this split."""
        return self

    def encoded(self, encode: Encode, shape: tuple[int, ...], key: str) -> "Split | None":
        """Return a split that stores the latents of these samples; None if this split cannot store them.

        Args:
            encode: maps samples to latents.
            shape: shape of one latent.
            key: identifies the encoder.
        """
        return None


@dataclass(frozen=True)
class Truth:
    """What is known exactly about a task, in model space; None if unknown.

    Args:
        log_prob: log-density of the data in nats.
        modes: centers of the modes, (modes, d).
        w2_squared: returns the squared 2-Wasserstein distance from source to data, or None; with conditions, its mean
            over them. It is called only when a metric needs the number.
        velocity: exact velocity field (t, x) of flow matching with independent pairs and straight paths. With a third
            argument, a `numerics.weighted_pairs.GaussianSum`, pairs are weighted by this function of their distance.
    """

    log_prob: Callable[[Tensor], Tensor] | None = None
    modes: Tensor | None = None
    w2_squared: Callable[[], float | None] | None = None
    velocity: Callable[..., Tensor] | None = None


@dataclass(frozen=True)
class Captions:
    """The meaning of the labels of captioned data.

    Args:
        attributes: {name: its possible values}, such as {"class": ("zero", ...), "look": ("plain", ...)}.
        values: {name: index into its values, per label}.
        held_out: per label, whether its combination of attributes never occurs in training.
    """

    attributes: Mapping[str, tuple[str, ...]]
    values: Mapping[str, tuple[int, ...]]
    held_out: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class Data:
    """A task: source, target and units.

    Args:
        event: what models know about one sample.
        source: the distribution from which sampling starts; N(0, I) unless the task maps x to y.
        valid: for choosing hyper-parameters.
        test: for the numbers in tables.
        plan: default training budget of this data set (fields of `genbench.training.plan.Plan`).
        evaluation: default evaluation settings of this data set.
        metrics: names of the default metrics.
        provenance: origin of the data: "source", "sha256", "original" (whether it is the checksummed original).
        remarks: what the user should know about the files that were read, one line each.
    """

    event: Event
    space: Space
    source: Source
    train: Split
    valid: Split
    test: Split
    plan: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    truth: Truth = field(default_factory=Truth)
    captions: Captions | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
