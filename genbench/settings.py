"""Settings: a builder's keyword-only signature is its schema; its docstring says what each setting means."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import PydanticUserError, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError

from genbench.errors import ConfigError, unknown
from genbench.registry import Registry
from genbench.validation import validated

Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Le(1)]
Count = Annotated[int, Ge(1)]
Size = Annotated[int, Ge(0)]
Layers = Annotated[int, Ge(1), Le(1000)]
"""More layers take minutes to build, and their memory can be estimated only afterwards."""

Settings = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Nested:
    """Marks, inside Annotated, a setting that is itself a component with settings, such as a net.

    Its value is None, a name, or a table of settings with or without a name.

    Args:
        registry: the components to choose from.
        default: function from the event to the component that values without a name mean: a name, or a table of a name
            and settings.
        allowed: names to choose from, the default first; empty allows every name of the registry.
        optional: whether None stands for no component.
        check: called with the event and the name of the setting; raises ConfigError if the data lacks what such
            components need.
    """

    registry: Registry
    default: Callable[[Any], str | Settings] | None = None
    allowed: tuple[str, ...] = ()
    optional: bool = False
    check: Callable[[Any, str], None] | None = None

    def resolve(self, value: Any, what: str, context: Any = None) -> dict[str, Any] | None:
        """Return {"name", "version", ...every setting} as plain JSON; None without a component or without the data.

        Args:
            value: None for the default (or for none, where the setting is optional); a name, or {"name": ...,
                settings}, for that component's own defaults; settings without a name, for the default component.
            what: name of the setting in messages.
            context: the event on which defaults depend; None where it is not known.

        Raises:
            ConfigError: on an unknown name or setting, a wrong type, or settings of another version.
        """
        if value is None and self.optional:
            return None
        given = dict(value) if isinstance(value, Mapping) else {"name": value} if value is not None else {}
        if "name" not in given:
            usual = self._usual(context)
            if usual is None and not given:
                return None
            if usual is None:
                why = f"the default {self.registry.kind} depends on the data; " if self.default else ""
                raise ConfigError(f"{what}: {why}name one of {', '.join(self.registry)}")
            given = {**usual, **given}
        name = given.pop("name")
        if not isinstance(name, str):
            names = ", ".join(self.allowed or self.registry)
            raise ConfigError(
                f"{what}: {name!r} is not a {self.registry.kind}; give a name ({names}) or a table with one"
            )
        if self.allowed and name not in self.allowed:
            raise ConfigError(f"{what}: {name} is not {' or '.join(self.allowed)}; nothing else is allowed here")
        entry = self.registry[name]
        version = given.pop("version", entry.version)
        if version != entry.version:
            raise ConfigError(
                f"{what}: the settings are for version {version} of {name}, which now has version {entry.version}"
            )
        bound = bind(entry.build, given, f"{what} ({name})", context=context)
        if context is not None:
            if self.check is not None:
                self.check(context, what)
            if "complete" in entry.traits:
                bound |= entry.traits["complete"](context, bound)
        return {"name": name, "version": entry.version, **bound}

    def build(self, value: Any, what: str, context: Any, *args: Any) -> Any:
        """Build the component that a value stands for, with positional arguments of its builder; see `resolve`."""
        component = self.resolve(value, what, context)
        if component is None:
            raise ConfigError(f"{what}: name one of {', '.join(self.registry)}")
        return build_component(self.registry, component, *args)

    def _usual(self, context: Any) -> dict[str, Any] | None:
        if self.allowed:
            return {"name": self.allowed[0]}
        if self.default is None or context is None:
            return None
        usual = self.default(context)
        return {"name": usual} if isinstance(usual, str) else dict(usual)


@dataclass(frozen=True)
class OnDisk:
    """Marks, inside Annotated, a setting that is a path: it must exist before a run starts; keys hash its content.

    Args:
        or_name: whether a value that is not a path is a name, such as one on the hub.
    """

    or_name: bool = False


@dataclass(frozen=True)
class ByEvent:
    """Marks, inside Annotated, a setting whose default None stands for a value that depends on the event.

    Args:
        rule: event -> plain JSON value, which the spec records; or the value itself, if it is the same for all events.
        unless: name of an alternative setting; if that is given, None stays None.
    """

    rule: Callable[[Any], Any] | str
    unless: str = ""

    def value(self, event: Any) -> Any:
        """Return the value that None stands for."""
        return self.rule if isinstance(self.rule, str) else self.rule(event)


@dataclass(frozen=True)
class Setting:
    """One setting of a builder: its name, type, default and meaning."""

    name: str
    type: Any
    default: Any
    meaning: str

    @property
    def required(self) -> bool:
        """Whether the builder has no default for it."""
        return self.default is inspect.Parameter.empty

    @cached_property
    def nested(self) -> Nested | None:
        """The marker of a nested component, if this setting is one."""
        return marker_in(self.type, Nested)

    @cached_property
    def plain_default(self) -> Any:
        """The default as plain JSON, for comparisons only: it is shared."""
        return plain(self, self.default, self.name)


def settings_of(builder: Callable) -> Mapping[str, Setting]:
    """Read the schema of a builder: its keyword-only parameters, and what each means.

    The meaning is the parameter's entry under Args in the docstring; a type shared by several builders may carry it
    instead, as text: `Conditional = Annotated[bool, "whether labels are used"]`.

    Settings shared by several builders are the fields of a keyword-only dataclass. A builder takes them as one
    parameter, whose default holds the builder's own defaults.

    >>> @dataclass(frozen=True, kw_only=True)
    ... class Labels:
    ...     conditional: Annotated[bool, "whether labels are used"] = False
    ...     dropout: Annotated[Fraction, "share of labels dropped"] = 0.1
    >>> def cfm(*, sigma: float = 0.0, labels: Labels = Labels(dropout=0.2)): ...
    >>> {name: setting.default for name, setting in settings_of(cfm).items()}
    {'sigma': 0.0, 'conditional': False, 'dropout': 0.2}
    """
    return _schema(getattr(builder, "__func__", builder))  # caching a bound method would keep its object in memory


def each_setting(builder: Callable, settings: Settings) -> Iterator[tuple[str, Setting, Any]]:
    """Yield name, schema and value of each bound setting; in nested components, the name is COMPONENT.SETTING."""
    for name, setting in settings_of(builder).items():
        value = settings.get(name)
        if setting.nested is not None and isinstance(value, Mapping) and "name" in value:
            inner = each_setting(setting.nested.registry[value["name"]].build, value)
            yield from ((f"{name}.{own}", schema, item) for own, schema, item in inner)
        else:
            yield name, setting, value


@lru_cache(maxsize=1024)
def _schema(builder: Callable) -> Mapping[str, Setting]:
    meanings = _meanings(inspect.getdoc(builder) or "")
    schema: dict[str, Setting] = {}
    for p in _keywords(builder):
        if is_dataclass(p.annotation):
            shared = settings_of(p.annotation)  # type: ignore[arg-type]
            schema |= {name: replace(setting, default=getattr(p.default, name)) for name, setting in shared.items()}
        else:
            meaning = meanings.get(p.name) or marker_in(p.annotation, str) or ""
            default = str(p.default) if isinstance(p.default, Path) else p.default
            schema[p.name] = Setting(p.name, p.annotation, default, meaning)
    return schema


@lru_cache(maxsize=1024)
def _keywords(builder: Callable) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(builder, eval_str=True).parameters.values() if p.kind is p.KEYWORD_ONLY]


def bind(builder: Callable, settings: Settings, what: str, *, context: Any = None) -> dict[str, Any]:
    """Check settings against a builder and fill in its defaults.

    Args:
        builder: anything with a keyword-only signature.
        settings: plain JSON values by name.
        what: name of the builder in messages.
        context: the event of the data, on which defaults may depend; None where it is not known.

    Returns:
        Plain JSON values for every setting; `call` turns them into arguments.

    Raises:
        ConfigError: on an unknown name, a missing required setting or a value of the wrong type.

    >>> def wcfm(*, kappa: Positive = 0.09): ...
    >>> bind(wcfm, {"kappa": 1}, "wcfm")
    {'kappa': 1.0}
    >>> bind(wcfm, {"kapa": 1}, "wcfm")
    Traceback (most recent call last):
    genbench.errors.ConfigError: wcfm has no setting 'kapa'; did you mean 'kappa'?
    >>> bind(wcfm, {"kappa": "much"}, "wcfm")
    Traceback (most recent call last):
    genbench.errors.ConfigError: wcfm.kappa: 'much' is wrong: input should be a valid number
    """
    schema = settings_of(builder)
    for name in settings:
        if name not in schema:
            raise unknown(f"{what} has no setting", name, schema)
    bound = {}
    for name, setting in schema.items():
        value, label = settings.get(name, setting.default), _labelled(what, name)
        if setting.type is inspect.Parameter.empty:
            raise ConfigError(f"{what}: write a type for {name} into its signature, as {name}: int = 64")
        if value is inspect.Parameter.empty:
            raise ConfigError(f"{what} needs the setting '{name}': {setting.meaning or setting.type}")
        by_event = marker_in(setting.type, ByEvent)
        if value is None and context is not None and by_event and settings.get(by_event.unless) is None:
            value = by_event.value(context)
        if setting.nested is not None:
            bound[name] = setting.nested.resolve(value, label, context)
        else:
            bound[name] = plain(setting, value, label)
    return bound


def _labelled(what: str, name: str) -> str:
    """Return a setting as it is typed, before the component in parentheses.

    >>> _labelled("wcfm", "kappa"), _labelled("sample (wcfm)", "steps")
    ('wcfm.kappa', 'sample.steps (wcfm)')
    """
    path, bracket, component = what.partition(" (")
    return f"{path}.{name}{bracket}{component}"


def plain(setting: Setting, value: Any, what: str) -> Any:
    """Return a value as the plain JSON of its setting's type, such as 1.0 for 1; raise ConfigError if it is wrong."""
    try:
        typed = validated(_adapter(setting.type), value, what)
        return _adapter(setting.type).dump_python(typed, mode="json")
    except (PydanticUserError, PydanticSchemaGenerationError) as error:
        raise ConfigError(f"{what} has a type that settings cannot have: {setting.type}") from error


