"""Drawing: labeled tiles of points, histograms and images, as pixels, for pictures of samples.

One file serves light and dark pages: its background is transparent and its colors are medium tones.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache, reduce

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

INK, COLOR = (119, 125, 135), (52, 125, 214)
"""Colors of text and data, and of models: legible on white and on black."""
SCALE, LABEL, GAP = 2, 30, 8
"""Pixels of the file per pixel of a page; pixels of a line of text, and between tiles."""
WIDE = 2500
"""Most pixels of a row of sheets."""
FEW = 500
"""Number of points up to which they are drawn larger."""

Sheet = UInt8[np.ndarray, "down across *color"]
Opacity = UInt8[np.ndarray, "height width"]
Frame = Float[np.ndarray, "4"]
"""Left, right, bottom and top of a tile, in raw units."""


def square(around: Sequence[Float[np.ndarray, "_ 2"]], margin: float = 1.2) -> Frame:
    """Return the frame of a square tile that shows these points."""
    both = np.concatenate(around)
    center, half = (both.min(0) + both.max(0)) / 2, np.ptp(both, axis=0).max() / 2 * margin or 1.0
    return np.array([center[0] - half, center[0] + half, center[1] - half, center[1] + half])


def bulk(x: Float[np.ndarray, "n d"], share: float = 0.002) -> Float[np.ndarray, "2 d"]:
    """Return the corners of a box that leaves out a share of each coordinate, half of it at each end."""
    return np.quantile(x, (share / 2, 1 - share / 2), axis=0)


def scatter(x: Float[np.ndarray, "n 2"], frame: Frame, size: int) -> Opacity:
    """Draw points as soft dots, larger ones where there are few; those outside the frame are left out."""
    left, right, bottom, top = frame
    counts, _, _ = np.histogram2d(-x[:, 1], x[:, 0], size, [[-top, -bottom], [left, right]])
    radius = 1.1 if len(x) > FEW else 1.8
    covered = 1 - np.exp(-7 * radius**2 * blurred(counts, radius))
    return np.rint(255 * covered).astype(np.uint8)


def blurred(image: Float[np.ndarray, "height width"], deviation: float) -> Float[np.ndarray, "height width"]:
    """Return an image after a Gaussian blur, as if dark outside; importing scipy.ndimage would take half a second."""
    reach = math.ceil(4 * deviation)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    kernel /= kernel.sum()
    for _ in range(2):  # down, then across
        padded = np.pad(image, ((reach, reach), (0, 0)))
        image = reduce(np.add, (weight * padded[k : k + len(image)] for k, weight in enumerate(kernel))).T
    return image


def lines(path: Float[np.ndarray, "times n 2"], frame: Frame, size: int) -> Opacity:
    """Draw the path of each point."""
    left, right, bottom, top = frame
    scaled = (path - [left, top]) / [right - left, bottom - top] * 2 * size
    drawn = Image.new("L", (2 * size, 2 * size))
    pen = ImageDraw.Draw(drawn)
    for way in scaled.transpose(1, 0, 2):
        pen.line([tuple(point) for point in way], fill=190, width=3)
    return np.asarray(drawn.resize((size, size), Image.Resampling.BOX))


def histogram(x: Float[np.ndarray, " n"], ends: tuple[float, float], width: int) -> Float[np.ndarray, " w"]:
    """Return the height of a histogram's bars at each pixel from the left, as a density per width of the tile."""
    bins = min(48, max(10, int(3 * len(x) ** (1 / 3))))
    counts, _ = np.histogram(x, bins, ends)
    return (counts / len(x) * bins)[np.arange(width) * bins // width]


def tiled(images: UInt8[np.ndarray, "n channels height width"]) -> Sheet:
    """Tile images in rows at most 340 pixels wide, separated by one gray pixel."""
    n, channels, height, width = images.shape
    across = max(2, min(10, 340 // (width + 1)))
    sheet = np.full((-(-n // across) * (height + 1) - 1, across * (width + 1) - 1, channels), 127, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = index // across * (height + 1), index % across * (width + 1)
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return sheet[..., 0] if channels == 1 else sheet


def gallery(sheets: Mapping[str, Sheet], height: int) -> Image.Image:
    """Draw sheets of images with their labels, real data first; `height` is the height of one image in pixels."""
    zoom = max(2, 32 * SCALE // (height + 1))
    tall, wide = (side * zoom for side in next(iter(sheets.values())).shape[:2])
    across = max(1, min(len(sheets), WIDE // (wide + 2 * GAP)))
    color = any(sheet.ndim == 3 for sheet in sheets.values())
    size = across * (wide + 2 * GAP), -(-len(sheets) // across) * (tall + LABEL + GAP)
    drawn, ink = Image.new("RGBA" if color else "LA", size), (*INK, 255) if color else (INK[1], 255)
    for index, (title, sheet) in enumerate(sheets.items()):
        x, y = index % across * (wide + 2 * GAP), index // across * (tall + LABEL + GAP)
        drawn.paste(ink, (x, y), Image.fromarray(label(title, wide)))
        # Sixteen levels of gray halve the size of a file.
        shown = Image.fromarray(sheet if color else np.rint(sheet / 17).astype(np.uint8) * np.uint8(17))
        shown = shown.resize((sheet.shape[1] * zoom, sheet.shape[0] * zoom), Image.Resampling.NEAREST)
        drawn.paste(shown.convert(drawn.mode), (x, y + LABEL))
    return drawn


def label(text: str, width: int) -> Opacity:
    """Return a text on one line as opacities, cut to the width."""
    text, image = "".join(filter(str.isprintable, text)), Image.new("L", (width, LABEL))
    while text and _font().getlength(text) > width:
        text = f"{text[:-2]}…" if len(text) > 1 else ""
    ImageDraw.Draw(image).text((0, LABEL // 2), text, fill=255, font=_font(), anchor="lm")
    return np.asarray(image)


@lru_cache
def _font() -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", 21)
