"""Seeds: streams by purpose, and how many of them coincide in the 32 bits that generators of the CPU use."""

import re
from pathlib import Path

import numpy as np
import torch
from torch.testing import assert_close

from genbench.seeds import derive, generator

METRICS = Path(__file__).parents[1] / "genbench" / "metrics"
NUMBERED = {"half"}
"""Streams that a number follows: of samples, of random halves."""


def streams(seeds):
    """Return the streams of seeds, as generators of the CPU tell them apart."""
    return np.fromiter(seeds, np.uint64) % 2**32


def repeats(found):
    return len(found) - len(np.unique(found))


def test_purposes_are_independent_streams():
    draws = {derive(seed, purpose, step) for seed in range(5) for purpose in ("a", "b") for step in range(5)}
    assert len(draws) == 50
    assert_close(torch.rand(3, generator=generator(1, "x")), torch.rand(3, generator=generator(1, "x")))


def test_no_stream_of_an_evaluation_is_that_of_another_for_the_seeds_below_100():
    """All names in the code of metrics; `noise`, which has one stream for each sample, is the next test's."""
    code = "".join(path.read_text() for path in METRICS.rglob("*.py"))
    names = set(re.findall(r'(?:derive|generator)\((?:evaluation\.|self\.)?seed, "([^"]+)"', code))
    assert {"reference", "floor", "half", "tilt"} < names
    seeds = [derive(seed, "evaluation") for seed in range(100)]
    named = [derive(seed, name) for seed in seeds for name in (names - NUMBERED) - {"evaluation", "noise"}]
    named += [derive(seed, "tilt", "pairs") for seed in seeds]
    named += [derive(seed, "half", index) for seed in seeds for index in range(64)]
    assert len(named) > 6_400
    assert repeats(streams([*seeds, *named])) == 0


def test_no_noise_of_a_table_is_that_of_another_seed():
    """Tables have up to ten seeds of 2,048 samples. For a hundred seeds, 4.9 repeats are expected, and 3 found."""
    seeds = [derive(seed, "evaluation") for seed in range(100)]
    noises = streams(derive(seed, "noise", i) for seed in seeds for i in range(2048)).reshape(100, 2048)
    assert repeats(noises[:10].ravel()) == 0
    assert repeats(noises.ravel()) == 3
