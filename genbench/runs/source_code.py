"""Source code: the hash of a component's module and of the modules of genbench that it imports."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path


@lru_cache
def digest(module: str) -> str | None:
    """Return the hash of a module's source and of all modules of genbench that it imports, directly or not.

    None without a source file, as in a notebook. Comments and docstrings do not count.
    """
    sources: dict[str, str] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        if name not in sources and (read := _read(name)) is not None:
            sources[name], imported = read
            pending += imported
    if module not in sources:
        return None
    text = "\n".join(f"{name} {sources[name]}" for name in sorted(sources))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def _read(module: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the hash of one module, and the modules of genbench that it may import."""
    path = _file(module)
    if path is None:
        return None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = tuple(name for name in _imported(tree) if name.partition(".")[0] == "genbench")
    return hashlib.sha256(ast.dump(_without_docstrings(tree)).encode()).hexdigest(), imported


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from package import name` may name a module; other names have no file and are ignored.
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree


def _file(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None
