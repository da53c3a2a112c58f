"""Registries: names of models, nets, data sets and metrics, open to other packages by entry points.

The table components.toml and the entry points of other packages map a name to the module that registers it.
So names are known without importing that module, and `genbench list` never waits for torch.
"""

import importlib
import inspect
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from genbench import user_code
from genbench.errors import ConfigError, unknown

Builder = TypeVar("Builder", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry:
    """A registered builder.

    Args:
        name: the name that users type.
        build: the builder, a function or a class; its keyword-only signature is its schema.
        version: raise it when the behavior or a default changes; older results then count as outdated.
        traits: what else its kind of component declares: the plan of a model, and the setting that tables state even
            where it has its default; `held_out=False` of models and couplings whose pairs cannot be of held-out data;
            `amplifies_rounding=True` of models that give another value of the same seed on another machine;
            the direction and the possible values of a metric.
    """

    name: str
    build: Callable[..., Any]
    version: int = 1
    traits: Mapping[str, Any] = field(default_factory=dict)


def with_settings_of(part: Callable, build: Callable) -> Callable:
    """Return a builder with the documentation of a part and, before its last setting, the settings of the part.

    Args:
        build: a builder that ends with **settings, which it passes to the part.
    """
    own, signature = (inspect.signature(each, eval_str=True) for each in (part, build))
    *first, last, _ = signature.parameters.values()
    settings = [each for each in own.parameters.values() if each.kind is each.KEYWORD_ONLY]
    build.__signature__ = signature.replace(parameters=[*first, *settings, last])  # type: ignore[attr-defined]
    build.__doc__, build.__module__ = part.__doc__, part.__module__
    return build


class Registry:
    """A dictionary of builders, filled by a decorator when their modules are imported.

    Args:
        kind: name of a component of this registry in messages, such as "model".
        group: entry points of this group announce components of other packages.
        own: our own components, {module: {name: summary}}.
        families: {family: "module:function"}; the function makes the entries called FAMILY:NAME.

    Examples:
        >>> shapes = Registry("shape", group="example.shapes")
        >>> @shapes.register("square", version=2)
        ... def square(*, side: float = 1.0): return side * side
        >>> shapes["square"].version
        2
        >>> shapes["sqare"]
        Traceback (most recent call last):
        genbench.errors.ConfigError: no shape 'sqare'; did you mean 'square'?
    """

    def __init__(
        self,
        kind: str,
        group: str,
        own: Mapping[str, Mapping[str, str]] | None = None,
        families: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.group = group
        self._summaries = {name: summary for names in (own or {}).values() for name, summary in names.items()}
        self._own = {name: module for module, names in (own or {}).items() for name in names}
        self._families = families or {}
        self._entries: dict[str, Entry] = {}

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in _entry_points().select(group=self.group)}

    def module(self, name: str) -> str | None:
        """Return the module that registers a component of genbench or a package; None if this session registered it."""
        if name in self._own:
            return self._own[name]
        return self._plugins[name].module if name in self._plugins else None

    def register(self, name: str, *, version: int = 1, **traits: Any) -> Callable[[Builder], Builder]:
        """Return a decorator that registers a builder under a name and returns it unchanged."""

        def decorate(build: Builder) -> Builder:
            _check_name(self.kind, name, version)
            _check_declared(self.kind, name, traits)
            # A component of a package, which the file has imported, keeps its name.
            of_file = user_code.executing and self.module(name) != build.__module__
            full_name = f"{name}@{user_code.executing[-1]}" if of_file else name
            self._entries[full_name] = Entry(full_name, build, version, traits)
            return build

        return decorate

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._own, *self._plugins, *(name for name in self._entries if ":" not in name)}))

    def __contains__(self, name: str) -> bool:
        if "@" in name and name not in self._entries:
            for path in user_code.named_files():
                user_code.execute_file(path)
        return name in self._entries or self.module(name) is not None or self._family(name) is not None

    def _family(self, name: str) -> str | None:
        """Return, as "module:function", the function that makes the entry FAMILY:NAME."""
        family, colon, _ = name.partition(":")
        return self._families.get(family) if colon else None

    def require(self, name: str) -> None:
        """Check a name without importing its component.

        Raises:
            ConfigError: if there is no such component; the message suggests a name, or asks for its Python file.
        """
        if name in self:
            return
        if "@" in name:
            digest = name.partition("@")[2]
            raise ConfigError(f"{self.kind} '{name}' needs its Python file (sha256 {digest}...): --trust FILE.py")
        if os.path.isfile(f"{name}.py"):  # unlike Path.is_file, false for a name that is too long for a file
            raise ConfigError(f"no {self.kind} '{name}'; did you mean the file '{name}.py'?")
        raise unknown(f"no {self.kind}", name, self)

    def load(self, path: str | Path, name: str = "") -> str:
        """Execute a Python file of the user, and return the name of a component that it registers.

        The name ends in a hash of the file and of the modules of its folder that it imports, so that results of another
        version of them are never mixed up.

        Args:
            name: under which it registers the component; may be empty if it registers one only.

        Raises:
            ConfigError: if the file is broken, or registers no such component.
        """
        digest = user_code.load_file(Path(path))
        here = self.of_file(digest)
        if name and name not in here:
            raise unknown(f"{path} registers no {self.kind}", name, here)
        if not here:
            other = [f"{known.kind} '{each}'" for known in ALL.values() for each in known.of_file(digest)]
            what = f"no {self.kind}, but {', '.join(other)}" if other else "nothing: decorate a builder to register it"
            raise ConfigError(f"{path} registers {what}")
        if len(here) > 1 and not name:
            raise ConfigError(f"{path} registers the {self.kind}s {' and '.join(here)}: name one, as {path}:{here[0]}")
        return f"{name or here[0]}@{digest}"

    def of_file(self, digest: str) -> list[str]:
        """Return the names, without the hash, that the Python file of that hash has registered."""
        return [known.removesuffix(f"@{digest}") for known in self._entries if known.endswith(f"@{digest}")]

    def __getitem__(self, name: str) -> Entry:
        """Import the builder of that name.

        Raises:
            ConfigError: if there is no such component, its module is broken, or its Python file was not named.
        """
        self.require(name)
        if name in self._entries:
            return self._entries[name]
        family = self._family(name)
        module, _, function = (family or self.module(name) or "").partition(":")
        try:
            imported = importlib.import_module(module)
        except (Exception, SystemExit) as error:  # other packages may raise anything
            why = f"{module} cannot be imported: {type(error).__name__}: {error}"
            raise ConfigError(f"{self.kind} '{name}' of {self.origin(name)} is broken: {why}") from error
        if family:
            self._entries[name] = getattr(imported, function)(name.partition(":")[2])
        if name not in self._entries:
            why = f"{module} does not register it"
            raise ConfigError(f"{self.kind} '{name}' of {self.origin(name)} is broken: {why}")
        return self._entries[name]

    def summary(self, name: str) -> str:
        """Return the first line of a builder's docstring; for a package that is not imported yet, the package."""
        if name in self._summaries:
            return self._summaries[name]
        if name in self._entries:
            return (self._entries[name].build.__doc__ or "").strip().partition("\n")[0]
        return f"of the package {self.origin(name)}"

    def origin(self, name: str) -> str:
        """Return the distribution that registers the name, or 'this session' for a local registration."""
        if name in self._own or self._family(name):
            return "genbench"
        point = self._plugins.get(name)
        return point.dist.name if point and point.dist else "this session"


