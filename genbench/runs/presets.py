"""Presets: settings by name for a quick look at a data set whose usual training takes long. They make no results."""

from collections.abc import Mapping
from typing import Any

from genbench.errors import ConfigError, unknown
from genbench.registry import models
from genbench.settings import merge, settings_of

SMALL = {"name": "unet", "channels": 24, "multipliers": [1, 2, 2], "blocks": 1, "attention": [8], "dropout": 0.0}

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "quick": {
        "cifar10": {
            "plan": {"steps": 500, "batch_size": 32, "lr": 1e-3, "warmup": 50, "ema": 0.99, "grid_every": 100},
            "model": {"net": SMALL},
            "evaluation": {"n": 64, "batch": 64},
            "metrics": ["norm", "nfe", "parameters", "failed"],
        },
        "digits": {
            "plan": {"steps": 300, "grid_every": 100},
            "model": {},
            "evaluation": {"curve": []},
            "metrics": ["fd-digits_cnn", "nfe", "parameters", "failed"],
        },
    }
}
"""{preset: {data set: its settings by section, and its metrics}}."""


def with_preset(
    preset: str, model: str, dataset: str, metrics: list[str] | None, settings: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """Return the metrics and the settings of a request, completed by those of a preset; what is stated stays.

    Settings that the model does not have are left out.

    Raises:
        ConfigError: if there is no such preset of the data set.
    """
    if preset not in PRESETS:
        raise unknown("no preset", preset, PRESETS)
    if dataset not in PRESETS[preset]:
        raise ConfigError(f"--preset {preset} is for {' and '.join(PRESETS[preset])}, not for {dataset}: leave it out")
    chosen = PRESETS[preset][dataset]
    known = settings_of(models[model].build)
    usual = {section: values for section, values in chosen.items() if section != "metrics"}
    usual["model"] = {name: value for name, value in chosen["model"].items() if name in known}
    return metrics or list(chosen["metrics"]), merge(usual, settings)
