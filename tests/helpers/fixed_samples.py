"""Data whose samples are given, in order, whatever the seed."""

import torch

from genbench.core import Batch, Data, Event, Normal, Split, Truth
from genbench.errors import Unsupported
from genbench.space import Real


def normal(n, d, seed):
    """Return n standard normal samples in d dimensions."""
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


class Fixed(Split):
    """A split of the given samples and labels."""

    def __init__(self, x, label=None):
        self.x, self.size = x, len(x)
        self.label = torch.zeros(len(x), dtype=torch.long) if label is None else label

    def take(self, n, seed):
        if n > self.size:
            raise Unsupported("too few")
        return Batch(self.x[:n], self.label[:n])

    def batch(self, step, size, seed):
        return self.take(size, seed)


def task_of(x, space=None, truth=None, label=None):
    """Return a task whose splits are these samples in model space."""
    space, split, shape = space or Real(), Fixed(x, label), tuple(x.shape[1:])
    return Data(Event(shape, 0, space.bin), space, Normal(shape), split, split, split, truth=truth or Truth())