def _check_name(kind: str, name: str, version: object) -> None:
    """Refuse names that cannot be parts of file names, labels or settings, and versions that are not numbers."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{kind} {name[:80]!r}: a name has up to 80 letters, digits and _+-, and begins with a letter or digit"
        )
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ConfigError(f"{kind} {name}: version={version!r} is wrong: a version is a whole number from 1 on")


DECLARED = {"metric": {"better": ("lower", "higher", "none"), "of": ("samples", "model")}}
"""{kind: {what each of its components declares: the possible values}}.

With another `better`, no record could be read; with another `of`, a metric would be measured without a floor.
"""


def _check_declared(kind: str, name: str, traits: Mapping[str, Any]) -> None:
    for trait, possible in DECLARED.get(kind, {}).items():
        if (value := traits.get(trait)) not in possible:
            known = " or ".join(f"{trait}={each!r}" for each in possible)
            raise ConfigError(f"{kind} {name}: {trait}={value!r} is wrong: write {known}")
    bounds = traits.get("bounds", (None, None))
    for each in bounds.values() if isinstance(bounds, Mapping) else [bounds]:
        if not _is_range(each):
            raise ConfigError(f"{kind} {name}: bounds={each!r} is wrong: write (lower, upper), such as (0, None)")


def _is_range(ends: object) -> bool:
    """Return whether an object is a pair of numbers or None, the lower one first."""
    if not isinstance(ends, tuple) or len(ends) != 2:
        return False
    known = [end for end in ends if end is not None]
    return all(isinstance(end, int | float) for end in known) and known == sorted(known)


_NAME = re.compile(r"[A-Za-z0-9][\w+-]{0,79}", re.ASCII)
"""No dots: they separate the parts of a setting, and a metric from its second value. A colon follows a family."""


@lru_cache
def _entry_points() -> Any:
    """Return the entry points of all groups, cached: reading them scans every installed distribution."""
    return entry_points()


COMPONENTS: dict[str, dict[str, dict[str, str]]] = tomllib.loads(
    (Path(__file__).parent / "components.toml").read_text(encoding="utf-8")
)
"""Our own components: {kind: {module: {name: summary}}}."""

FAMILIES = {"metrics": {"torchmetrics": "genbench.metrics.torchmetrics_classes:entry"}}
"""{kind: {family: function that makes the entries called FAMILY:NAME}}."""


KINDS = {
    "models": "model",
    "couplings": "coupling",
    "nets": "net",
    "encoders": "encoder",
    "texts": "text encoder",
    "datasets": "data set",
    "metrics": "metric",
    "extractors": "feature extractor",
}
ALL = {key: Registry(kind, f"genbench.{key}", COMPONENTS[key], FAMILIES.get(key)) for key, kind in KINDS.items()}
"""The registries by their names in `genbench list`."""

models, couplings, nets, encoders, texts, datasets, metrics, extractors = ALL.values()
