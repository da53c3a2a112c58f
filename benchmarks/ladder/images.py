"""Images on the page: samples of each method at each budget, and differences between methods with two networks."""

import os
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.ladder.orders import Rung
from benchmarks.tables import markdown
from genbench.analysis import claims
from genbench.analysis.labels import distinct
from genbench.analysis.means import format_mean, half_width
from genbench.analysis.significance import compare_all, paired
from genbench.report.claims_table import seeds_text
from genbench.runs.record_types import Record
from genbench.runs.spec import Spec
from genbench.space import Pixels
from genbench.storage import arrays, files

PICTURES = "pictures"
"""Folder of the strips beside the records of a track."""
ROWS, SHOWN = 2, 16
"""Rows of a strip, and its number of samples: weights are not kept, so no more can be shown later."""
DIFFERENCE = 0.03
"""Relative difference whose cost in pixels is stated."""
LENGTH = 35
"""Characters of the name of a method."""
SIDE = 24
"""Pixels that a side of a sample has at least; smaller samples are enlarged."""
GAP = 2
"""Pixels between samples."""
SAMPLES = """\
The first 16 samples of one seed. Within a track, all methods and budgets start from the same noise.
Where a picture is missing, the method was not trained for so many steps, or its run failed or has not ended.
"""
NETWORKS = """\
Differences of FD between two methods, once both with a DiT and once both with a U-Net of about the same size, each
± 95 % CI half-width over seeds, not corrected. *same sign*: decided only if both differences are separated (paired t
tests, Holm over the pairs of this table, for each network). Three seeds separate few pairs: *undecided* does not mean
that the networks disagree.
"""


def save_strip(evaluation: Path, path: Path, spec: Spec) -> None:
    """Save the first samples of an evaluation of a cell in rows, once; do nothing unless they are images."""
    source = evaluation / "samples.npz"
    if path.exists() or not source.exists():  # samples that are not finite are not saved
        return
    samples = arrays.load(source, "samples")[:SHOWN]
    if samples.ndim != 4 or samples.shape[1] not in (1, 3) or samples.dtype != np.uint8:
        return
    levels = round(2 / spec.event.bin)  # builds the data, so that it comes last
    shades = Pixels(levels).gray(samples).transpose(0, 2, 3, 1)
    scale = -(-SIDE // shades.shape[2])
    padding = ((0, 0), (0, GAP), (0, GAP), (0, 0))
    tiles = np.pad(shades.repeat(scale, axis=1).repeat(scale, axis=2), padding, constant_values=255)
    whole = np.concatenate([np.concatenate([*row], axis=1) for row in np.array_split(tiles, ROWS)])[:-GAP, :-GAP]
    strip = Image.fromarray(whole[..., 0] if whole.shape[-1] == 1 else whole)
    files.replace(path, lambda temporary: strip.save(temporary, format="PNG", optimize=True))


def strip_path(folder: Path, run: str) -> Path:
    """Return where the strip of a run of a track lies."""
    return folder / PICTURES / f"{run}.png"


def sample_table(folder: Path, records: Sequence[Record]) -> str:
    """Return the table of strips, rows by method and columns by budget, under a line with the seed.

    The text is empty without strips.
    """
    strips: dict[str, dict[int, Path]] = {}
    seeds: set[int] = set()
    for record in records:
        if (path := strip_path(folder, record["labels"]["run"])).exists():
            seeds.add(record["spec"]["seed"])
            for row in dict.fromkeys(place["row"] for place in record.get("track", ())):
                strips.setdefault(row, {})[record["spec"]["plan"]["steps"]] = path
    budgets = sorted({steps for own in strips.values() for steps in own})
    names = names_of(strips)
    words = {steps: f"{steps:,} steps" if steps else "without training" for steps in budgets}
    rows = [
        (
            names[row],
            *(image(folder, own[steps], f"{names[row]}, {words[steps]}") if steps in own else "" for steps in budgets),
        )
        for row, own in strips.items()
    ]
    heading = f"{folder.name}, seed {' and '.join(map(str, sorted(seeds)))}:\n\n"
    return heading + markdown(("method", *words.values()), rows) if rows else ""


def image(folder: Path, path: Path, about: str) -> str:
    """Return a strip in Markdown, for a page beside the folder; GitHub does not follow links of folders."""
    return f"![Samples: {about}]({Path(os.path.relpath(path.resolve(), folder.parent.resolve())).as_posix()})"


def network_table(rung: Rung) -> str:
    """Return the table of the differences between methods with two networks; empty if no two methods share seeds.

    A difference that is not separated has no sign.
    """
    families: dict[str, dict[str, Mapping[int, float]]] = {}
    for row, own in rung.main.items():
        families.setdefault(without_network(row), {})[network_of(row)] = own
    twice = {method: own for method, own in families.items() if len(own) == 2}
    networks = sorted({network for own in twice.values() for network in own})
    tests = [compare_all({method: own[network] for method, own in twice.items()}, "lower") for network in networks]
    names, rows = distinct(twice, LENGTH), []
    for one, other in combinations(twice, 2):
        pairs = [(twice[one][network], twice[other][network]) for network in networks]
        if not all(len(first.keys() & second.keys()) > 1 for first, second in pairs):  # one seed has no interval
            continue
        found = [paired(*pair) for pair in pairs]
        cells = [format_mean(each.mean, half_width(each.error, each.pairs)) for each in found]
        signs = {each.beats(one, other) if each.apart(one, other) else None for each in tests}
        same = "undecided" if None in signs else "yes" if len(signs) == 1 else "no"
        rows.append((f"{names[one]} - {names[other]}", *cells, same))
    return markdown(("difference", *networks, "same sign"), rows) if rows else ""


def on_a_gpu() -> str:
    """Return what the same question costs on CIFAR-10 in pixels."""
    known = claims.read()
    (found,) = claims.options(DIFFERENCE, known.spreads["fid"], [50_000], {"cifar10": known.costs["cifar10"]})
    low, high = found.hours["cifar10"]
    return (
        "The same question in pixels needs an order of methods at each budget. There, detecting a difference of "
        f"{100 * DIFFERENCE:g} % in FID between two methods takes "
        f"{seeds_text(found.seeds)} seeds of each method with 50,000 samples. The {2 * found.seeds[0]} trainings of "
        "the two methods keep "
        f"{known.costs['cifar10'].device} busy for {low:.0f} to {high:.0f} hours, estimated and not "
        "measured (`genbench plan --difference 3% --metric fid`)."
    )


def names_of(rows: Mapping[str, object]) -> dict[str, str]:
    """Return short names of rows, with the network where a method has several.

    >>> names = names_of(dict.fromkeys(["cfm net=dit(width=8) tol=1", "cfm net=unet tol=1", "wcfm net=unet tol=1"]))
    >>> [*names.values()]
    ['cfm, dit', 'cfm, unet', 'wcfm']
    """
    bare = [without_network(row) for row in rows]
    short = distinct(bare, LENGTH)
    return {
        row: f"{short[own]}, {network_of(row)}" if bare.count(own) > 1 else short[own]
        for row, own in zip(rows, bare, strict=True)
    }


def without_network(row: str) -> str:
    """Return a row without the setting of its network."""
    return " ".join(word for word in row.split() if not word.startswith("net="))


def network_of(row: str) -> str:
    """Return the name of the network of a row, without its settings; an empty text for the default one."""
    return next((word[4:].partition("(")[0] for word in row.split() if word.startswith("net=")), "")
