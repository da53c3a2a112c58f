"""Components of variance: identities, coverage on simulated components, and the power of what is planned from them."""

import numpy as np
import pytest
from helpers.published import RESULTS
from helpers.tracks import board_of, planted, record_of

from genbench.analysis.claims import options
from genbench.analysis.significance import paired
from genbench.analysis.variance_components import Crossed, components, crossed
from genbench.errors import ConfigError
from genbench.results.reader import read_groups
from genbench.runs.store import Store


def table(stream, models, seeds, shared, training, evaluation):
    """Draw values of a crossed design, and the standard errors that 12 halves of each evaluation would state."""
    values = stream.normal(0, shared, seeds) + stream.normal(0, training, (models, seeds))
    errors = evaluation * (stream.chisquare(11, (models, seeds)) / 11) ** 0.5
    return values + stream.normal(0, evaluation, (models, seeds)), errors


def test_the_parts_are_those_of_paired_differences_and_of_single_models():
    values, _ = table(np.random.default_rng(0), 5, 7, 1.0, 2.0, 0.5)
    two, all_models = components(values[:2]), components(values)
    assert two.own == pytest.approx(np.var(values[0] - values[1], ddof=1) / 2)
    assert all_models.total == pytest.approx(np.var(values, axis=1, ddof=1).mean())
    assert all_models.evaluation is None
    moved = components(values + np.arange(5)[:, None])  # means of models are no component
    assert moved[:4] == pytest.approx(all_models[:4])
    together = components(values + 10 * np.arange(7))  # what all models of a seed share is not their own
    assert together.own == pytest.approx(all_models.own)
    assert together.total > 400


def test_errors_of_evaluations_are_part_of_the_total():
    values, errors = table(np.random.default_rng(0), 6, 400, 0.5, 2.0, 1.0)
    assert components(values, errors).evaluation == pytest.approx(1.0, rel=0.05)
    values, errors = table(np.random.default_rng(0), 8, 200, 0.0, 0.03, 0.06)
    spread = crossed_table(np.exp(values), errors * np.exp(values)).spread()
    training, evaluation = spread.deviations(10**9)  # more samples remove the variance of evaluations only
    assert training[1] == pytest.approx(0.03, rel=0.15)
    assert evaluation[1] < 1e-4
    assert np.hypot(*(part[1] for part in spread.deviations(None))) == pytest.approx(np.hypot(0.03, 0.06), rel=0.05)


@pytest.mark.parametrize(("models", "seeds"), [(4, 5), (2, 6), (8, 3)])
def test_the_interval_covers_simulated_variances(models, seeds):
    stream, true = np.random.default_rng(models), 1.0 + 0.5**2
    found = [components(table(stream, models, seeds, 0.7, 1.0, 0.5)[0]) for _ in range(1500)]
    assert np.mean([each.low <= true <= each.high for each in found]) == pytest.approx(0.95, abs=0.02)
    assert np.mean([each.own for each in found]) == pytest.approx(true, rel=0.05)


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
    assert found.values.shape == (4, 4)  # vp lacks a seed: 3 x 3 degrees of freedom, and 2 x 4 without it
    assert found.spread().source == f"4 models x 4 seeds of some, {found.steps} steps"


def test_a_further_seed_of_one_model_makes_no_table_smaller(tmp_path):
    """The seeds of the model with most seeds decided: no other model had them all, and the suite had no table."""
    records = [record for record in planted() if record["labels"]["model"] in ("cfm", "otcfm")]
    for model, seed in (("cfm", 5), ("otcfm", 6)):
        records.append(record_of(model, "moons", 20, seed, records[0]["results"]))
        board_of(tmp_path, records)
        assert crossed(read_groups(Store(tmp_path / "results")), "moons", "sliced_w2").values.shape == (2, 5)


def test_pairing_removes_no_negative_share_of_the_variance():
    values = np.exp([[0.0, 1.0], [1.0, 0.0]])  # the models of a seed go opposite ways
    assert "which removes 0 % of the variance" in crossed_table(values).spread().note


def test_what_cannot_be_estimated_is_refused():
    with pytest.raises(ConfigError, match="1 models with 3 common seeds"):
        components(np.zeros((1, 3)))
    with pytest.raises(ConfigError, match="not positive"):
        crossed_table(np.array([[1.0, 2.0], [0.0, 1.0]])).spread()
    with pytest.raises(ConfigError, match="did you mean '8gaussians'"):
        crossed(read_groups(Store(RESULTS), ["tutorial"]), "8gausians", "w2")
    with pytest.raises(ConfigError, match="no suite has fid on 8gaussians"):
        crossed(read_groups(Store(RESULTS), ["tutorial"]), "8gaussians", "fid")
