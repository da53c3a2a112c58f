"""Sentences on values at the floor, which no page orders: `difference` and `below` of helpers.published refuse to."""

from itertools import product

import pytest
from helpers.boards import pairs_of, published
from helpers.paper_differences import LONG, MID
from helpers.published import (
    at_floor,
    below,
    both_at_floor,
    difference,
    differences,
    halved,
    rows,
    says,
    signed,
    tasks,
    text_of,
    values,
)

TORI, TUNED = ("transport-v1", "tori", "sliced_w2", "wcfm", "otcfm"), {"table": "tuned"}
KAPPA_2 = "kappa", "8gaussians", "w2", "wcfm kappa=2.0", "cfm"
KAPPA_1 = "couplings", "8gaussians", "w2", "wcfm kappa=1.0", "cfm"
FIVE, S1 = ("wcfm-toys", "gaussians-5gaussians", "w2", "cfm"), ("plane-v1", "8gaussians", "w2", "sdcfm", "otcfm")
AT_FLOOR = [
    *(
        ("4", said, KAPPA_2, {})
        for said in ("(after 5,000, both are at the floor)", "After 5,000, both are at the floor.")
    ),
    *(
        ("5", said, (*KAPPA_1[:4], other), {"nfe": nfe})
        for other, said in (
            ("cfm", "; from NFE 16 on and with dopri5, both are at the floor |"),
            ("cfm", "up to NFE 4. From NFE 16 on, both are at the floor."),
            ("otcfm", "OT-CFM is better than W-CFM at NFE 1 to 8 (from NFE 16 on, both are at the floor) |"),
        )
        for nfe in (16, 32, None)
    ),
    *(
        (place, said, (*TORI[:4], "cfm"), LONG)
        for place, said in (
            ("31", "(after 20,000, W-CFM and CFM are both at the floor); minus OT-CFM"),
            ("31", "> after 2,000 steps. After 20,000 steps (5 seeds), W-CFM and CFM are both at the floor."),
            ("W4", "; after 20,000 steps on tori, W-CFM and CFM are both at the floor ("),
            ("W7", "after 2,000 and 5,000 steps (after 20,000, W-CFM and CFM are both at the floor);"),
        )
    ),
    *(("31", "#, in the other three cases both are at the floor |", TORI, plan) for plan in (MID, LONG, TUNED)),
    *(
        ("W5", "and with tuned settings after 2,000, both are at the floor in sliced W2,", TORI, plan)
        for plan in (MID, LONG, TUNED)
    ),
    *(
        (card, "W-CFM and all three plans are at the floor", ("large-batches", *TORI[1:4], f"otcfm{pool}"), {})
        for card, pool in product(("43", "W5"), ("", " pool=4", " pool=16"))
    ),
    *(
        ("W11", "; these two and OT-CFM are at the floor |", (*FIVE, other), {})
        for other in ("wcfm kappa=4.0", "otcfm")
    ),
    ("S1", "except on 8gaussians, where both are at the floor)", S1, {}),
]
"""Card or page, what it says, the models at the floor and their plan."""


@pytest.mark.parametrize(("place", "said", "models", "plan"), AT_FLOOR, ids=str)
def test_what_is_said_to_be_at_the_floor_is(place, said, models, plan):
    assert says(place, said)
    assert both_at_floor(*models, **plan)


def test_in_the_study_of_couplings_only_a_small_kappa_is_above_the_floor_with_dopri5():
    models = {labels["model"] for labels, _, _ in rows("couplings") if labels["data"] == "8gaussians"}
    assert {own for own in models if not at_floor("couplings", "8gaussians", own, "w2")} == {"wcfm kappa=0.5"}
    assert says(
        "couplings.md", "With dopri5, all models but W-CFM at kappa 0.5 are at the floor, so they are not ordered."
    )


@pytest.mark.parametrize(
    ("suite", "data", "digits", "line"),
    [
        ("couplings", "8gaussians", 3, "| 8gaussians | 2 /"),
        ("couplings", "8gaussians-moons", 3, "| 8gaussians to moons | 2 /"),
        ("couplings-dims", "mixture dims=8 *", 3, "| 8 dimensions | 2 /"),
        ("couplings-dims", "mixture dims=50 *", 2, "| 50 dimensions | 2 /"),
    ],
)
def test_the_cost_of_the_tilt_is_a_difference_unless_both_are_at_the_floor(suite, data, digits, line):
    cells = []
    for kappa in ("2.0", "1.0", "0.5"):
        pair = (f"wcfm *kappa={kappa}", "cfm *") if "dims" in suite else (f"wcfm kappa={kappa}", "cfm")
        words = suite, data, "w2", *pair
        cells.append("°" if both_at_floor(*words) else signed(*difference(*words), digits))
    (found,) = (own for own in text_of("couplings.md").splitlines() if own.startswith(line))
    assert found.endswith(f"| {' / '.join(cells)} |")


def test_with_few_steps_alone_wcfm_at_kappa_1_is_ahead_of_cfm():
    for nfe in (1, 2, 4, 8):
        assert not both_at_floor(*KAPPA_1, nfe=nfe)
        assert below(*KAPPA_1, nfe=nfe) == (nfe < 8)
        assert below(*KAPPA_1[:3], "otcfm", KAPPA_1[3], nfe=nfe)
    for nfe, (data, first) in product((1, 2, 4, 8, 16, 32, None), (("8gaussians", 8), ("moons", 4))):
        pair = "few-steps", data, "w2", "cfm", "wcfm kappa=1.0"
        ahead = below(*pair, nfe=nfe, steps=6000, others={"steps": 5300})
        assert ahead == (nfe is None or nfe >= first)
    assert says("5", "CFM is better from NFE 8 on, also with dopri5, on moons from NFE 4 on;")


def test_a_page_cannot_order_two_values_at_the_floor():
    middle, half = halved([*differences(*KAPPA_1).values()])
    assert middle > half
    assert not below(*KAPPA_1[:3], "cfm", KAPPA_1[3])
    with pytest.raises(AssertionError, match="both are at the floor"):
        difference(*KAPPA_1)


@pytest.mark.parametrize("steps", [2000, 20_000])
def test_the_floor_is_that_of_the_tables(steps):
    board, found = published("plane-v1"), set()
    for data in tasks("plane-v1"):
        pairs = pairs_of(board, data, steps=steps)
        seeds = {row: len(values("plane-v1", data, row, "sliced_w2", steps=steps)) for row in pairs.order}
        full = {row for row, count in seeds.items() if count == max(seeds.values())}
        reached = {row for row in full if at_floor("plane-v1", data, row, "sliced_w2", steps=steps)}
        assert reached == pairs.at_floor
        found |= reached
    assert found
