"""Images on the page: strips of samples, and methods with two networks."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.command_line import genbench
from helpers.published import RESULTS
from PIL import Image

from benchmarks.ladder.images import (
    GAP,
    PICTURES,
    ROWS,
    SHOWN,
    SIDE,
    network_table,
    on_a_gpu,
    sample_table,
    save_strip,
    strip_path,
)
from benchmarks.ladder.orders import Rung
from benchmarks.ladder.page import TRACKS
from genbench.results.reader import RECORDS
from genbench.runs.record import read_published


def cell(levels):
    return SimpleNamespace(event=SimpleNamespace(bin=2 / levels))


def record(method, steps):
    labels = {"run": f"{method}-{steps}", "evaluation": "e"}
    spec = {"plan": {"steps": steps}, "seed": 3}
    return {"labels": labels, "spec": spec, "track": [{"row": f"{method} net=dit(width=8)"}]}


def saved(root, one, samples, levels=256):
    place = root / "runs" / one["labels"]["run"] / "e"
    place.mkdir(parents=True)
    np.savez(place / "samples.npz", samples=samples)
    save_strip(place, strip_path(root / "track", one["labels"]["run"]), cell(levels))


def test_a_strip_holds_the_first_samples_row_by_row(tmp_path):
    samples = np.random.default_rng(0).integers(0, 256, (20, 3, 28, 30), dtype=np.uint8)
    saved(tmp_path, record("cfm", 5), samples)
    strip = np.asarray(Image.open(strip_path(tmp_path / "track", "cfm-5")))
    assert strip.shape == ((28 + GAP) * ROWS - GAP, (30 + GAP) * SHOWN // ROWS - GAP, 3)
    for number in range(SHOWN):
        top, left = (28 + GAP) * (number // (SHOWN // ROWS)), (30 + GAP) * (number % (SHOWN // ROWS))
        assert (strip[top : top + 28, left : left + 30] == samples[number].transpose(1, 2, 0)).all()


def test_small_gray_images_are_enlarged_from_black_to_white(tmp_path):
    digits = np.zeros((SHOWN, 1, 8, 8), np.uint8)
    digits[0, 0, 2, 5] = 16
    saved(tmp_path, record("cfm", 5), digits, 17)
    strip = np.asarray(Image.open(strip_path(tmp_path / "track", "cfm-5")))
    assert (strip[6:9, 15:18] == 240).all()
    assert (strip[:SIDE, :SIDE] > 0).sum() == 9
    assert (strip[:, SIDE : SIDE + GAP] == 255).all()


def test_samples_that_are_not_images_have_no_strip(tmp_path):
    saved(tmp_path, record("cfm", 5), np.zeros((20, 2), np.float32))
    save_strip(tmp_path, strip_path(tmp_path / "track", "without-samples"), cell(256))
    assert sample_table(tmp_path / "track", [record("cfm", 5)]) == ""


@pytest.mark.parametrize("track", TRACKS)
def test_each_strip_of_a_track_is_of_a_published_run_of_one_seed(track):
    records = read_published(RESULTS / track / RECORDS)
    seeds = {record["labels"]["run"]: record["spec"]["seed"] for record in records}
    strips = [path.stem for path in (RESULTS / track / PICTURES).glob("*.png")]
    assert len({seeds[name] for name in strips}) == bool(strips)


def test_methods_are_rows_and_budgets_are_columns(tmp_path):
    cells = [record("cfm", 0), record("cfm", 50), record("wcfm", 2000)]
    for one in cells:
        saved(tmp_path, one, np.zeros((SHOWN, 3, 2, 2), np.uint8))
    heading, _, head, _, first, second = sample_table(tmp_path / "track", cells).splitlines()
    assert heading == "track, seed 3:"
    assert head == "| method | without training | 50 steps | 2,000 steps |"
    assert [cell.strip() != "" for cell in first.split("|")[2:5]] == [True, True, False]
    assert second == "| wcfm |  |  | ![Samples: wcfm, 2,000 steps](track/pictures/wcfm-2000.png) |"


def test_differences_are_taken_within_a_network_over_seeds():
    """The network adds 10 to every method, which no difference holds."""
    one, other, third = {0: 1.0, 1: 3.0}, {0: 2.0, 1: 6.0}, {0: 9.0, 1: 9.0}
    shifted = {seed: value + 10 for seed, value in one.items()}
    values = {"cfm net=dit(width=8)": one, "wcfm net=dit(width=8)": other, "otcfm net=dit(width=8)": third}
    values |= {"cfm net=unet(channels=4)": shifted, "wcfm net=unet(channels=4)": {0: 10.0, 1: 12.0}}
    values |= {"otcfm net=unet(channels=4)": {0: 5.0}}  # one seed in common, so no interval
    head, _, row = network_table(Rung("fd", {"fd": values})).splitlines()
    assert head == "| difference | dit | unet | same sign |"
    assert row == "| cfm - wcfm | -2 ± 13 | 1 ± 0 | undecided |"
    assert network_table(Rung("fd", {"fd": {"cfm net=dit": one, "wcfm net=dit": other}})) == ""
    values["cfm net=dit(width=8)"] = {0: 12.0, 1: 16.01}
    values["wcfm net=unet(channels=4)"] = {0: 10.0, 1: 12.01}
    assert network_table(Rung("fd", {"fd": values})).splitlines()[2].endswith("| yes |")
    values["wcfm net=unet(channels=4)"] = {0: 14.0, 1: 16.01}
    assert network_table(Rung("fd", {"fd": values})).splitlines()[2].endswith("| no |")


def test_the_cost_on_a_gpu_is_that_of_the_command():
    found = genbench("plan", "--difference", "3%", "--metric", "fid", "--samples", "50000", "--json")
    (option,) = json.loads(found.stdout)["options"]
    usual, low, high = option["seeds"]
    assert f"takes {usual} ({low} to {high}) seeds" in on_a_gpu()
    assert f"The {2 * usual} trainings of the two methods keep " in on_a_gpu()
    assert "for {:.0f} to {:.0f} hours".format(*option["hours"]["cifar10"]) in on_a_gpu()
