"""Components of variance: identities, coverage on simulated components, and the power of what is planned from them."""

from pathlib import Path

import numpy as np
import pytest
from helpers.tracks import board_of, planted

from genbench.analysis.claims import options
from genbench.analysis.significance import paired
from genbench.analysis.variance_components import Crossed, _chi_squares, components, crossed
from genbench.errors import ConfigError
from genbench.results.reader import read_groups
from genbench.runs.store import Store

RESULTS = Path(__file__).parents[2] / "results"


def table(stream, models, seeds, shared, training, evaluation):
    """Draw values of a crossed design, and the standard errors that 12 halves of each evaluation would state."""
    values = stream.normal(0, shared, seeds) + stream.normal(0, training, (models, seeds))
    errors = evaluation * (stream.chisquare(11, (models, seeds)) / 11) ** 0.5
    return values + stream.normal(0, evaluation, (models, seeds)), errors


def test_the_parts_are_those_of_paired_differences_and_of_single_models():
    values, _ = table(np.random.default_rng(0), 5, 7, 1.0, 2.0, 0.5)
    two, all_models = components(values[:2]), components(values)
    assert two.own.value == pytest.approx(np.var(values[0] - values[1], ddof=1) / 2)
    assert all_models.total.value == pytest.approx(np.var(values, axis=1, ddof=1).mean())
    assert all_models.evaluation is all_models.training is None
    moved = components(values + np.arange(5)[:, None])  # means of models are no component
    assert [each.value for each in moved[:3]] == pytest.approx([each.value for each in all_models[:3]])
    together = components(values + 10 * np.arange(7))  # what all models of a seed share is not their own
    assert together.own.value == pytest.approx(all_models.own.value)
    assert together.shared.value > 400


def test_errors_of_evaluations_are_part_of_the_total():
    values, errors = table(np.random.default_rng(0), 6, 400, 0.5, 2.0, 1.0)
    found = components(values, errors)
    assert found.evaluation.value == pytest.approx(1.0, rel=0.05)
    assert found.training.value == pytest.approx(found.total.value - found.evaluation.value)
    values, errors = table(np.random.default_rng(0), 8, 200, 0.0, 0.03, 0.06)
    spread = crossed_table(np.exp(values), errors * np.exp(values)).spread()
    training, evaluation = spread.deviations(10**9)  # more samples remove the variance of evaluations only
    assert training[1] == pytest.approx(0.03, rel=0.15)
    assert evaluation[1] < 1e-4
    assert np.hypot(*(part[1] for part in spread.deviations(None))) == pytest.approx(np.hypot(0.03, 0.06), rel=0.05)


@pytest.mark.parametrize(
    ("models", "seeds", "shared", "training", "evaluation"),
    [(4, 5, 1.0, 1.0, 0.5), (6, 10, 0.5, 1.0, 1.0), (2, 6, 0.7, 1.0, 0.3), (8, 3, 1.0, 0.5, 0.5)],
)
def test_intervals_cover_simulated_components(models, seeds, shared, training, evaluation, monkeypatch):
    _chi_squares.cache_clear()
    monkeypatch.setattr("genbench.analysis.variance_components.DRAWS", 2000)
    stream, times = np.random.default_rng(models), 1500
    true = np.array([shared**2, training**2 + evaluation**2, evaluation**2, shared**2 + training**2])
    true = np.insert(true, 2, true[0] + true[1])
    found = [components(*table(stream, models, seeds, shared, training, evaluation)) for _ in range(times)]
    parts = np.array(found)  # table, component, (value, low, high)
    covered = ((parts[..., 1] <= true) & (true <= parts[..., 2])).mean(0)
    assert ((covered >= 0.93) & (covered <= 0.97)).all(), covered
    _chi_squares.cache_clear()
    assert parts[..., 0].mean(0)[1:4] == pytest.approx(true[1:4], rel=0.05)  # variances above 0 are unbiased


def crossed_table(values, errors=None):
    return Crossed("suite", 2000, 1000, tuple("abcdefgh"[: len(values)]), values, errors, ())


def test_a_study_that_is_planned_from_components_has_80_percent_power():
    stream = np.random.default_rng(0)
    values, errors = table(stream, 8, 200, 0.1, 0.05, 0.03)
    spread = crossed_table(np.exp(values), errors * np.exp(values)).spread()
    (plan,) = options(0.06, spread, [1000], {})
    seen = []
    for _ in range(3000):
        (one, other), _ = table(stream, 2, plan.seeds[0], 0.1, 0.05, 0.03)
        seen.append(paired(dict(enumerate(one + 0.06)), dict(enumerate(other))).p <= 0.05)
    assert np.mean(seen) == pytest.approx(0.8, abs=0.05)  # a whole number of seeds: 10 have 0.81


def test_committed_results_give_the_spread_of_their_paired_differences():
    found = crossed(read_groups(Store(RESULTS), ["wcfm-toys"]), "8gaussians-moons", "w2")
    assert found.values.shape[1] == 10
    logs = np.log(found.values)
    pairs = [np.var(a - b, ddof=1) for i, a in enumerate(logs) for b in logs[i + 1 :]]
    assert found.spread().training[1] == pytest.approx(np.mean(pairs) ** 0.5 / 2**0.5)
    assert "8gaussians-moons" in found.costs()


def test_values_of_two_budgets_are_never_in_one_table(tmp_path):
    board_of(tmp_path, [*planted(20), *planted(50)])
    found = crossed(read_groups(Store(tmp_path / "results")), "moons", "sliced_w2")
    assert {run.record["spec"]["plan"]["steps"] for run in found.runs} == {found.steps}
    assert found.values.shape == (3, 5)
    assert found.spread().source == f"3 models x 5 seeds of some, {found.steps} steps"


def test_what_cannot_be_estimated_is_refused():
    with pytest.raises(ConfigError, match="1 models with 3 common seeds"):
        components(np.zeros((1, 3)))
    with pytest.raises(ConfigError, match="not positive"):
        crossed_table(np.array([[1.0, 2.0], [0.0, 1.0]])).spread()
    with pytest.raises(ConfigError, match="did you mean '8gaussians'"):
        crossed(read_groups(Store(RESULTS), ["tutorial"]), "8gausians", "w2")
    with pytest.raises(ConfigError, match="no suite has fid on 8gaussians"):
        crossed(read_groups(Store(RESULTS), ["tutorial"]), "8gaussians", "fid")
