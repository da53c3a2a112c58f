"""Pictures of components: points in the plane, images of digits, pairs of couplings."""

import io
from collections.abc import Callable

import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from genbench.models.build import build_model
from genbench.models.flow_matching.couplings.base import Coupled
from genbench.registry import datasets
from genbench.runs.make_spec import make_spec
from genbench.runs.spec import build_data
from genbench.settings import settings_of

GRAY = "#808080"
"""Color of axes and noise, readable on a light and on a dark page."""

PAIRS = "One batch of 64 pairs on 8gaussians: gray is noise, blue is data, darker lines weigh more."
CAPTIONS = {
    "datasets": "Test samples, colored by label; gray crosses are the source where it is not N(0, I).",
    "couplings": PAIRS,
    "models": PAIRS,
}
MODELS = {"independent": "cfm", "ot": "otcfm", "gibbs": "wcfm", "balanced": "wcfm-balanced"}
"""A flow-matching model on the pairs of each coupling."""
PAIRED = (*MODELS.values(), "fm", "sbcfm")
DOWNLOADED = ("mnist", "cifar10")


def draw(kind: str, name: str) -> bytes | None:
    """Return a PNG on a transparent background; None where there is nothing to see without a download."""
    if kind == "models" and name in PAIRED:
        return png(lambda figure: _pairs(figure, name))
    if kind == "couplings" and name in MODELS:
        return png(lambda figure: _pairs(figure, MODELS[name]))
    if kind == "datasets" and name.startswith("digits"):
        return png(lambda figure: _images(figure, name))
    if kind != "datasets" or name in DOWNLOADED:
        return None
    needed = any(setting.required for setting in settings_of(datasets[name].build).values())
    if needed or datasets[name].build().event.shape != (2,):
        return None
    return png(lambda figure: _points(figure, name))


def _points(figure: Figure, name: str) -> None:
    data = datasets[name].build()
    batch = data.test.take(2000, 0)
    axes = _axes(figure)
    if name.partition("-")[2]:
        x0 = data.source.sample(500, torch.Generator().manual_seed(0))
        axes.plot(x0[:, 0], x0[:, 1], "x", color=GRAY, markersize=2.5, markeredgewidth=0.6)
    axes.scatter(batch.x[:, 0], batch.x[:, 1], s=2, c=batch.label, cmap="tab10", linewidths=0)


def _images(figure: Figure, name: str) -> None:
    images = datasets[name].build().test.raw(25, 0)
    assert images is not None
    for place, image in enumerate(images[torch.arange(25)], 1):
        axes = figure.add_subplot(5, 5, place)
        axes.imshow(image.reshape(8, 8), cmap="gray")
        axes.set_axis_off()


def _pairs(figure: Figure, name: str) -> None:
    spec = make_spec(name, "8gaussians")
    data = build_data(spec.data)
    model = build_model(spec.model, None, data)
    assert isinstance(model, Coupled)
    model.prepare(data, 0)
    generator = torch.Generator().manual_seed(0)
    x1 = data.train.batch(0, 64, 0).x
    pairs = model.coupling(data.source.sample(64, generator), x1, None, generator)
    x0, x1, weight = pairs.x0, x1 if pairs.x1 is None else pairs.x1, pairs.weight
    axes = _axes(figure)
    shade = (0.45 * weight / weight.quantile(0.9)).clamp(0.0, 0.9)
    colors = [(0.25, 0.4, 0.9, float(alpha)) for alpha in shade]
    axes.add_collection(LineCollection(torch.stack([x0, x1], 1).numpy(), colors=colors, linewidths=0.9))
    axes.scatter(x0[:, 0], x0[:, 1], s=9, color=GRAY, zorder=3)
    axes.scatter(x1[:, 0], x1[:, 1], s=9, color="#3f66e6", zorder=3)


def _axes(figure: Figure) -> Axes:
    axes = figure.add_subplot()
    axes.set_aspect("equal")
    axes.patch.set_alpha(0)
    axes.tick_params(colors=GRAY, labelsize=7)
    for spine in axes.spines.values():
        spine.set_color(GRAY)
    return axes


def png(paint: Callable[[Figure], None], inches: tuple[float, float] = (3, 3)) -> bytes:
    """Return what is painted on a figure as a PNG on a transparent background."""
    figure = Figure(figsize=inches, layout="constrained")
    figure.patch.set_alpha(0)
    paint(figure)
    file = io.BytesIO()
    figure.savefig(file, dpi=160)
    return file.getvalue()
