"""Findings of tracks and studies, from their published records, with what would refute them."""

from itertools import combinations, product

import numpy as np
import pytest
from helpers.paper_differences import EFFICIENT, EPSILONS, PIXELS, RE_WEIGHTED, pixel_wcfm
from helpers.published import CARDS, RESULTS, by_metric, difference, halved, rows, signed, tasks, values
from scipy.stats import ttest_ind, ttest_rel

from genbench.analysis.significance import holm
from genbench.report.plots import budget_curves, track_curves
from genbench.report.track_board import track_board
from genbench.runs.store import Store
from genbench.suites import find

RANKINGS = " ".join((RESULTS / "rankings.md").read_text("utf-8").split())
LOSSES = ("meanflow", "shortcut", "consistency", "lagrangian", "tvm", "eulerian", "progressive", "alphaflow")


def published(track, folder, settings="default"):
    return track_board(find(track), Store(folder), settings)


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    return published("maps-v1", tmp_path_factory.mktemp("none"))


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    return published("plane-v1", tmp_path_factory.mktemp("none"))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    return published("plane-v1", tmp_path_factory.mktemp("none"), "tuned")


def pairs_of(board, data, nfe=None, steps=2000):
    return next(each.pairs for each in board.heat(steps, nfe).contests if each.data == data)


def row(loss, coupling=""):
    return f"{loss} coupling={coupling} steps=32" if coupling else f"{loss} steps=32"


@pytest.mark.parametrize(("data", "exceptions"), [("checkerboard", {"lagrangian", "tvm"}), ("moons", set())])
def test_semidiscrete_pairs_are_better_than_independent_pairs_for_every_loss(board, data, exceptions):
    for nfe in (1, 2, 4):
        pairs = pairs_of(board, data, nfe)
        level = {loss for loss in LOSSES if not pairs.beats(row(loss, "semidiscrete"), row(loss))}
        assert level == (exceptions | {"consistency"} if nfe == 1 else set())  # consistency has no sample of one step


@pytest.mark.parametrize(("data", "ahead"), [("checkerboard", (1, 2, 4)), ("moons", (1,))])
def test_one_flow_map_alone_is_ahead_of_sdcfm(board, data, ahead):
    for nfe in (1, 2, 4):
        pairs = pairs_of(board, data, nfe)
        winners = [model for model in pairs.letters if pairs.beats(model, "sdcfm")]
        assert winners == ([row("alphaflow", "semidiscrete")] if nfe in ahead else [])
    assert pairs_of(board, data, 1).order[:2] == (row("alphaflow", "semidiscrete"), "sdcfm")


@pytest.mark.parametrize(("data", "progressive_ahead"), [("checkerboard", False), ("moons", True)])
def test_lagrangian_is_not_ahead_of_progressive(board, data, progressive_ahead):
    for nfe in (1, 2, 4):
        pairs = pairs_of(board, data, nfe)
        assert not pairs.beats(row("lagrangian"), row("progressive"))
        assert pairs.beats(row("progressive"), row("lagrangian")) == progressive_ahead


@pytest.mark.parametrize("data", ["checkerboard", "moons", "pinwheel", "8gaussians"])
def test_longer_training_takes_the_lead_from_sdcfm_and_leaves_wcfm_behind_except_on_8gaussians(plane, data):
    short, long = (pairs_of(plane, data, steps=steps) for steps in (2000, 20_000))
    assert short.beats("sdcfm", "cfm")
    assert not long.apart("sdcfm", "cfm")
    assert short.beats("cfm", "wcfm")
    assert long.beats("cfm", "wcfm") == long.apart("cfm", "wcfm") == (data != "8gaussians")


def test_the_captions_of_curves_state_their_steps_and_the_number_of_their_tasks(plane):
    """They named neither, while the track had seven tasks and three budgets."""
    curves, turns = track_curves(plane), budget_curves(plane)
    assert curves.title == "plane-v1: 20,000 steps, default settings"
    assert (
        [chart.title for chart in curves.charts] == [chart.title for chart in turns.charts] == [*tasks("plane-v1")][:3]
    )
    assert "against NFE after 20,000 steps, first three tasks of the same track;" in RANKINGS
    assert "against training steps, the same three tasks, each method with its own sampler;" in RANKINGS


