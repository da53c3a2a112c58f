"""Models that are given instead of trained: oracles for metrics."""

import torch

from genbench.core import Model, Samples, Transport
from genbench.errors import Unsupported


class Given(Model):
    """A model with nothing to learn; its samples are its noise."""

    def __init__(self, event, source):
        super().__init__()
        self.event, self.source = event, source
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def draw(self, batch, generator):
        raise Unsupported("it is given, not trained")

    def loss(self, example):
        raise Unsupported("it is given, not trained")

    def sample(self, x0, *, label=None):
        return Samples(x0, 0)


class Density(Given):
    """A density that is given as a function of points and labels."""

    def __init__(self, event, source, log_prob):
        super().__init__(event, source)
        self.given = log_prob

    def log_prob(self, x, *, label=None):
        return self.given(x, label)


class Flow(Given, Transport):
    """A field that is given as a function of time and points."""

    def __init__(self, event, source, field):
        super().__init__(event, source)
        self.field = field

    def velocity(self, t, x, label=None):
        return self.field(t, x)
