"""Python files of the user, which register components: each is executed once, and again if its content changes.

A file may import modules of its own folder. Its hash covers them, so that results of another version of any of them
are never mixed up.
"""

import ast
import hashlib
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from genbench.errors import USER_MODULE, ConfigError

FILES = "GENBENCH_FILES"
"""Environment variable that passes the paths of the user's Python files to child processes, as JSON."""

executing: list[str] = []
"""Hashes of the files that are being executed."""

_helpers: set[str] = set()
"""Names of modules that were imported from folders of the user."""


def named_files() -> list[Path]:
    """Return the files that the user has named, in this process or in the one that started it."""
    return list(map(Path, json.loads(os.environ.get(FILES) or "[]")))


def load_file(path: Path) -> str:
    """Execute a Python file, here and in the processes that this one starts; see `execute_file`."""
    digest = execute_file(path)
    os.environ[FILES] = json.dumps([*dict.fromkeys(map(str, [*named_files(), path.resolve()]))])
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
    if f"{USER_MODULE}{digest}" not in sys.modules:
        executing.append(digest)
        try:
            _execute(path, f"{USER_MODULE}{digest}", code[path.name])
        finally:
            executing.pop()
    return digest


def file_of(component: str) -> str | None:
    """Return the path, from here, of the file that registered NAME@HASH; None for a component of a package."""
    module = sys.modules.get(f"{USER_MODULE}{component.partition('@')[2]}")
    return os.path.relpath(str(module.__file__)) if module is not None else None


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
    except Exception as error:  # Python's parser raises many types
        raise _refusal(path, error) from error


def _refusal(path: Path, error: BaseException) -> ConfigError:
    known = isinstance(error, ConfigError)
    return error if known else ConfigError(f"{path} cannot be loaded: {type(error).__name__}: {error}")


def _execute(path: Path, name: str, source: bytes) -> None:
    """Execute a file as the module of that name; if it fails, nothing that it imported stays."""
    folder, own = str(path.resolve().parent), _own_modules(path)
    hidden = _hide(own, folder)
    before, searched = {*sys.modules}, [*sys.path]
    sys.modules[name] = loaded = ModuleType(name)
    loaded.__file__ = str(path.resolve())
    try:
        with _importable(folder, own):
            exec(compile(source, str(path), "exec"), vars(loaded))
        if unseen := _imported_from({folder} | ({*sys.path} - {*searched}), sys.modules.keys() - before - own.keys()):
            how = f"write `import {min(unseen)}`, with the module beside the file"
            raise ConfigError(f"{path} imports {min(unseen)} in a way that its hash does not cover: {how}")
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        for each in {name, *own, *_imported_from({folder} | ({*sys.path} - {*searched}), sys.modules.keys() - before)}:
            sys.modules.pop(each, None)
        sys.path[:] = searched
        raise _refusal(path, error) from error
    finally:
        for each, known in hidden.items():
            sys.modules.setdefault(each, known)


def _hide(own: Mapping[str, Path], folder: str) -> dict[str, ModuleType]:
    """Let the modules of a folder be imported anew: their content may have changed, or they belonged to another file.

    Returns:
        The loaded modules of the folder that the file's hash does not cover: unloaded, so that their import is noticed.

    Raises:
        ConfigError: if a module from elsewhere has the name of one of them, and would be imported instead.
    """
    loaded = _imported_from({folder}, sys.modules)
    for name, file in own.items():
        if name in sys.modules and name not in loaded | _helpers:
            raise ConfigError(f"rename {file}: another module '{name}' is loaded already")
        sys.modules.pop(name, None)
        _helpers.add(name)
    return {name: sys.modules.pop(name) for name in loaded - own.keys() - {"__main__"}}


def _imported_from(folders: Iterable[str], names: Iterable[str]) -> set[str]:
    """Return the loaded modules, of the given names, that were found in one of the folders."""
    roots: dict[str, str] = {}
    for name in [*names]:
        origin = getattr(getattr(sys.modules[name], "__spec__", None), "origin", None)
        if origin and os.sep in origin and name.partition(".")[0] != "genbench":  # versions cover genbench itself
            depth = name.count(".") + (Path(origin).stem == "__init__")
            roots[name] = os.sep.join(origin.split(os.sep)[: -1 - depth])
    real = {root: os.path.realpath(root) for root in {*roots.values()}}
    wanted = {os.path.realpath(folder) for folder in folders}
    return {name for name, root in roots.items() if real[root] in wanted}


class _Uncached(SourceFileLoader):
    """Compiles a module anew: its compiled file is found by time and size, which another content may share."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


class _Finder(NamedTuple):
    """Finds the modules of a user's folder, {name: file}, before others do."""

    own: Mapping[str, Path]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the place of a module, and how it is loaded; None for others."""
        if (file := self.own.get(name)) is None:
            return None
        places = [str(file.parent)] if file.name == "__init__.py" else None
        loader = _Uncached(name, str(file))
        return importlib.util.spec_from_file_location(name, file, loader=loader, submodule_search_locations=places)


@contextmanager
def _importable(folder: str, own: Mapping[str, Path]) -> Iterator[None]:
    """Let modules of a folder be imported, as Python does for a script; those that are known, from their source."""
    finder = _Finder(own)
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
    found: dict[str, Path] = {}
    waiting = [(path.resolve(), "")]
    while waiting:
        file, package = waiting.pop()
        for name, late in _imports(file, package):
            for part, place in _places(path.resolve().parent, name):
                if late:
                    raise ConfigError(f"{file.name} imports {part} within a function: import it at the top of the file")
                if part not in found:
                    found[part] = place
                    waiting.append((place, part if place.name == "__init__.py" else part.rpartition(".")[0]))
    return found


def _imports(file: Path, package: str) -> Iterator[tuple[str, bool]]:
    """Yield the names that a file imports, and whether it does so within a function; nothing is executed."""
    tree = ast.parse(file.read_bytes(), str(file))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    late = {node for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from ((f"{base}.{alias.name}", node in late) for alias in node.names)


def _places(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Yield name and file of each package above a module, then of the module or package itself, found in a folder."""
    parts = name.split(".")
    in_package = parts[0] == folder.name and (folder / "__init__.py").exists()
    base, found = folder.parent if in_package else folder, ""
    for part in parts if parts[0] != "genbench" else ():
        base, found = base / part, f"{found}.{part}".lstrip(".")
        place = next((file for file in (base / "__init__.py", base.with_name(f"{part}.py")) if file.is_file()), None)
        if place is not None:
            yield found, place
        elif not base.is_dir():
            return
