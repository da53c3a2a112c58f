"""Conformance of a module: every component that it or its submodules register."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from genbench.errors import ConfigError, RunFailed, Unsupported, described, first_line
from genbench.registry import ALL, Registry, datasets, metrics, models
from genbench.settings import settings_of
from genbench.testing.datasets import check_dataset
from genbench.testing.metrics import check_metric
from genbench.testing.models import check_model
from genbench.user_code import execute_file


def check_module(module: str, data: Sequence[str] = ()) -> Iterator[str]:
    """Check every model, data set and metric that a module registers.

    Args:
        module: the name of a module or package, or the path of a Python file.
        data: data sets for the metrics, besides toy tasks and those that the module registers.

    Yields:
        Report lines: the checks, the reason for a missing one (`-`), a violation (`VIOLATED`), and the result.

    Raises:
        AssertionError: at the end, if any requirement was violated.
        ConfigError: if the module does not exist or registers nothing.
    """
    ending = ""
    if module.endswith(".py"):
        ending = f"@{execute_file(Path(module))}"
    elif module.endswith(".toml"):
        raise ConfigError(f"{module} is a suite, which has no conformance tests: genbench sweep {module} --dry-run")
    elif module.startswith(".") or "/" in module:
        raise ConfigError(f"{module} is neither a module nor a Python file: write package.module or FILE.py")
    else:
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:  # the module may raise anything
            raise ConfigError(f"{module} cannot be imported: {type(error).__name__}: {first_line(error)}") from error
    components = {registry.kind: _registered(registry, module, ending) for registry in (datasets, models, metrics)}
    # genbench's own metrics have toy tasks instead.
    added = [] if module.partition(".")[0] == "genbench" else components[datasets.kind]
    needs_none = [each for each in added if not any(s.required for s in settings_of(datasets[each].build).values())]
    tasks = [*data, *needs_none]
    checks: dict[str, Callable[[str], list[str]]] = {
        datasets.kind: check_dataset,
        models.kind: check_model,
        metrics.kind: lambda metric: check_metric(metric, data=tasks),
    }
    count, violated, unchecked = sum(map(len, components.values())), [], []
    if not count:
        others = ((known.kind, name) for known in ALL.values() for name in _registered(known, module, ending))
        rest = ", ".join(f"{kind} '{name.partition('@')[0]}'" for kind, name in others)
        other = f", but {rest}: test it by a short run" if rest else ": decorate a builder to register it"
        raise ConfigError(f"{module} registers no model, data set or metric{other}")
    for kind, names in components.items():
        for component in names:
            try:
                lines = checks[kind](component)
            except AssertionError as error:
                violated.append(f"{kind} {component}")
                lines = [f"{kind} {component}: VIOLATED: {error}"]
            except (Unsupported, ConfigError, RunFailed) as reason:
                unchecked.append(f"{kind} {component}")
                lines = [f"{kind} {component}: - {reason}"]
            except (Exception, SystemExit) as error:  # the component's own code may raise anything
                violated.append(f"{kind} {component}")
                lines = [f"{kind} {component}: VIOLATED: {described(error)}"]
            yield from (line.replace(ending, "") for line in lines)
    named = {"failed": violated, "not checked": unchecked}
    ends = "; ".join(f"{what}: {', '.join(names)}".replace(ending, "") for what, names in named.items() if names)
    if violated:
        raise AssertionError(f"{module}: {ends}")
    yield f"passed: {count - len(unchecked)} of {count} components of {module}" + (f"; {ends}" if ends else "")


def _registered(registry: Registry, module: str, ending: str) -> list[str]:
    """Return the names with this ending; without one, those that a module or its submodules register or announce."""
    if ending:
        return [name for name in registry if name.endswith(ending)]
    homes = {name: registry.module(name) or registry[name].build.__module__ for name in registry}
    return [name for name, home in homes.items() if home == module or home.startswith(f"{module}.")]
