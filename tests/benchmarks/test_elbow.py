"""Kappa: the elbow of a curve known in closed form."""

import json
from pathlib import Path
from statistics import fmean

import pytest
from helpers.published import values
from helpers.toy_flows import gaussian_tilt

from benchmarks.elbow import by_elbow, main
from genbench.errors import ConfigError
from genbench.models.flow_matching.couplings import wcfm_weights
from genbench.models.flow_matching.couplings.wcfm_weights import FLAT, elbow
from genbench.runs.store import Store

ROOT = Path(__file__).parents[2]
CHOICES = {
    "8gaussians": "8gaussians",
    "8gaussians to moons": "8gaussians-moons",
    "gaussians to 5gaussians": "gaussians-5gaussians",
    "moons": "moons",
    "digits": "digits",
    "pixels": "cifar10",
    "latents": "cifar10",
}
"""{word of a row of docs/sweeps.md: data set}."""


def test_the_elbow_is_where_the_closed_form_becomes_flat():
    grid = [2**k for k in range(-6, 9)]

    def exact(kappa):
        return max(gaussian_tilt(kappa, 1, 2), gaussian_tilt(kappa, 2, 1))

    settings = {"data": {"dims": 1, "std": 2.0}, "model": {"cost": "sqnorm"}}
    found = by_elbow("gaussian", settings, grid)
    falls = [exact(kappa) - exact(2 * kappa) for kappa in grid]
    assert falls[0] < FLAT < max(falls)  # flat before it falls, too: that is no elbow
    assert found.chosen == next(k for k in grid if all(f < FLAT for j, f in zip(grid, falls, strict=True) if j >= k))
    for kappa, seen in found.curve:
        assert not seen.known or seen.variance == pytest.approx(exact(kappa), abs=0.04)
    assert found.json()["chosen"] == {"kappa": found.chosen}
    assert found.json()["model"].keys() == found.spec.model.keys() - {"kappa", "epsilon"}


def choice(curve, threshold, monkeypatch):
    monkeypatch.setattr(wcfm_weights, "FLAT", threshold)
    return elbow([(point["kappa"], max(point["source"], point["data"])) for point in curve if point["known"]])


def test_the_documented_choices_follow_from_the_published_curves(monkeypatch):
    files = [json.loads(path.read_text()) for path in sorted(ROOT.glob("results/tuning/wcfm-on-*-by-elbow*.json"))]
    assert not any({"kappa", "epsilon"} & each["model"].keys() for each in files)  # one named an earlier default
    text = (ROOT / "docs" / "sweeps.md").read_text("utf-8")
    head = "| data | threshold 0.05 | 0.1 | 0.2 | 0.3 |"
    rows = text[text.index(head) :].partition("\n\n")[0].splitlines()[2:]
    encoders = {"pixels": None, "latents": {"name": "cifar10-8x8x8", "version": 1}}
    assert len(rows) == len(CHOICES)
    for row, (word, data) in zip(rows, CHOICES.items(), strict=True):
        name, *kappas = (cell.strip() for cell in row.strip("|").split("|"))
        assert word in name
        (found,) = (
            each["curve"]
            for each in files
            if each["data"]["name"] == data and (word not in encoders or each["encoder"] == encoders[word])
        )
        assert [f"{choice(found, t, monkeypatch):.3g}" for t in (0.05, 0.1, 0.2, 0.3)] == kappas
    (pixels,) = (each["curve"] for each in files if each["data"]["name"] == "cifar10" and each["encoder"] is None)
    assert {f"{choice(pixels, t, monkeypatch):.3g}" for t in (0.26, 0.47)} == {"0.0884"}
    assert "0.0884" not in {f"{choice(pixels, t, monkeypatch):.3g}" for t in (0.25, 0.49)}
    rule = f"chooses {choice(pixels, FLAT, monkeypatch):.3g}"
    assert all(rule in (ROOT / page).read_text("utf-8") for page in ("docs/models.md", "results/papers.md"))
    ranges = {
        each["data"]["name"]: [choice(each["curve"], t, monkeypatch) for t in (0.26, 0.47)]
        for each in files
        if not each["encoder"]
    }
    moons = ranges.pop("moons")
    said = f"the same thresholds choose kappas from {moons[0]:.3g} down to {moons[1]:.3g}, and a smaller kappa"
    assert f"On moons, the most sensitive of these data sets, {said}" in " ".join(text.split())
    assert all(moons[0] / moons[1] > high / low for high, low in ranges.values())  # the most sensitive


def test_the_reason_for_the_threshold_is_what_the_study_of_kappa_found():
    text = " ".join((ROOT / "docs" / "sweeps.md").read_text("utf-8").split())
    own = [fmean(values("kappa", "moons", f"wcfm kappa={kappa}", "w2").values()) for kappa in ("0.5", "1.41")]
    cfm = fmean(values("kappa", "moons", "cfm", "w2").values())
    assert f"W2 is {own[0]:.3f} at 0.5, {own[1]:.3f} at 1.41 and {cfm:.3f} for CFM" in text


def test_a_curve_that_ends_before_it_is_flat_has_no_elbow():
    assert elbow([(1, 3.0), (2, 2.0), (4, 1.0)]) is None
    assert elbow([]) is None
    assert elbow([(1, 3.0), (2, 2.0), (4, 2.0), (2**0.5 * 4, 1.96)]) == 2
    with pytest.raises(ConfigError, match=r"not flat up to kappa 0\.5: add larger values"):
        by_elbow("8gaussians", {}, [0.25, 0.5])
    with pytest.raises(ConfigError, match="without labels"):
        by_elbow("digits", {"model": {"conditional": True}})


def test_among_latents_the_encoder_is_trained_first_and_kept(tmp_path):
    encoder = {"name": "autoencoder", "width": 8, "steps": 30}
    settings, grid = {"model": {"encoder": encoder}}, [0.5, 2.0, 8.0]
    with pytest.raises(ConfigError, match="needs a results folder for their encoder"):
        by_elbow("digits", settings, grid)
    found = by_elbow("digits", settings, grid, store=Store(tmp_path))
    assert len(list(tmp_path.rglob("model.safetensors"))) == 1
    # Latents have unit variance in every channel, pixels do not: the tilt is another one.
    pixels = by_elbow("digits", {}, grid)
    assert pixels.json()["encoder"] is None
    assert found.json()["encoder"]["width"] == 8
    assert pixels.curve[0][1].variance != pytest.approx(found.curve[0][1].variance, rel=0.05)


def test_other_settings_do_not_take_the_place_of_the_defaults(tmp_path, capsys):
    def write(*words):
        return main(["8gaussians", "--results", str(tmp_path), *words])

    for words in ((), ("--set", "data.radius=2")):
        assert write(*words) == 0
    answers = {path.name: json.loads(path.read_text()) for path in (tmp_path / "tuning").glob("*.json")}
    assert answers["wcfm-on-8gaussians-by-elbow.json"]["data"]["radius"] == 5
    assert sorted(answer["data"]["radius"] for answer in answers.values()) == [2, 5]
    assert {answer["rule"] for answer in answers.values()} == {"elbow"}
    capsys.readouterr()
    assert write("--set", "model.kappa=3") == 2
    assert capsys.readouterr().err == "elbow: model.kappa is chosen by the elbow rule: omit it\n"
    assert write("--set", "data.radius") == 2
    assert len(list((tmp_path / "tuning").glob("*.json"))) == 2
