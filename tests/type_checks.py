"""The check of types and shapes in signatures, which pytest applies to the packages that pyproject.toml names.

In each test, a function is checked in its first calls with arguments of these shapes: checks of all calls would take a
third of the suite's time.
"""

import functools
import inspect

import jaxtyping
import torch
from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeError))
CALLS = 5
_jaxtyped = jaxtyping.jaxtyped
_counts: dict[tuple, int] = {}
"""Code of functions with shapes of their arguments, and how often it ran in this test. A function may hold a model."""


def forget_calls():
    """Check the first calls again."""
    _counts.clear()


def first_calls_checked(what=None, *, typechecker):
    """Stand in for `jaxtyping.jaxtyped` in the modules that are imported from now on."""
    if what is None:
        return functools.partial(first_calls_checked, typechecker=typechecker)
    always = functools.cache(functools.partial(_jaxtyped, what, typechecker=typechecker))  # which takes milliseconds
    if not inspect.isfunction(what):
        return always()

    @functools.wraps(what)
    def function(*arguments, **options):
        call = (what.__code__, *(each.shape for each in arguments if isinstance(each, torch.Tensor)))
        count = _counts[call] = _counts.get(call, 0) + 1
        return (always() if count <= CALLS else what)(*arguments, **options)

    return function


jaxtyping.jaxtyped = first_calls_checked
