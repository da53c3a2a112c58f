"""What a run trains: learners, which one loop fits to data, and among them generative models."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genbench.core.tasks import Batch, Data, Event, Source, Split
from genbench.errors import RunFailed, Unsupported, why_training_failed
from genbench.seeds import derive

CPU = torch.device("cpu")


class Samples(NamedTuple):
    """Generated samples in model space, and the number of network evaluations (NFE) per sample."""

    x: Float[Tensor, "b *event"]
    nfe: float


Example = Any
"""A NamedTuple of tensors with the batch as first axis: the input of one training step, with all randomness drawn."""


Draws = Literal["step", "block", "thread"]
"""When examples are drawn.

- "step": before each step. Draws that use the weights or change a state need this.
- "block": for several steps at once, which halves the time that quick draws take.
- "thread": during the previous step, by a second thread. This hides slow draws that release the GIL.
"""


class Stage(NamedTuple):
    """One of the trainings that make up a run."""

    learner: "Learner"
    name: str = ""  # name of the folder of its log and checkpoint, if a run has several stages
    plan: Mapping[str, Any] | None = None  # fields of `genbench.training.plan.Plan`; None for the plan of the run


class Trainable(nn.Module, ABC):
    """What a run trains: a model, an ensemble of models, or an encoder."""

    @abstractmethod
    def stages(self) -> Iterator[Stage]:
        """Yield what is fitted, in order; each stage is trained before the next one is requested."""

    def learn_from(self, trained: Mapping[str, "Trainable"], data: Data, seed: int) -> dict[str, float]:
        """Use the trained prerequisites of a run, by name, and return what that cost, such as {"pair_seconds": 3.2}.

        The result must depend on the arguments only, because a resumed run repeats the call.
        """
        return {}


class Learner(Trainable):
    """Something that is fitted to data: a model, or an ensemble of models (`genbench.training.ensemble`)."""

    draws: Draws = "step"
    """When examples are drawn; see `Draws`."""

    full_precision: bool = False
    """Whether the loss is computed in IEEE float32 whatever the plan: it has differences that less would round off."""

    not_compiled: str = ""
    """Why plan.compile=true is refused; empty for a loss that compiles into one graph."""

    def stages(self) -> Iterator[Stage]:
        yield Stage(self)

    def prepare(self, data: Data, seed: int) -> None:
        """Estimate constants from the training data before the first step, and keep them as buffers.

        The learner is on the device where it is trained; batches are on the CPU.
        """

    @abstractmethod
    def batch_source(self, data: Data, device: torch.device = CPU) -> Any:
        """Return the source of training batches, which may build them on the device."""

    @abstractmethod
    def example(self, batch_source: Any, step: int, size: int, seed: int, generator: torch.Generator) -> Example:
        """Return the example of a step (from 0), a function of the seed and the step, on the generator's device.

        The size is the size of the global batch. This method reseeds the generator before it draws.
        """

    @abstractmethod
    def loss(self, example: Example) -> dict[str, Tensor]:
        """Return scalars, a pure function of tensors: "loss" is minimized, the others are logged."""

    def clip(self, norm: float) -> None:
        """Clip the gradient to this norm."""
        nn.utils.clip_grad_norm_(self.parameters(), norm)

    def diverged(self, steps: Sequence[int]) -> None:
        """Handle failures of training.

        Args:
            steps: per model, the step (from 1) at which it failed; 0 if it did not fail; see `why_training_failed`.

        Raises:
            RunFailed: if no model is left to train.
        """
        if steps[0]:
            raise RunFailed(why_training_failed(steps[0]))

    @property
    def chosen(self) -> dict[str, float]:
        """What `prepare` chose by a rule on the training data, by name, for the record."""
        return {}

    @property
    def reasons(self) -> Sequence[str | None]:
        """Per model, why its training failed; None if it did not."""
        return [None]

    def forward(self, example: Example) -> dict[str, Tensor]:
        """Return the loss, so that DDP, FSDP and torch.compile can wrap training."""
        scalars = self.loss(example)
        if not isinstance(scalars, dict):
            raise TypeError(f"loss returned a {type(scalars).__name__}: return a dict with the scalar 'loss' in it")
        return scalars


class Model(Learner):
    """A generative model: a training loss, a map from source noise to samples, and possibly a density.

    A builder is a function `(event, source, *, keyword-only settings) -> Model`.
    The keyword-only options of `sample` are the schema of the settings `sample.*`.
    """

    event: Event
    source: Source
    """Where `sample` starts. A latent model has its own source."""

    density: str = "data"
    """The variable of `log_prob`: "data", "dequantized data", "data + N(0, sigma^2)", "latents"."""

    conditional: bool = False
    """Whether the model is trained on labels; `sample` and `log_prob` then get labels, otherwise None."""

    keeps_conditions: bool = False
    """Whether samples keep the conditions (`Event.conditions`) of the noise that they start from."""

    nfe_curve: bool = False
    """Whether the number of network evaluations can be chosen, through `at_budget`."""

    self_targeted: bool = False
    """Whether targets of the loss are computed by the model's own weights, or their average, without a gradient."""

    steering: tuple[str, ...] = ()
    """Settings that only `prepare` and `draw` read: the members of an ensemble may differ in them."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Disable gradients in `sample`: samples can be plotted directly, and no graph fills memory."""
        super().__init_subclass__(**options)
        if "sample" in vars(cls):
            cls.sample = torch.no_grad()(cls.sample)

    @property
    def sampler(self) -> Callable[..., Samples]:
        """The method whose keyword-only parameters are the sampling options."""
        return self.sample

    @classmethod
    def stackable(cls, event: Event, settings: Mapping[str, Any]) -> bool:
        """Return whether such models train faster as one ensemble; their loss must be pure under torch.func."""
        return False

    def batch_source(self, data: Data, device: torch.device = CPU) -> Split:
        return data.train.on(device)

    def example(self, batch_source: Split, step: int, size: int, seed: int, generator: torch.Generator) -> Example:
        batch = Batch(*(item.to(generator.device) for item in batch_source.batch(step, size, seed)))
        return self.draw(batch, generator.manual_seed(derive(seed, "train", step)))

    @abstractmethod
    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        """Draw all randomness of one step for the global batch: noise, pairing, times, dropped labels."""

    @abstractmethod
    def sample(self, x0: Float[Tensor, "b *source"], *, label: Int[Tensor, " b"] | None = None) -> Samples:
        """Map source noise to samples, deterministically. Subclasses add options as keywords."""

    def log_prob(self, x: Float[Tensor, "b *event"], *, label: Int[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        """Return the log-density in nats, summed over the event, in model space."""
        raise Unsupported(f"{type(self).__name__} has no likelihood")

    @classmethod
    def check(cls, options: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Raise ConfigError, before training, if sampling options contradict one another or the model's settings."""

    def within(self, data: Data) -> tuple["Model", Data]:
        """Return the model and the data that density and paths belong to: in latent space for a model of latents."""
        return self, data

    def at_budget(self, options: Mapping[str, Any], method: str, nfe: int) -> dict[str, Any]:
        """Return the sampling options changed so that one sample takes this many network evaluations."""
        raise Unsupported(f"{type(self).__name__} has a fixed number of network evaluations")


class Transport(ABC):
    """Base class of models whose samples follow an ODE; path metrics need it."""

    @abstractmethod
    def velocity(
        self, t: Float[Tensor, ""], x: Float[Tensor, "b *event"], label: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b *event"]:
        """Return the velocity of all samples at one time."""