def typed(builder: Callable, settings: Settings) -> dict[str, Any]:
    """Turn bound settings from plain JSON into the types that the builder's signature names."""
    schema = settings_of(builder)
    values = {
        name: value if schema[name].nested is not None else validated(_adapter(schema[name].type), value, name)
        for name, value in settings.items()
    }
    for p in _keywords(getattr(builder, "__func__", builder)):
        if is_dataclass(p.annotation):
            names = [name for name in settings_of(p.annotation) if name in values]  # type: ignore[arg-type]
            values[p.name] = replace(p.default, **{name: values.pop(name) for name in names})
    return values


def call(builder: Callable, *args: Any, settings: Settings) -> Any:
    """Call a builder with bound settings."""
    return builder(*args, **typed(builder, settings))


def settings_in(component: Settings) -> dict[str, Any]:
    """Return the settings of a component given as plain JSON: all but its name, version and the hashes of its files."""
    return {name: value for name, value in component.items() if name not in ("name", "version", "content")}


def build_component(registry: Registry, component: Settings, *args: Any) -> Any:
    """Build a component given as plain JSON."""
    return call(registry[component["name"]].build, *args, settings=settings_in(component))


def merge(*layers: Settings) -> dict[str, Any]:
    """Combine nested settings: later ones override earlier ones, or replace them if they have another name.

    >>> merge({"plan": {"steps": 5, "lr": 1}}, {"plan": {"steps": 7}})
    {'plan': {'steps': 7, 'lr': 1}}
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            earlier = merged.get(key)
            if isinstance(earlier, str):  # it stands for a table with this name
                earlier = {"name": earlier}
            if isinstance(value, Mapping) and isinstance(earlier, Mapping):
                name = earlier.get("name")
                if name is None or value.get("name", name) == name:
                    value = merge(earlier, value)
            merged[key] = value
    return merged


@lru_cache(maxsize=512)
def _adapter(annotation: Any) -> TypeAdapter:
    return TypeAdapter(annotation)


def marker_in(annotation: Any, kind: type[T]) -> T | None:
    """Return the first item of that kind inside Annotated."""
    metadata = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((item for item in metadata if isinstance(item, kind)), None)


def _meanings(doc: str) -> dict[str, str]:
    """Read the Args section of a docstring: {name: meaning}."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", doc, re.MULTILINE)
    if not section:
        return {}
    _, *parts = re.split(r"^(\w+): ", inspect.cleandoc(section[1]), flags=re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in zip(parts[::2], parts[1::2], strict=True)}