@pytest.mark.parametrize("nfe", [1, 4])
@pytest.mark.parametrize("steps", [2000, 20_000])
def test_in_8_dimensions_sdcfm_leads_cfm_with_few_evaluations_only(plane, steps, nfe):
    own, few = (pairs_of(plane, "mixture dims=8", n, steps) for n in (None, nfe))
    assert not own.apart("sdcfm", "cfm")
    difference = own.pairs["cfm", "sdcfm"]  # the first is better
    assert difference.high < 0  # in a single interval
    assert few.beats("sdcfm", "cfm")


def test_in_50_dimensions_sdcfm_is_behind_cfm_after_2000_steps(plane):
    pairs = pairs_of(plane, "mixture dims=50")
    assert pairs.beats("cfm", "sdcfm")
    assert pairs.beats("cfm", "otcfm")


def test_in_50_dimensions_flows_lead_cfm_after_the_short_training_only(plane):
    short, long = (pairs_of(plane, "mixture dims=50", steps=steps) for steps in (2000, 20_000))
    assert short.beats("nsf", "cfm")
    assert short.beats("starflow width=16", "cfm")
    assert not long.apart("starflow width=16", "cfm")
    assert not long.apart("tarflow width=16", "cfm")
    assert not long.apart("sdcfm", "cfm")


EIGHT, FIFTY = "mixture dims=8", "mixture dims=50"
LEADS = ("moons", "8gaussians", "checkerboard", "pinwheel", "spirals")
"""Tasks in 2D on which SD-CFM leads CFM after 2,000 steps."""


@pytest.mark.parametrize(
    ("card", "data", "model", "more"),
    [
        *(("20", data, "vp", {}) for data in ("pinwheel", EIGHT, "8gaussians")),
        ("20", "8gaussians", "vp", {"nfe": 16}),
        ("20", "8gaussians", "vp", {"nfe": 16, "table": "default"}),
        ("20", "8gaussians", "vp", {"metric": "w2"}),
        *(("34", data, "sdcfm", {}) for data in ("checkerboard", "moons", "pinwheel", "rings", "spirals")),
        *(("34", data, "wcfm", {}) for data in (*LEADS, "rings")),
        *(("40", data, "sdcfm", {}) for data in (EIGHT, FIFTY)),
        ("40", EIGHT, "sdcfm", {"metric": "nll"}),
        *(("41", FIFTY, model, {}) for model in ("nsf", "starflow width=16", "tarflow width=16")),
    ],
)
def test_a_card_states_the_difference_from_cfm_with_tuned_settings(card, data, model, more):
    settings = {"table": "tuned", "metric": "sliced_w2"} | more
    metric = settings.pop("metric")
    assert signed(*difference("plane-v1", data, metric, model, "cfm", **settings), 3) in CARDS[card]


def test_on_rings_sdcfm_leads_cfm_at_neither_budget_and_wcfm_is_behind_at_both(plane, tuned):
    """SD-CFM leads CFM on the other tasks in 2D after 2,000 steps."""
    assert {data for data in tasks("plane-v1") if "dims" not in data} == {*LEADS, "rings"}
    for steps in (2000, 20_000):
        pairs = pairs_of(plane, "rings", steps=steps)
        assert not pairs.apart("sdcfm", "cfm")
        assert pairs.beats("cfm", "wcfm")
    assert not pairs_of(tuned, "rings").apart("sdcfm", "cfm")
    assert pairs_of(tuned, "rings").beats("cfm", "wcfm")
    for settings in ({"steps": 20_000}, {"table": "tuned"}):
        mean, half = difference("plane-v1", "rings", "sliced_w2", "sdcfm", "cfm", **settings)
        assert mean - half > 0  # in a single interval
    leads = f"SD-CFM leads after 2,000 steps on {', '.join(LEADS[:-1])} and {LEADS[-1]}, but not on rings"
    assert leads in CARDS["40"]


