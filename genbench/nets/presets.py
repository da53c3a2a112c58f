"""Which net fits which samples, and nets as settings of models."""

from collections.abc import Mapping
from typing import Annotated, Any

from torch import nn

from genbench.core import Event
from genbench.errors import ConfigError
from genbench.registry import nets
from genbench.settings import Nested, bind, call


def default(event: Event) -> dict[str, Any]:
    """Return the name and the settings of the net that suits samples of that shape.

    Args:
        event: shape (d,) for vectors, (channels, height, width) for images.

    Raises:
        ConfigError: if the samples are neither vectors nor images.

    >>> default(Event((2,)))
    {'name': 'mlp', 'width': 64, 'depth': 3}
    """
    if len(event.shape) == 1:
        dims = event.shape[0]
        width = 64 if dims <= 4 else 256 if dims <= 64 else 512
        return {"name": "mlp", "width": width, "depth": 3}
    if len(event.shape) != 3:
        raise ConfigError(f"no net for samples of shape {event.shape}; nets want (d,) or (channels, height, width)")
    size = max(event.shape[1:])
    # On small images sines of 30 t fit a little better than the published ones of t (validation loss, digits).
    small = {"name": "unet", "blocks": 1, "dropout": 0.0, "time_scale": 30.0}
    if size <= 16:
        return {**small, "channels": 16, "multipliers": [1, 2], "attention": []}
    if size <= 28:
        return {**small, "channels": 32, "multipliers": [1, 2, 2], "attention": [7]}
    if size <= 32:
        return {"name": "unet"}
    return {"name": "unet", "channels": 128, "multipliers": [1, 2, 3, 4], "blocks": 3, "attention": [16, 8]}


def build(event: Event, classes: int, settings: Mapping[str, Any]) -> nn.Module:
    """Build the net of a resolved table.

    Args:
        event: shape of one sample.
        classes: number of classes the net is conditioned on; 0 for none.
        settings: "name", "version" and every setting, as `NetChoice.resolve` returns them.
    """
    own = {key: value for key, value in settings.items() if key not in ("name", "version")}
    return call(nets[settings["name"]].build, event, classes, settings=own)


class NetChoice(Nested):
    """Marks a setting that is a net: nothing for the default, a name, or a table of settings with or without one."""

    registry = nets

    def resolve(self, value: Any, what: str, context: Event | None) -> dict[str, Any]:
        """Return {"name", "version", ...every setting} as plain JSON.

        Args:
            value: None for the default net; a name; {"name": ..., settings} for that net's own defaults under these
                settings; settings without a name for the default net under these settings.
            what: how messages call the setting.
            context: the event the net is for.

        Raises:
            ConfigError: on an unknown net or setting, a wrong type, or a table of another version of the net.
        """
        if context is None and not (isinstance(value, str) or (isinstance(value, Mapping) and "name" in value)):
            raise ConfigError(f"{what}: the default net depends on the data; name a net")
        if value is None:
            value = default(context)  # type: ignore[arg-type]
        elif isinstance(value, str):
            value = {"name": value}
        elif not isinstance(value, Mapping):
            raise ConfigError(f"{what}: {value!r} is no net; give a name, or a table such as {{'name': 'mlp'}}")
        elif "name" not in value:
            value = {**default(context), **value}  # type: ignore[arg-type]
        settings = dict(value)
        name = settings.pop("name")
        if not isinstance(name, str):
            raise ConfigError(f"{what}.name: {name!r} is no name of a net; known: {', '.join(nets)}")
        entry = nets[name]
        version = settings.pop("version", entry.version)
        if version != entry.version:
            raise ConfigError(f"{what}: settings are of version {version} of {name}, which is now {entry.version}")
        return {
            "name": name,
            "version": entry.version,
            **bind(entry.build, settings, f"{what} ({name})", context=context),
        }


NetSetting = Annotated[dict[str, Any] | str | None, NetChoice()]
