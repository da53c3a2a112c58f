"""The palette: colors can be distinguished with common color vision deficiencies, and from the background."""

import itertools

import numpy as np
import pytest

from genbench.report.formats import palette

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
BLIND = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colors):
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colors])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def oklab(rgb):
    """Ottosson (2020)."""
    cones = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566]]
    cones = np.cbrt(np.clip(rgb, 0, 1) @ np.array([*cones, [0.0883024619, 0.2817188376, 0.6299787005]]).T)
    return cones @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.793617785, -2.428592205, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.808675766],
        ]
    )


@pytest.mark.parametrize(("colors", "paper"), [(palette.LIGHT, "#fcfcfa"), (palette.DARK, "#141619")])
def test_colors_can_be_distinguished_with_every_color_vision_deficiency(colors, paper):
    # .07 is what the six of Okabe and Ito keep apart.
    for seen in BLIND.values():
        places = oklab(linear(colors) @ np.array(seen).T)
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(places, 2)) > 0.07
    luminance = linear([*colors, paper]) @ np.array([0.2126, 0.7152, 0.0722]) + 0.05
    ratio = luminance[:-1] / luminance[-1]
    assert np.maximum(ratio, 1 / ratio).min() >= 3
