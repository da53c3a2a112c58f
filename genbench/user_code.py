"""Python files of the user, which register components: each is executed once for each of its contents.

A file may import modules of its own folder. Its hash covers them, so that results of another version of any of them
are never mixed up.
"""

import ast
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from genbench.errors import USER_MODULE, ConfigError

FILES = "GENBENCH_FILES"
"""Environment variable for the processes of this one: Python files of the user, which register affine@1f2e3d4c."""

executing: list[str] = []
"""Hashes of the files that are being executed."""

_helpers: set[str] = set()
"""Names of modules that were imported from folders of the user."""


def named_files() -> list[Path]:
    """Return the files that the user has named, in this process or in the one that started it."""
    return list(map(Path, filter(None, os.environ.get(FILES, "").split(os.pathsep))))


def load_file(path: Path) -> str:
    """Execute a Python file, here and in the processes that this one starts; see `execute_file`."""
    digest = execute_file(path)
    os.environ[FILES] = os.pathsep.join(dict.fromkeys(map(str, [*named_files(), path.resolve()])))
    return digest


def execute_file(path: Path) -> str:
    """Execute a Python file of the user, unless that is done already, and return a hash of it and of what it imports.

    The components that it registers have names that end in @ and the hash.

    Raises:
        ConfigError: if the file cannot be read or executed, or if the hash does not cover a module that it imports.
    """
    code = sources(path)
    lines = [f"{name}\0{hashlib.sha256(content).hexdigest()}\n" for name, content in sorted(code.items())]
    digest = hashlib.sha256("".join(lines).encode() if len(code) > 1 else code[path.name]).hexdigest()[:8]
    module = f"{USER_MODULE}{digest}"
    if module not in sys.modules:
        spec = importlib.util.spec_from_file_location(module, path.resolve())
        assert spec is not None
        loaded, searched = importlib.util.module_from_spec(spec), [*sys.path]
        hidden, before = {}, {*sys.modules}
        executing.append(digest)
        try:
            own = _own_modules(path)
            hidden = _forget(own, path)
            before = {*sys.modules}
            sys.modules[module] = loaded
            with _importable(path, own):
                exec(compile(code[path.name], str(path), "exec"), loaded.__dict__)
            unseen = min(_user_modules(path, before, searched) - own.keys() - {module}, default=None)
            if unseen is not None:
                raise ConfigError(
                    f"{path} imports {unseen} unseen by its hash: write `import {unseen}`, from beside the file"
                )
        except (Exception, SystemExit) as error:  # of the user's code
            sys.modules.pop(module, None)
            for name in _user_modules(path, before, searched):  # or the next try would find what this one imported
                del sys.modules[name]
            sys.path[:] = searched
            raise _refusal(path, error) from error
        finally:
            executing.pop()
            for name, known in hidden.items():
                sys.modules.setdefault(name, known)
    return digest


def sources(path: Path) -> dict[str, bytes]:
    """Return the content of a Python file and of the modules of its own folder that it imports, by relative path.

    Raises:
        ConfigError: if one cannot be read, or is not Python.
    """
    if not path.is_file():
        raise ConfigError(f"{path} does not exist or is not a file")
    try:
        own, folder = _own_modules(path).values(), path.resolve().parent
        return {path.name: path.read_bytes()} | {str(file.relative_to(folder)): file.read_bytes() for file in own}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # Python's parser has many
        raise _refusal(path, error) from error


def _refusal(path: Path, error: BaseException) -> ConfigError:
    known = isinstance(error, ConfigError)
    return error if known else ConfigError(f"{path} cannot be loaded: {type(error).__name__}: {error}")


class _Uncached(SourceFileLoader):
    """Compiles a module anew: its compiled file is found by time and size, which another content may share."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


class _Finder(NamedTuple):
    """Finds the modules of a user's folder before others do.

    Args:
        own: {name: file}.
    """

    own: Mapping[str, Path]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the place of a module, and how it is loaded; None for others."""
        file = self.own.get(name)
        if file is None or file.suffix != ".py":
            return None
        places = [str(file.parent)] if file.name == "__init__.py" else None
        loader = _Uncached(name, str(file))
        return importlib.util.spec_from_file_location(name, file, loader=loader, submodule_search_locations=places)


