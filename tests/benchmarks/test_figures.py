"""The README's picture: one noise for all methods, pixels in their places, settings of the tracks."""

from xml.etree import ElementTree

import numpy as np
import torch

from benchmarks import figures
from benchmarks.figures import COLUMNS, DRAWN, IMAGES, POINTS, ROOT, SETTINGS, Panel, draw, follow, sampled
from genbench import seeds
from genbench.metrics.sampling import noise
from genbench.models.build import build_model
from genbench.report.formats.figures import INK, PAPER
from genbench.results.reader import RECORDS
from genbench.runs.make_spec import make_spec
from genbench.runs.record import read_published
from genbench.runs.store import labels_of

SVG = ROOT / "docs" / "images" / "trajectories.svg"


def spec(name, dataset, seed=0):
    return make_spec(name, dataset, seed=seed, metrics=[], settings=SETTINGS[dataset])


def random_weights(name, dataset):
    """Return a model that is not trained, as its task: each method has other weights."""
    asked = spec(name, dataset)
    model, generator = build_model(asked.model, None, asked.build_data()), seeds.generator(0, name)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.1)
    return model.eval(), asked.build_data()


def test_all_methods_start_from_the_same_noise(monkeypatch):
    monkeypatch.setattr(figures, "BUDGETS", (1,))
    used = []
    monkeypatch.setattr(figures, "noise", lambda *arguments: used.append(noise(*arguments)) or used[-1])
    images = [sampled(*random_weights(name, IMAGES)) for name in DRAWN.values()]
    starts = [follow(*random_weights(name, POINTS))[0][0] for name in DRAWN.values()]
    for x0, image, start in zip(used[1:4], images[1:], starts[1:], strict=True):
        torch.testing.assert_close(x0, used[0], rtol=0, atol=0)
        np.testing.assert_array_equal(start, starts[0])
        assert not np.array_equal(image, images[0])  # and each makes something else of it
    assert len(used[0].unique(dim=0)) == COLUMNS


def test_a_column_follows_its_noise_alone(monkeypatch):
    monkeypatch.setattr(figures, "BUDGETS", (1, 2))
    model, data = random_weights("cfm", IMAGES)
    every = sampled(model, data)
    monkeypatch.setattr(figures, "noise", lambda source, n, seed: noise(source, n, seed)[2:3])
    np.testing.assert_allclose(sampled(model, data)[:, 0], every[:, 2], atol=1 / 16)


def default_records(track):
    """Return the published records of a track with default settings."""
    records = read_published(ROOT / "results" / track / RECORDS)
    return [own for own in records if any("default" in place["tables"] for place in own["track"])]


def test_the_settings_are_the_default_ones_of_the_tracks():
    """Another setting would give other keys, and so pictures of models that nobody has measured."""
    published = {record["labels"]["run"] for record in default_records("digits-v1")}
    assert {labels_of(spec(name, IMAGES))["run"] for name in DRAWN.values()} <= published
    published = [record["spec"] for record in default_records("plane-v1")]
    # This track trains all seeds at once, so its keys differ; its records lack newer settings.
    for name in DRAWN.values():
        own = spec(name, POINTS).json()
        assert any(
            all(own[part].get(key) == value for part in ("data", "model", "plan") for key, value in other[part].items())
            for other in published
        )


def test_each_pixel_has_the_ink_of_its_value():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_rgb

    rng = np.random.default_rng(0)
    images = rng.integers(0, 17, (2, 2, COLUMNS, 8, 8)) / 16
    paths = rng.normal(size=(3, 10, 2))
    figure = draw({str(n): Panel(paths, 1, part) for n, part in enumerate(images)}, rng.normal(size=(100, 2)))
    figure.set_dpi(200)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    seen = np.asarray(canvas.buffer_rgba())[::-1, :, :3] / 255
    ink, paper = np.array(to_rgb(INK)), np.array(to_rgb(PAPER))
    for axes, part in zip(figure.axes[1::2], images, strict=True):
        places = [(10 * column + x + 0.5, 10 * row + y + 0.5) for row, column, y, x in np.ndindex(part.shape)]
        left, up = axes.transData.transform(places).astype(int).T
        np.testing.assert_allclose(seen[up, left], paper + part.reshape(-1, 1) * (ink - paper), atol=0.02)


def test_the_picture_shows_in_a_readme():
    text = SVG.read_text("utf-8")
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(text).iter()}
    assert "image" not in tags  # Firefox does not load it there
    assert "var(" not in text  # librsvg does not know CSS variables
    assert len(text) < 300_000
