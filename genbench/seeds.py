"""Seeds: one independent random stream for each purpose, and one for each generated sample."""

import hashlib

import torch


def derive(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed that depends only on the given seed and the words of its purpose.

    CUDA generators use all bits. CPU generators (the Mersenne Twister) use the low 32: of n streams about
    n (n - 1) / 2^33 repeat an earlier one, 19 of 400,000 steps. Named evaluation streams do not, for seeds below 100.

    >>> derive(0, "train", 7) == derive(0, "train", 7) != derive(0, "train", 8)
    True
    """
    text = "/".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator of the stream for that purpose."""
    return torch.Generator(device=device).manual_seed(derive(seed, *purpose))
