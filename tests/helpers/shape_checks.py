"""Checks of types and shapes in signatures, as jaxtyping's import hook makes them, at a lower cost.

The hook decorates every function with `jaxtyping.jaxtyped`, which binds the arguments of each call and checks them
twice. Most functions name no array: beartype alone checks those. The others are checked by beartype within one context
of jaxtyping, in which a dimension has the same size wherever it is named.
"""

import dataclasses
import functools
import inspect
import typing

import jaxtyping

_jaxtyped = jaxtyping.jaxtyped


def checked(*, typechecker):
    """Return a decorator of functions and dataclasses."""

    def decorate(what):
        if inspect.isclass(what):
            if dataclasses.is_dataclass(what) and "__init__" in vars(what):
                what.__init__ = decorate(what.__init__)
            return what
        if not inspect.isfunction(what) or inspect.isgeneratorfunction(what):  # beartype would check at the first step
            return _jaxtyped(what, typechecker=typechecker)
        stated = what.__annotations__
        hints = what.__annotations__ = {name: _resolved(hint, what) for name, hint in stated.items()}
        by_type = typechecker(what)
        what.__annotations__ = by_type.__annotations__ = stated
        if not any(map(_names_an_array, hints.values())):
            return by_type

        @functools.wraps(what)
        def in_context(*arguments, **options):
            with _jaxtyped("context"):
                return by_type(*arguments, **options)

        return in_context

    return decorate


def _resolved(hint, function):
    """Return a hint; Any for the name of a class that is not defined yet, or imported for type checkers only."""
    try:
        return eval(hint, function.__globals__) if isinstance(hint, str) else hint
    except (NameError, AttributeError):
        return typing.Any


def _names_an_array(hint):
    array = inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray)
    return array or any(map(_names_an_array, typing.get_args(hint)))


jaxtyping.jaxtyped = checked  # for the modules of genbench, which conftest imports after this one
