"""Components in specs: what enters their identity and their label, and versions that are no longer installed."""

from typing import Annotated

import pytest

from genbench.core import Event, Model
from genbench.errors import ConfigError
from genbench.registry import Entry, Registry, models
from genbench.runs.component import component, differing, identity, label, model_class, sampler, with_content
from genbench.runs.record_types import same_component
from genbench.runs.versions import differences
from genbench.settings import Nested, OnDisk, settings_of

shapes = Registry("shape", "tests.shapes")
holes = Registry("hole", "tests.holes")
boxes = Registry("box", "tests.boxes")


@shapes.register("disc", version=2)
def disc(*, radius: float = 0.5, edge: str = "sharp"): ...


@holes.register("slit", version=1)
def slit(*, width: float = 0.1): ...


@shapes.register("ring", version=1)
def ring(*, radius: float = 0.5, hole: Annotated[str | dict | None, Nested(holes, allowed=("slit",))] = None): ...


@boxes.register("box", version=5)
def box(
    *, owner: str, size: int = 3, shape: Annotated[str | dict | None, Nested(shapes, lambda event: "disc")] = None
): ...


def made(**settings):
    return component(boxes, "box", {"owner": "me", **settings}, Event((2,)))


def test_defaults_do_not_enter_the_identity_however_they_are_given():
    plain = identity(boxes, made())
    assert plain == {"name": "box", "version": 5, "owner": "me", "shape": {"name": "disc", "version": 2}}
    assert identity(boxes, made(size=3, shape={"name": "disc", "radius": 0.5})) == plain
    other = identity(boxes, made(size=4, shape={"radius": 2}))
    assert other == plain | {"size": 4, "shape": {"name": "disc", "version": 2, "radius": 2.0}}


def test_files_enter_the_identity_by_their_content_wherever_they_are_and_however_deep(tmp_path):
    known, outer = Registry("file", "tests.files"), Registry("reader", "tests.readers")

    @known.register("file", version=1)
    def file(*, path: Annotated[str, OnDisk(or_name=True)] = "a-name"): ...

    @outer.register("reader", version=1)
    def reader(*, source: Annotated[dict | str | None, Nested(known, lambda event: "file")] = None): ...

    def keyed(path):
        return identity(outer, component(outer, "reader", {"source": {"path": str(path)}}, Event((2,))))

    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1")
    other.write_text("1")

    def part(path):
        return with_content(known, component(known, "file", {"path": str(path)}))

    first, a, b = keyed(one), part(one), part(other)
    assert first == keyed(other)
    assert same_component(a, b)
    other.write_text("2")
    assert first != keyed(other) != keyed("another-name")
    assert keyed("a-name")["source"] == {"name": "file", "version": 1}
    assert not same_component(a, part(other))
    assert not same_component(None, a)


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ("disc", "box"),
        ({"name": "disc", "radius": 0.5}, "box"),
        ("ring", "box shape=ring"),
        ({"name": "ring", "radius": 2, "hole": {"width": 1}}, "box shape=ring(radius=2.0,hole=slit(width=1.0))"),
    ],
)
def test_a_label_shows_what_differs_from_the_defaults_also_of_a_nested_component(shape, shown):
    event = Event((2,))
    assert label(boxes, made(shape=shape), context=event) == shown
    assert len(shown.split()) <= 2  # a setting is one word
    full = label(boxes, made(size=4, shape={"edge": "soft"}), {"solver": "heun"}, event)
    assert full == "box size=4 shape=disc(edge=soft) solver=heun"
    assert label(boxes, made(size=4), context=event, hidden=["size"]) == "box"
    assert differing(box, {"owner": "me"}) == {"owner": "me"}


def test_other_versions_are_named_where_they_are_nested():
    old = made() | {"version": 4, "shape": {"name": "disc", "version": 1}}
    assert list(differences(boxes, old)) == ["made with version 4 of box 'box', which is now 5"]
    kept = {"name": "cfm", "version": 1, "net": {"name": "mlp", "version": 77}}
    (found,) = [text for text in differences(models, kept) if "net" in text]
    assert found.startswith("made with version 77 of net 'mlp', which is now")
    assert list(differences(boxes, {"name": "crate", "version": 1})) == []  # not installed here: it cannot be judged


def test_the_sampling_options_of_a_model_are_those_of_its_class():
    options = settings_of(sampler(models["cfm"]))
    assert {"method", "steps", "guidance"} <= options.keys()
    assert "label" not in options
    assert all(setting.meaning for setting in options.values())

    def untyped(event, source): ...

    with pytest.raises(ConfigError, match="model 'untyped': annotate its builder with the Model class"):
        model_class(Entry("untyped", untyped, 1, {}))
    assert issubclass(model_class(models["starflow"]), Model)
