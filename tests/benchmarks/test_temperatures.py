"""The picture of five temperatures: its rows, and their samples."""

import numpy as np
from PIL import Image

from benchmarks.temperatures import GAP, LABEL, PICTURE, SCALE, SHOWN, first_samples, picture
from genbench.storage import arrays


def saved(folder, seed=0, **model):
    """Return the path and the record of a run, with 20 images of one gray beside it."""
    place = folder / f"{seed} {model}"
    place.mkdir()
    gray = round(100 * model.get("kappa", 2.0))
    arrays.save(place / "samples.npz", {"samples": np.full((20, 3, 8, 6), gray, np.uint8)})
    return place / "record.json", {"spec": {"seed": seed, "model": model}}


def test_rows_are_cfm_and_wcfm_by_temperature_with_the_first_samples_of_seed_0(tmp_path):
    wcfm = {"name": "wcfm", "weigh": "pair"}
    runs = [
        saved(tmp_path, **wcfm, kappa=0.625),
        saved(tmp_path, **wcfm, kappa=0.25),
        saved(tmp_path, name="cfm"),
        saved(tmp_path, seed=1, name="cfm"),
        saved(tmp_path, name="wcfm", weigh="data", kappa=0.25),
    ]
    found = first_samples(runs)
    assert [*found] == ["CFM", "W-CFM, epsilon 3", "W-CFM, epsilon 7.5"]
    shown = picture(found).convert("RGB")
    height = LABEL + 8 + GAP
    assert shown.size == (SCALE * 6 * SHOWN, SCALE * height * 3)
    for number, gray in enumerate((200, 25, 62)):
        top = SCALE * (height * number + LABEL)
        row = np.asarray(shown)[top : top + SCALE * 8]
        assert (row == gray).all()
        assert np.asarray(shown)[top - SCALE * LABEL : top].min() < 150  # its name


def test_the_committed_picture_has_six_rows_of_samples_of_cifar10():
    with Image.open(PICTURE) as image:
        assert image.size == (SCALE * 32 * SHOWN, SCALE * (LABEL + 32 + GAP) * 6)