def test_with_tuned_settings_vp_is_separated_from_cfm_on_8gaussians_with_dopri5_only(tuned):
    assert pairs_of(tuned, "8gaussians").beats("cfm", "vp")
    assert not pairs_of(tuned, "8gaussians", 16).apart("cfm", "vp")
    for data, low, high in (("pinwheel", -1, 0), (EIGHT, 0, 1)):
        mean, half = difference("plane-v1", data, "sliced_w2", "vp", "cfm", table="tuned")
        assert low < mean - half < mean + half < high
    for metric, nfe in (("sliced_w2", 16), ("w2", None)):
        mean, half = difference("plane-v1", "8gaussians", metric, "vp", "cfm", nfe, table="tuned")
        assert abs(mean) < half


def test_with_tuned_settings_sdcfm_leads_cfm_after_2000_steps_and_wcfm_is_behind_on_two_tasks(tuned):
    cells = {contest.data: contest.cells for contest in tuned.heat(2000, None).contests}
    for data in ("checkerboard", "moons", "pinwheel", "8gaussians"):
        pairs = pairs_of(tuned, data)
        assert pairs.beats("sdcfm", "cfm")
        assert "model.kappa=4.0" in cells[data]["wcfm"].stated
        assert pairs.apart("cfm", "wcfm") == pairs.beats("cfm", "wcfm") == (data in ("checkerboard", "moons"))
    own = {model: in_order("plane-v1", "pinwheel", model, "sliced_w2", table="tuned") for model in tuned.models}
    keys = [*combinations(sorted(own), 2)]
    corrected = dict(zip(keys, holm([ttest_rel(own[one], own[other]).pvalue for one, other in keys]), strict=True))
    assert f"(-0.007 ± 0.004, p = {corrected['cfm', 'wcfm']:.3f})" in CARDS["34"]


def test_with_tuned_settings_sdcfm_is_behind_cfm_on_both_mixtures(tuned):
    for data in (EIGHT, FIFTY):
        assert pairs_of(tuned, data).beats("cfm", "sdcfm")


def test_with_tuned_settings_nsf_alone_of_the_flows_leads_cfm_in_50_dimensions(tuned):
    pairs = pairs_of(tuned, FIFTY)
    assert pairs.beats("nsf", "cfm")
    assert not pairs.apart("starflow width=16", "cfm")
    assert pairs.beats("cfm", "tarflow width=16")
    (stated,) = [each.cells["cfm"].stated for each in tuned.heat(2000, None).contests if each.data == FIFTY]
    assert stated == "model.sigma=0.0 plan.lr=0.003"  # sigma is the default
    before, after = (in_order("plane-v1", FIFTY, "cfm", "sliced_w2", table=t).mean() for t in ("default", "tuned"))
    assert f"a larger learning rate alone, 0.003, lowers CFM from {before:.3f} to {after:.3f}" in CARDS["41"]


def in_order(suite, data, model, metric, **settings):
    """Return values in the order of seeds."""
    return np.array([value for _, value in sorted(values(suite, data, model, metric, **settings).items())])


def test_drifting_is_ahead_of_all_flow_maps_but_these():
    """Paired over seeds, with Holm's correction for all 88 comparisons."""
    three, one = "drifting", "drifting temperatures=?0.05? normalize=false"
    level = {
        ("checkerboard", three): {row("meanflow", "semidiscrete")},
        ("moons", three): {row("alphaflow", "semidiscrete"), "sdcfm"},
        ("checkerboard", one): {row("alphaflow", "semidiscrete")},
        ("moons", one): set(),
    }
    behind = {("checkerboard", three): {row("alphaflow", "semidiscrete"), row("progressive", "semidiscrete"), "sdcfm"}}
    maps = [row(*pair) for pair in product({*LOSSES} - {"consistency"}, ("", "ot", "semidiscrete"))]
    tests = {}
    for (data, drifting), other in product(level, ["sdcfm", *maps]):
        own = in_order("drifting", data, drifting, "sliced_w2")  # its only NFE is 1
        tests[(data, drifting), other] = ttest_rel(own, in_order("maps-v1", data, other, "sliced_w2", nfe=1))
    assert len(tests) == 88
    corrected = dict(zip(tests, holm([test.pvalue for test in tests.values()]), strict=True))
    for case in level:
        of = [key for key in tests if key[0] == case]
        assert {key[1] for key in of if corrected[key] > 0.05} == level[case]
        assert {key[1] for key in of if corrected[key] < 0.05 and tests[key].statistic > 0} == behind.get(case, set())


