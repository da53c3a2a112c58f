"""Exact fields: path metrics and likelihoods of flow matching in the limit of perfect training."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genbench.core import Batch, Data, Example, Model, Samples, Transport
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation
from genbench.metrics.measurement import measure
from genbench.metrics.sampling import noise
from genbench.numerics.ode import integrate
from genbench.results.external_samples import task_without_model
from genbench.runs.spec import build_data
from genbench.seeds import derive
from genbench.settings import settings_in

FIELDS = ("8gaussians", "gaussian")
METRICS = ("path_energy", "straightness", "npe", "detour", "nll")


class ExactField(Model, Transport):
    """Flow matching with independent pairs in the limit of perfect training, in closed form."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        assert data.truth.velocity is not None
        self.event, self.source, self.field = data.event, data.source, data.truth.velocity
        self.device_parameter = nn.Parameter(torch.zeros(()))  # the evaluation reads the device off the parameters

    def draw(self, batch: Batch, generator: torch.Generator) -> Example:
        """Raise Unsupported: there is nothing to train."""
        raise Unsupported("an exact field is not trained")

    def loss(self, example: Example) -> dict[str, Tensor]:
        """Raise Unsupported: there is nothing to train."""
        raise Unsupported("an exact field is not trained")

    def velocity(self, t: Tensor, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the exact field."""
        return self.field(t, x)

    def sample(self, x0: Float[Tensor, "b *event"], *, label: Tensor | None = None) -> Samples:
        """Solve the ODE from the noise."""
        x, nfe = integrate(self.field, x0)
        return Samples(x, nfe)


def measure_fields(seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield the path metrics and likelihoods of exact fields: rows of a record, with task and seed."""
    for name in FIELDS:
        spec, chosen = task_without_model(name, METRICS, {})
        data = build_data(spec)
        model = ExactField(data)
        for seed in seeds:
            derived = derive(seed, "evaluation")
            evaluation = Evaluation(data, derived, x=noise(data.source, 2, derived), model=model, batch=2048)
            for metric, part in chosen.items():
                for row in measure(evaluation, metric, settings_in(part), with_floor=False):
                    yield {"task": name, "seed": seed, **row}
