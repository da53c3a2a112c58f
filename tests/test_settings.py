"""Settings: strict types, defaults that depend on the data, nested components, and one line for what is wrong."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

import pytest

from genbench.errors import ConfigError
from genbench.registry import Registry
from genbench.settings import (
    ByEvent,
    Count,
    Fraction,
    Nested,
    OnDisk,
    Positive,
    bind,
    build_component,
    call,
    merge,
    settings_of,
    typed,
)

shapes = Registry("shape", "tests.shapes")


@shapes.register("square", version=3)
def square(event, *, side: Positive = 1.0):
    return ("square", event, side)


@shapes.register("disc", version=1)
def disc(event, *, radius: Annotated[float, "from the center"] = 0.5):
    return ("disc", event, radius)


Shape = Annotated[str | dict | None, Nested(shapes, default=lambda event: "disc" if event == "round" else "square")]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Settings of several builders.

    Args:
        share: of the whole.
    """

    share: Fraction = 0.5


def builder(
    *,
    count: Count = 3,
    size: Positive = 1.0,
    pair: tuple[float, float] = (0.0, 1.0),
    kind: Literal["a", "b"] = "a",
    width: Annotated[int | None, ByEvent(len)] = None,
    shape: Shape = None,
    shared: Shared = Shared(share=0.2),
):
    return {"count": count, "size": size, "pair": pair, "kind": kind, "shared": shared, "shape": shape}


def test_defaults_are_filled_in_as_plain_json():
    assert bind(builder, {}, "it", context="round") == {
        "count": 3,
        "size": 1.0,
        "pair": [0.0, 1.0],
        "kind": "a",
        "width": 5,
        "shape": {"name": "disc", "version": 1, "radius": 0.5},
        "share": 0.2,
    }
    unknown = bind(builder, {"size": 2, "width": 1}, "it")  # the event is not known
    assert (unknown["shape"], unknown["width"], unknown["size"]) == (None, 1, 2.0)
    assert isinstance(unknown["size"], float)


ROUND: list[object] = []
ROUND.append(ROUND)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, r"it\.count: 0 is wrong: input should be greater than or equal to 1"),
        ({"count": 1.5}, r"it\.count: 1\.5 is wrong"),
        ({"count": True}, r"it\.count: True is wrong"),
        ({"size": "2"}, r"it\.size: '2' is wrong: input should be a valid number"),
        ({"size": float("nan")}, r"it\.size: NaN is wrong"),
        ({"pair": [1.0]}, r"it\.pair: \[1\.0\] is wrong"),
        ({"kind": "c"}, r"it\.kind: 'c' is wrong: input should be 'a' or 'b'"),
        ({"share": 1.1}, r"it\.share: 1\.1 is wrong"),
        ({"cuont": 1}, "it has no setting 'cuont'; did you mean 'count'"),
        ({"size": date(2026, 1, 2)}, r"it\.size: datetime\.date\(2026, 1, 2\) is wrong: .*dates need quotes"),
        ({"pair": ROUND}, r"it\.pair: .* is not plain JSON: Circular reference"),
        ({"shape": "sqare"}, "no shape 'sqare'; did you mean 'square'"),
        ({"shape": {"name": "square", "radius": 1}}, r"it\.shape \(square\) has no setting 'radius'"),
        ({"shape": {"name": "square", "version": 2}}, "for version 2 of square, which now has version 3"),
        ({"shape": {"name": 5}}, "5 is not a shape; give a name"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_setting(settings, message):
    with pytest.raises(ConfigError, match=message) as refused:
        bind(builder, settings, "it", context="square")
    assert "\n" not in str(refused.value)


def test_settings_without_a_name_are_of_the_default_component():
    bound = bind(builder, {"shape": {"radius": 2}}, "it", context="round")
    assert bound["shape"] == {"name": "disc", "version": 1, "radius": 2.0}
    with pytest.raises(ConfigError, match="the default shape depends on the data; name one of disc, square"):
        bind(builder, {"shape": {"radius": 2}}, "it")
    only = Nested(shapes, allowed=("square",))
    assert only.resolve(None, "it") == {"name": "square", "version": 3, "side": 1.0}
    with pytest.raises(ConfigError, match="disc is not square; nothing else is allowed here"):
        only.resolve("disc", "it")
    assert Nested(shapes, optional=True).resolve(None, "it") is None


def test_bound_settings_become_the_types_of_the_signature():
    bound = bind(builder, {"pair": [2, 3], "share": 1}, "it", context="square")
    made = typed(builder, bound)
    assert (made["pair"], made["shared"]) == ((2.0, 3.0), Shared(share=1.0))
    assert build_component(shapes, bound["shape"], "event") == ("square", "event", 1.0)
    assert call(square, "event", settings={"side": 4}) == ("square", "event", 4.0)
    assert settings_of(builder)["share"].meaning == "of the whole."
    assert settings_of(disc)["radius"].meaning == "from the center"

    def needs(*, path: Annotated[str, OnDisk()]): ...

    with pytest.raises(ConfigError, match="it needs the setting 'path'"):
        bind(needs, {}, "it")

    def untyped(*, n=64): ...

    with pytest.raises(ConfigError, match=r"^it: write a type for n into its signature, as n: int = 64$"):
        bind(untyped, {}, "it")


@pytest.mark.parametrize(
    ("earlier", "later", "merged"),
    [
        ("ddpmpp", {"channels": 64}, {"name": "ddpmpp", "channels": 64}),
        ("ddpmpp", {"name": "unet", "channels": 64}, {"name": "unet", "channels": 64}),
        ({"channels": 64}, {"name": "unet"}, {"name": "unet", "channels": 64}),
        ({"name": "dit", "a": 1}, {"name": "dit", "b": 2}, {"name": "dit", "a": 1, "b": 2}),
        ({"name": "ddpmpp", "channels": 64}, {"name": "unet"}, {"name": "unet"}),
        ({"name": "ddpmpp", "channels": 64}, "unet", "unet"),
    ],
)
def test_settings_stay_with_the_name_that_they_were_given_for(earlier, later, merged):
    assert merge({"net": earlier}, {"net": later}) == {"net": merged}
