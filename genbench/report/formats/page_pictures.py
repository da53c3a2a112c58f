"""Pictures on the page, all inline: flows, which show their last frame without JavaScript, and image samples."""

import base64
import io
from collections.abc import Mapping
from html import escape

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from genbench.report.blocks import Flow, Gallery, Panel
from genbench.report.formats.palette import Style
from genbench.report.formats.svg import key

TRAILS = 60
"""Number of paths drawn; all points move."""


def flow(drawn: Flow, styles: Mapping[str, Style]) -> str:
    """Return a flow: one panel per model beside the data, and a slider if there are trajectories."""
    left, right, bottom, top = drawn.frame
    extent = f"The frame is {left:.3g} to {right:.3g} across and {bottom:.3g} to {top:.3g} up, in raw units."
    panels = [_panel(drawn.data, f"{drawn.name}-data", None)]
    panels += [_panel(panel, f"{drawn.name}-{i}", styles[panel.label]) for i, panel in enumerate(drawn.panels)]
    still = [panel.label for panel in drawn.panels if not panel.moves]
    missing = [f"{', '.join(still)}: no trajectories, only samples (t = 1)."] if still else []
    missing += [f"Not drawn: {line}." for line in drawn.missing]
    control = (
        '<div class="control" hidden=""><button type="button">Play</button>'
        '<input type="range" min="0" max="1" step="0.01" value="1" aria-label="time, from noise at 0 to data at 1"/>'
        "<output>t = 1.00</output></div>"
    )
    caption = escape(" ".join([drawn.caption, extent, *missing]))
    return (
        f'<div class="flow">{control}<div class="flows">{"".join(panels)}</div><p class="caption">{caption}</p></div>'
    )


def _panel(panel: Panel, name: str, style: Style | None) -> str:
    times, _, size = panel.density.shape
    places = panel.paths.astype(int)
    color = f"c{style.color}" if style is not None else "ink"
    last = times - 1
    sprite = f'<image width="{size}" height="{times * (size + 1)}" href="{_sprite(panel.density)}"/>'
    image = (
        f'<mask id="{name}-mask"><svg width="255" height="255" viewBox="0 {last * (size + 1)} {size} {size}" '
        f'preserveAspectRatio="none">{sprite}</svg></mask>'
        f'<rect class="d" width="255" height="255" mask="url(#{name}-mask)"/>'
    )
    trails = "".join(f"M{'L'.join(f'{x} {y}' for x, y in line)}" for line in places[:, :TRAILS].swapaxes(0, 1))
    trails = f'<path class="t" d="{trails}"/>' if panel.moves else ""
    points = "".join(f"M{x} {y}h0" for x, y in places[-1])
    moving = ""
    if panel.moves:
        packed = base64.b64encode(panel.paths.tobytes()).decode()
        moving = f' data-paths="{packed}" data-times="{len(panel.paths)}" data-size="{size}"'
    seed = f", seed {panel.seed}" if style is not None else ""
    label = escape(f"{panel.label}{seed}: points, density{' and paths' if panel.moves else ''} at the end")
    return (
        f'<figure class="panel"><svg class="{color}" viewBox="0 0 255 255" role="img" aria-label="{label}"{moving}>'
        f'{image}{trails}<path class="p" d="{points}"/></svg>'
        f"<figcaption>{key(style) if style else ''}{escape(panel.label)}</figcaption></figure>"
    )


def _sprite(density: UInt8[np.ndarray, "times size size"]) -> str:
    """Return all times as one image, one below the other with an empty line between."""
    spaced = np.pad(density, ((0, 0), (0, 1), (0, 0)))
    image = Image.fromarray((spaced.reshape(-1, density.shape[2]) // 17).astype(np.uint8), mode="P")
    image.putpalette([level * 17 for level in range(16) for _ in range(3)])
    return _inline(image, bits=4)


def gallery(drawn: Gallery, styles: Mapping[str, Style]) -> str:
    """Return grids of image samples."""
    sheets = []
    for label, pixels in drawn.grids:
        height, width = pixels.shape[0] * drawn.zoom, pixels.shape[1] * drawn.zoom
        size = f'width="{width}" height="{height}"'
        image = f'<img src="{_inline(Image.fromarray(pixels))}" {size} alt="samples: {escape(label)}"/>'
        legend_key = key(styles[label]) if label in styles else ""
        sheets.append(f'<figure class="sheet">{image}<figcaption>{legend_key}{escape(label)}</figcaption></figure>')
    missing = [f"Not shown: {line}." for line in drawn.missing]
    caption = escape(" ".join([drawn.caption, *missing]))
    return f'<div class="sheets">{"".join(sheets)}</div><p class="caption">{caption}</p>'


def _inline(image: Image.Image, **options: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True, **options)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
