"""Tensors with a checksum: safetensors files with the sha256 of their content."""

import hashlib
import json
import os
import re
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as read_tensors
from safetensors.torch import save_file
from torch import Tensor
from torch.serialization import safe_globals

from genbench.errors import ConfigError, RunFailed, first_line
from genbench.storage import cache, files, memory
from genbench.storage.files import Damaged


def save(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write named tensors and a header of text atomically, with their checksum."""
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    signed = {**header, "sha256": digest(plain, header)}
    files.replace(path, lambda temporary: _save(plain, temporary, signed))


def _save(tensors: dict[str, Tensor], path: Path, header: dict[str, str]) -> None:
    try:
        save_file(tensors, path, header)
    except SafetensorError as error:  # only its message reports a full disk
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def load(path: Path, fields: Iterable[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the header of a file.

    Args:
        fields: names of the fields that the header must have.

    Raises:
        Damaged: if the content is not what was written.
        FileNotFoundError: if there is no such file.
    """
    header = head(path, fields)
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
    except (
        SafetensorError,
        ValueError,
        TypeError,
        RuntimeError,
    ) as error:  # torch raises several types for an odd shape
        raise Damaged(f"{files.shown(path)} is damaged: {first_line(error)}") from error
    if header.pop("sha256") != digest(tensors, header):
        raise Damaged(f"{files.shown(path)} is damaged: its checksum differs")
    return tensors, header


def load_foreign(path: Path) -> dict[str, Any]:
    """Return the content of a file from other code: safetensors or `torch.save`. No code in the file is executed.

    Raises:
        ConfigError: if there is no such file; if it holds anything but tensors, numbers, text, and collections and
            namespaces of these; or if this machine has too little memory for it.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is not a file")
    memory.require(path.stat().st_size, files.shown(path))
    try:
        if zipfile.is_zipfile(path):  # a file of `torch.save`, whose members may be compressed
            with zipfile.ZipFile(path) as members:
                memory.require(sum(member.file_size for member in members.infolist()), files.shown(path))
        if path.suffix == ".safetensors":
            return read_tensors(path.read_bytes())
        # A namespace has plain attributes, such as the options that a program was called with.
        with safe_globals([Namespace]), warnings.catch_warnings():  # warnings about unusual pickles
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except ConfigError:
        raise
    except Exception as error:  # a file may raise anything
        raise ConfigError(
            f"{path} holds no weights that can be read without executing it: {first_line(error)}"
        ) from error


def cached(kind: str, name: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return tensors from the cache. The checksum covers the name of the entry: a copy of another entry is damaged."""

    def read(path: Path) -> dict[str, Tensor]:
        found, header = load(path, ("entry",))
        if header["entry"] != name:
            raise Damaged(f"{files.shown(path)} is a copy of another entry, {header['entry']}")
        return found

    return cache.get(kind, name, read, lambda path: save(path, make(), {"entry": name}))


def shipped(package: str, name: str, sha256: str) -> dict[str, Tensor]:
    """Return the weights that ship with genbench as weights/NAME.safetensors of a package.

    Raises:
        RunFailed: if the file has another sha256.
    """
    content = (resources(package) / "weights" / f"{name}.safetensors").read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise RunFailed(f"the weights of {name} are damaged (sha256 {found[:8]}): install genbench again")
    return read_tensors(content)


def head(path: Path, fields: Iterable[str]) -> dict[str, str]:
    """Return the header of a file without verifying anything. Raises as `load` does."""
    files.open_regular(path).close()
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
    except (SafetensorError, ValueError) as error:
        raise Damaged(f"{files.shown(path)} is damaged: {error}") from error
    missing = {*fields, "sha256"} - header.keys()
    if missing:
        raise Damaged(f"{files.shown(path)} is damaged: its header lacks {', '.join(sorted(missing))}")
    return header


def digest(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """Return the sha256 of tensors on the CPU, with their names, types and shapes, and of a header."""
    content = hashlib.sha256(json.dumps(dict(header), sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        content.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode())
        content.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()
