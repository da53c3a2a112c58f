"""Calibration: metrics detect the faults they should, and the table states to which they are blind."""

import json
import math
from dataclasses import replace

import pytest

from genbench.analysis.statistics import paired
from genbench.errors import ConfigError
from genbench.studies import calibration
from genbench.studies.calibration import PERFECT, TRIALS, Trial, measure_fields


@pytest.fixture(scope="module")
def plane():
    """A smaller trial in the plane: its rows, and its values by metric, sampler and seed."""
    small = replace(TRIALS[0], n=512)
    rows = list(calibration.measure_trial(small, range(6)))
    found = {}
    for row in rows:
        found.setdefault(row["metric"], {}).setdefault(row["sampler"], {})[row["seed"]] = row["value"]
    return rows, found


def verdicts(table):
    """Return {metric: {fault: text}}."""
    titles = [column.title for column in table.columns]
    faults = [titles[i - 1] for i, title in enumerate(titles) if title == "detected"]
    return {
        row.label: dict(
            zip(faults, [c.text for c, t in zip(row.cells, titles, strict=True) if t == "detected"], strict=True)
        )
        for row in table.rows
    }


def test_a_perfect_sampler_scores_the_floor(plane):
    rows, found = plane
    for metric in ("w2", "sliced_w2", "energy_distance", "mmd", "mode_coverage.balance", "norm"):
        floor = {row["seed"]: row["floor"] for row in rows if row["metric"] == metric and row["sampler"] == PERFECT}
        difference = paired(found[metric][PERFECT], floor)
        assert difference.low <= 0 <= difference.high or abs(difference.mean) < 3 * difference.error


def test_metrics_detect_the_faults_they_should_and_blind_ones_are_marked(plane):
    rows, found = plane
    (table,) = calibration.tables(rows)
    seen = verdicts(table)
    for metric in ("w2", "sliced_w2", "energy_distance", "mmd"):
        assert seen[metric] == {"shifted by 0.5": "yes", "without 1 of 8 modes": "yes"}
    assert seen["mode_coverage"] == {"shifted by 0.5": "blind", "without 1 of 8 modes": "yes"}
    assert seen["norm"]["without 1 of 8 modes"].startswith("blind below 0.0")
    assert seen["mode_coverage.on_mode"]["without 1 of 8 modes"].startswith("blind below 0.0")
    shift = [found["w2"]["shifted by 0.5"][s] ** 2 - found["w2"][PERFECT][s] ** 2 for s in range(6)]
    assert sum(shift) / 6 == pytest.approx(0.25, rel=0.5)  # moving everything by d adds d^2, up to the noise of both
    dropped = found["mode_coverage"]["without 1 of 8 modes"]
    assert set(dropped.values()) == {7 / 8}


@pytest.mark.slow
def test_metrics_detect_faults_of_images():
    rows = list(calibration.measure_trial(TRIALS[1], range(3)))
    (table,) = calibration.tables(rows)
    seen = verdicts(table)
    assert seen["fd-digits_cnn"]["without 1 of 10 digits"] == "yes"
    assert seen["class_balance"]["brighter by 1 level of 17"].startswith("blind")
    assert seen["class_balance"]["without 1 of 10 digits"] == "yes"
    assert seen["precision_recall.precision"]["without 1 of 10 digits"] != "yes"


def test_a_fault_that_improves_a_metric_is_marked():
    def row(sampler, seed, value, better):
        place = {"task": "8gaussians", "sampler": sampler, "seed": seed, "metric": "m", "n": 9, "protocol": "p"}
        return place | {"value": value + seed / 99, "better": better, "floor": None}

    for better, step, verdict in (
        ("lower", 0.5, "yes"),
        ("lower", -0.5, "better"),
        ("higher", -0.5, "yes"),
        ("none", 1, "moves"),
    ):
        rows = [row(PERFECT, s, 1.0, better) for s in range(4)]
        rows += [row(fault, s, 1.0 + step + s / 999, better) for fault in TRIALS[0].faults for s in range(4)]
        (table,) = calibration.tables(rows)
        assert set(verdicts(table)["m"].values()) == {verdict}


def test_exact_fields_have_the_values_known_in_closed_form():
    found = {}
    for row in measure_fields([0, 1]):
        found.setdefault((row["task"], row["metric"]), []).append(row)
    mean = {key: sum(row["value"] for row in rows) / 2 for key, rows in found.items()}
    # N(0, 1) to N(0, 1/4), for each of two coordinates: W2^2 is 1/4, path energy .46460184.
    assert mean["gaussian", "path_energy"] == pytest.approx(2 * 0.46460184, rel=0.05)
    assert mean["gaussian", "npe.path"] == pytest.approx(0.85840735, rel=0.05)
    entropy = 2 * (0.5 * math.log(2 * math.pi * math.e) + math.log(0.5))
    assert mean["gaussian", "nll"] == pytest.approx(entropy, abs=0.05)
    assert abs(mean["8gaussians", "npe.transport"]) < 0.01  # its samples have the law of the data


def test_a_calibration_is_reused_unless_it_is_of_other_versions(tmp_path, monkeypatch):
    tiny = Trial("8gaussians", 64, {"sliced_w2": {}}, TRIALS[0].faults)
    monkeypatch.setattr(calibration, "TRIALS", (tiny,))
    monkeypatch.setattr(calibration, "measure_fields", lambda seeds: [])
    path = calibration.calibrate(tmp_path, range(2))
    assert len(calibration.load(tmp_path)) == 6
    text = path.read_text()
    monkeypatch.setattr(calibration, "measure_trial", None)  # cannot be called
    assert calibration.calibrate(tmp_path, range(2)) == path
    assert path.read_text() == text
    kept = json.loads(text)
    kept["versions"]["metric sliced_w2"] = 0
    path.write_text(json.dumps(kept))
    assert calibration.load(tmp_path) == []
    assert calibration.tables([]) == []
    path.write_text(text[:-20])
    with pytest.raises(ConfigError, match=r"calibration\.json is damaged"):
        calibration.load(tmp_path)