WIDE = "wcfm net=mlp(width=128) kappa=0.5 *=16"


@pytest.mark.parametrize("data", ["mixture", "mixture dims=8", "mixture dims=50"])
def test_the_coupling_is_the_main_loss_of_wcfm_on_mixtures(data):
    coupling, total = (
        in_order("error-budget-tasks", data, WIDE, part, steps=2000)
        for part in ("error_budget.coupling", "error_budget")
    )
    mean, half = halved(coupling / total)
    assert mean - half > 2 / 3


def test_a_larger_network_halves_its_part_and_leaves_the_coupling():
    small, wide = (
        [in_order(*suite, f"error_budget.{part}", steps=2000) for part in ("coupling", "network")]
        for suite in (
            ("error-budget", "8gaussians", "wcfm kappa=0.5 *=16"),
            ("error-budget-tasks", "8gaussians", WIDE),
        )
    )
    np.testing.assert_allclose(wide[0], small[0], atol=1e-6)
    assert (wide[1] < 0.6 * small[1]).all()


def test_at_equal_steps_progressive_is_ahead_of_lagrangian_at_nfe_1_only():
    for steps, nfe in product((2000, 10_000), (1, 2, 4)):
        models = "maps-equal-steps", "checkerboard", "sliced_w2", row("lagrangian"), row("progressive")
        mean, half = difference(*models, nfe=nfe, steps=steps)
        assert abs(mean) > half
        assert (mean > 0) == (nfe == 1)


def test_on_cifar10_fd_falls_with_every_larger_epsilon_and_is_lowest_for_cfm():
    models = [*map(pixel_wcfm, EPSILONS), "cfm *"]
    means = [np.mean([*values(*PIXELS, model, EFFICIENT).values()]) for model in models]
    assert means == sorted(means, reverse=True)
    kid = [np.mean([*values(*PIXELS, model, "kid").values()]) for model in models]
    assert kid[:5] == sorted(kid[:5], reverse=True)
    assert kid[4] == pytest.approx(kid[5], rel=0.01)
    page = (RESULTS / "papers.md").read_text("utf-8")
    assert "here, CFM has the lowest FD, and epsilon 7.5, which is closer to CFM, the lowest of the five, but " in page
    assert "KID orders the five alike, with epsilon 7.5 level with CFM" in page


def test_a_lower_temperature_gives_samples_of_smaller_norm():
    norms = [np.mean([*values(*PIXELS, pixel_wcfm(epsilon), "norm").values()]) for epsilon in EPSILONS]
    cfm = np.mean([*values(*PIXELS, "cfm *", "norm").values()])
    assert [*norms, cfm] == sorted([*norms, cfm])
    floors = {result["floor"] for _, _, result in rows("cifar10-small") if result["metric"] == "norm"}
    said = f"{', '.join(f'{norm:.1f}' for norm in norms)}, of CFM's {cfm:.1f}, of a real image {np.mean([*floors]):.1f}"
    assert said in CARDS["44"]


def apart_on_pixels(metric):
    """Return the pairs of the suite that three seeds separate with Holm's correction over all pairs, and the others."""
    models = [*map(pixel_wcfm, EPSILONS), "cfm *", RE_WEIGHTED]
    found = {model: [*values(*PIXELS, model, metric).values()] for model in models}
    pairs = [*combinations(models, 2)]
    corrected = holm([ttest_rel(found[one], found[other]).pvalue for one, other in pairs])
    apart = {pair for pair, p in zip(pairs, corrected, strict=True) if p <= 0.05}
    return apart, {*pairs} - apart


