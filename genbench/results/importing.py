"""Import released weights: a file from other code becomes a run that is measured like any other."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from genbench.errors import ConfigError, first_line, unknown
from genbench.models.flow_matching.pair_model import PairModel
from genbench.models.latent.latent_model import Latent
from genbench.nets import released_weights
from genbench.runs import provenance
from genbench.runs.make_spec import make_spec
from genbench.runs.record_types import Origin
from genbench.runs.run import LAUNCH, learn_from_prerequisites
from genbench.runs.spec import Spec
from genbench.runs.store import Store
from genbench.runs.train_or_resume import build_untrained
from genbench.seeds import derive
from genbench.settings import Settings, merge
from genbench.storage import content_hash, files, tensors


class Format(NamedTuple):
    """A published format of weights, and the run that they belong to.

    Args:
        key: name under which a file holds the averaged weights; a file without this name holds nothing else.
        prefix: prefix of the weights' names; weights without it are skipped, unless no weight has it.
        weights: function that converts the weights to the parameters of genbench's network.
        model: default model; the user may name another one with the same network.
        settings: settings that differ from genbench's defaults, by section.
    """

    key: str
    prefix: str
    weights: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    model: str
    data: str
    settings: Mapping[str, Mapping[str, Any]]


DDPMPP = {"data": {"valid": 0}, "model": {"net": {"name": "ddpmpp"}, "dequantize": False}}
"""Settings of both networks that follow DDPM++."""

FORMATS = {
    "torchcfm": Format(
        "ema_model",
        "",
        released_weights.torchcfm,
        "cfm",
        "cifar10",
        {"data": {"valid": 0}, "model": {"net": {"name": "unet"}, "dequantize": False}},
    ),
    "sit": Format(
        "ema",
        "",
        released_weights.sit,
        "cfm",
        "folder",
        {
            "data": {"size": 256, "gray": "repeat"},
            "model": {
                "net": {"name": "dit", "patch": 2, "width": 1152, "depth": 28, "heads": 16},
                "encoder": {"name": "diffusers", "model": "stabilityai/sd-vae-ft-ema"},
                "conditional": True,
            },
        },
    ),
    "edm": Format(
        "ema",
        "model.",
        released_weights.edm,
        "cfm",
        "cifar10",
        merge(DDPMPP, {"model": {"net": {"noise_level": True}, "prediction": "edm"}}),
    ),
    "meanflow": Format(
        "model",
        "net_ema1.",  # the first of three averages (decay 0.99995), whose FID the repository prints
        released_weights.meanflow,
        "meanflow",
        "cifar10",
        merge(DDPMPP, {"model": {"net": {"frequencies": 256, "smooth": True, "dropout": 0.2}}}),
    ),
}


DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types of numbers that released weights may have."""


def import_released(
    kind: str, path: Path, store: Store, *, model: str | None, data: str | None, settings: Settings
) -> Spec:
    """Save released weights as the weights of a run, and return its spec. No code in the file is executed.

    Args:
        model: name of the model; None for the default of the format.
        data: name of the data set; None for the default of the format.
        settings: by section; they override the settings of the format.

    Raises:
        ConfigError: if the file does not hold finite weights of this network, or the run has weights already.
        Busy: if another process holds the run.
    """
    if kind not in FORMATS:
        raise unknown("no format", kind, FORMATS)
    known = FORMATS[kind]
    try:
        content = tensors.load_foreign(path)
        state = content.get(known.key, content)
        prefix = known.prefix if any(name.startswith(known.prefix) for name in state) else ""
        state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        _check_dense(state)
        weights = known.weights(state)
    except ConfigError:
        raise
    except Exception as error:  # a file may raise anything
        raise ConfigError(f"{path} does not have the layout of {kind}: {first_line(error)}") from error
    sha256 = content_hash.sha256(path)
    chosen = merge(known.settings, settings, {"plan": {"steps": 0, "released": sha256}})
    spec = make_spec(model or known.model, data or known.data, settings=chosen)
    task = spec.build_data()
    built = build_untrained(spec, task)
    flow = built.model if isinstance(built, Latent) else built
    if not isinstance(flow, PairModel) or "teacher" in spec.prerequisites:  # the file lacks the teacher's weights
        raise ConfigError(f"{spec.model['name']} does not fit weights of {kind}: choose --model {known.model}")
    with LAUNCH.hold(store, spec) as held:
        if held.has_weights(spec):
            there = files.shown(store.weights_path(spec))
            raise ConfigError(f"{there} already exists: measure it with genbench eval, or remove it")
        learn_from_prerequisites(spec, built, store, task)
        if isinstance(built, Latent):
            built.encoder.calibrate(task)  # not `prepare`, which would encode all data
        else:
            flow.prepare(task, derive(spec.seed, "prepare"))
        _check_shapes(path, weights, flow.net.state_dict())
        flow.net.load_state_dict(weights)
        for name, value in flow.net.state_dict().items():
            if not torch.isfinite(value).all():
                raise ConfigError(f"{path}: the weights {name} are not all finite")
        code = provenance.code() | {"released": kind, "file": path.name, "sha256": sha256}
        held.save_model(spec, built.state_dict(), cast(Origin, {"code": code, "machine": {}, "cost": {}}))
    return spec


def _check_dense(state: Mapping[str, Any]) -> None:
    """Raise TypeError for weights that no conversion can read: sparse, without values, or not stored in full."""
    for name, value in state.items():
        plain = isinstance(value, Tensor) and value.layout is torch.strided and value.device.type == "cpu"
        if not (plain and value.dtype in DTYPES and 0 < value.nbytes <= value.untyped_storage().nbytes()):
            raise TypeError(f"{name} is not a dense floating-point tensor that is stored in full")


def _check_shapes(path: Path, found: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> None:
    """Raise ConfigError if weights do not fit a network, and name the first parameter that differs."""
    for name in [*needed, *found]:
        shapes = [str(tuple(each[name].shape)) if name in each else "missing" for each in (found, needed)]
        if shapes[0] != shapes[1]:
            why = f"{name} is {shapes[0]} in the file, but {shapes[1]} in the network with these settings"
            raise ConfigError(f"{path} has the weights of another network: {why}: set model.net.NAME=VALUE")