@contextmanager
def _importable(path: Path, own: Mapping[str, Path]) -> Iterator[None]:
    """Let modules beside a file be imported, as Python does for a script; those that are known, from their source."""
    folder, finder = str(path.resolve().parent), _Finder(own)
    importlib.invalidate_caches()
    sys.path.insert(0, folder)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        with suppress(ValueError):  # the file removed it
            sys.path.remove(folder)


def _own_modules(path: Path) -> dict[str, Path]:
    """Return the modules of its own folder that a file imports, directly or through one another: {name: file}."""
    _real.cache_clear()  # the current folder may be another one now
    found: dict[str, Path] = {}
    waiting = [(path.resolve(), "")]
    with _importable(path, {}):
        while waiting:
            file, package = waiting.pop()
            imports = [(late, *each) for name, late in _imported(file, package) for each in _specs(name)]
            for late, part, spec in imports:
                place = _own_place(path, part, spec)
                if place is not None and late:
                    raise ConfigError(f"{file.name} imports {part} within a function: import it at the top of the file")
                if place is not None and part not in found:
                    found[part] = place
                    waiting.append((place, part if spec.submodule_search_locations else part.rpartition(".")[0]))
    return found


def _imported(file: Path, package: str) -> Iterator[tuple[str, bool]]:
    """Yield the names that a file imports, and whether it does so within a function; nothing is executed."""
    if file.suffix != ".py":  # compiled
        return
    tree = ast.parse(file.read_bytes(), str(file))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    late = {node for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from ((f"{base}.{alias.name}", node in late) for alias in node.names)


def _specs(name: str) -> Iterator[tuple[str, ModuleSpec]]:
    """Yield the packages above a module, and the module, as far as they are there; nothing is imported."""
    places, parts = None, name.split(".")
    for end in range(1, len(parts) + 1):
        part = ".".join(parts[:end])
        spec = next(filter(None, (finder.find_spec(part, places) for finder in sys.meta_path)), None)
        if spec is None:
            return
        yield part, spec
        places = spec.submodule_search_locations
        if places is None:
            return


def _own_place(path: Path, name: str, spec: ModuleSpec | None, added: Container[str] = ()) -> Path | None:
    """Return the place of a module that lies beside a file, or in the package of the file; None for others.

    Args:
        added: further folders of the user, in which modules lie.
    """
    top, depth = name.partition(".")[0], name.count(".")
    if spec is None or not spec.has_location or top == "genbench":  # for which versions stand
        return None
    place, folder = Path(str(spec.origin)), Path(_real(path)).parent
    depth += place.stem == "__init__"
    if depth >= len(place.parents):
        return None
    root = Path(_real(place.parents[depth]))
    place = root / place.relative_to(place.parents[depth])
    of_package = folder.is_relative_to(root / top) and place.is_relative_to(folder)
    return place if root == folder or of_package or str(root) in added else None


def _user_modules(path: Path, before: Container[str], searched: Container[str]) -> set[str]:
    """Return the modules that a file has imported from folders of the user; itself may be among them.

    Args:
        before: modules that were loaded before.
        searched: folders that were searched for modules before.
    """
    added = {str(Path(folder).resolve()) for folder in sys.path if folder not in searched}
    specs = {name: getattr(loaded, "__spec__", None) for name, loaded in [*sys.modules.items()] if name not in before}
    return {name for name, spec in specs.items() if _own_place(path, name, spec, added)}


def _forget(own: Mapping[str, Path], path: Path) -> dict[str, ModuleType]:
    """Let modules beside a file be imported anew: their content may have changed, or they were those of another file.

    Returns:
        The other modules beside it that are loaded: hidden, so that an import that the hash does not cover is seen.

    Raises:
        ConfigError: if a module from elsewhere has the name of one of them, and would be imported instead.
    """
    for name, file in own.items():
        loaded = sys.modules.get(name)
        if loaded is not None and name not in _helpers and not _own_place(path, name, loaded.__spec__):
            raise ConfigError(f"rename {file}: another module '{name}' is loaded already")
        sys.modules.pop(name, None)
        _helpers.add(name)
    specs = {name: getattr(loaded, "__spec__", None) for name, loaded in [*sys.modules.items()]}
    others = (name for name in specs if name != "__main__" and not name.startswith(USER_MODULE))
    return {name: sys.modules.pop(name) for name in others if _own_place(path, name, specs[name])}


_real = cache(os.path.realpath)
"""Of the thousands of modules that are loaded, most lie in a few folders."""