def test_after_correction_fd_separates_two_pairs_of_cifar10_and_norm_all_but_wcfm_and_its_control():
    apart, _ = apart_on_pixels(EFFICIENT)
    assert apart == {(pixel_wcfm("1"), pixel_wcfm("7.5")), (pixel_wcfm("3"), RE_WEIGHTED)}
    apart, together = apart_on_pixels("norm")
    assert (len(apart), together) == (20, {(pixel_wcfm("5"), RE_WEIGHTED)})
    said = "with Holm over the 21 pairs of the table, FD separates only epsilon 1 from 7.5 and epsilon 3 from "
    assert "with Holm over the 21 pairs of the table, norm separates all pairs but this one" in CARDS["9"]
    assert said in CARDS["44"]
    assert said in (RESULTS / "papers.md").read_text("utf-8")
    share = np.mean([*values(*PIXELS, pixel_wcfm("1"), "tilt.ess").values()])
    assert f"at epsilon 1 only {100 * share:.0f} % of the pairs count" in CARDS["44"]


def test_more_seeds_would_help_where_images_are_few():
    models = [*map(pixel_wcfm, EPSILONS), "cfm *", RE_WEIGHTED]
    means = [np.mean([*values(*PIXELS, model, EFFICIENT).values()]) for model in models]
    spread = np.median([np.std([*values(*PIXELS, model, EFFICIENT).values()], ddof=1) for model in models])
    page = " ".join((RESULTS.parent / "docs/metric_power.md").read_text("utf-8").split())
    errors = [r["details"]["standard_error"] for _, _, r in by_metric("cifar10-small")[EFFICIENT, "main"]]
    said = f"FD is {min(means):.0f} to {max(means):.0f}, its standard error over samples is {np.mean(errors):.1f}, and "
    assert said + f"its median standard deviation over seeds is {spread:.1f}." in page


def test_on_tori_otcfm_is_at_the_floor_before_wcfm_and_in_the_end_holm_separates_neither_from_cfm(tmp_path):
    board = published("transport-v1", tmp_path)
    short, long = (pairs_of(board, "tori", steps=steps) for steps in (2000, 20_000))
    assert {"otcfm", "wcfm"} & short.at_floor == {"otcfm"}
    assert {"otcfm", "wcfm"} <= long.at_floor
    assert not any(long.apart(model, "cfm") for model in ("otcfm", "wcfm"))
    tuned = published("transport-v1", tmp_path, "tuned")
    assert not any(own.p["otcfm", "wcfm"] <= 0.05 for own in (long, pairs_of(tuned, "tori")))
    for own in (pairs_of(board, "gaussians-5gaussians", steps=20_000), pairs_of(tuned, "gaussians-5gaussians")):
        assert not own.apart("cfm", "wcfm")
    page = (RESULTS / "papers.md").read_text("utf-8")
    for stated in ("-0.0112 ± 0.0108", "+0.021 ± 0.017", "+0.064 ± 0.042"):
        assert f"{stated}, not separated with Holm" in page


@pytest.mark.parametrize("plan", [{"steps": 20_000}, {"table": "tuned"}], ids=str)
def test_on_tori_longer_training_and_tuning_make_wcfm_straighter_than_otcfm(plan):
    own, ot = (in_order("transport-v1", "tori", model, "straightness", **plan).mean() for model in ("wcfm", "otcfm"))
    stated = signed(*difference("transport-v1", "tori", "straightness", "wcfm", "otcfm", **plan), 4)
    assert f"({own:.4f} vs. {ot:.4f}: {stated}" in CARDS["2"]


def test_after_20000_steps_on_tori_five_seeds_leave_room_between_wcfm_and_the_floor():
    found = {}
    for labels, spec, result in by_metric("transport-v1")["sliced_w2", "main"]:
        if labels["data"] == "tori" and spec["plan"]["steps"] == 20_000:
            found.setdefault(labels["row"], {})[spec["seed"]] = result["value"], result["floor"]
    floors = [floor for _, floor in found["wcfm"].values()]
    own, cfm = ([value for value, _ in found[model].values()] for model in ("wcfm", "cfm"))
    room = ttest_ind(own, floors, equal_var=False).confidence_interval()
    said = f"minus the floor is {room.low:.4f} to {room.high:.4f}, while CFM minus the floor is "
    assert f"{said}{np.mean(cfm) - np.mean(floors):.4f}" in CARDS["31"]
