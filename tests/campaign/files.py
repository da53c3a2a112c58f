"""What may lie in the place of a file, and damage to its bytes."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

PLACES: dict[str, Callable[[Path], object]] = {
    "absent": lambda path: None,
    "folder": Path.mkdir,
    "FIFO": os.mkfifo,
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "random device": lambda path: path.symlink_to("/dev/urandom"),
    "empty device": lambda path: path.symlink_to("/dev/null"),
}
"""What lies at a path where nothing was."""

BYTES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "cut in half": lambda data: data[: len(data) // 2],
    "last byte lost": lambda data: data[:-1],
    "longer": lambda data: data + b"x",
    "twice": lambda data: data * 2,
    "zeros": lambda data: bytes(len(data)),
    "random": lambda data: random.Random(0).randbytes(2000),
    "text": lambda data: b"hello",
}
"""Other bytes in the place of those of a file."""


def flipped(data: bytes, place: int, bit: int = 4) -> bytes:
    """Return the bytes, one of them changed by the bits of `bit`."""
    return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]


def damaged(data: bytes, key: str, flips: int = 10, cuts: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield bytes in which a bit is flipped at a random place, and the first tenths of them; the key is the seed."""
    draw = random.Random(key)
    for number in range(flips):
        yield f"bit {number} flipped", flipped(data, draw.randrange(len(data)), 1 << draw.randrange(8))
    for tenths in range(cuts):
        yield f"cut to {tenths} tenths", data[: tenths * len(data) // 10]


def damages(key: str, flips: int = 10) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Yield what damages the file at a path: other bytes, or something else in its place."""
    draw = random.Random(key)
    for number in range(flips):
        share, bit = draw.random(), 1 << draw.randrange(8)
        yield f"bit {number} flipped", _rewriting(lambda data, s=share, b=bit: flipped(data, int(s * len(data)), b))
    for name, change in BYTES.items():
        yield name, _rewriting(change)
    for name, make in PLACES.items():
        yield name, _replacing(make)
    yield "read-only", lambda path: path.chmod(0o400)


def _rewriting(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def _replacing(make: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda path: (path.unlink(), make(path))
