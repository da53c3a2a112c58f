"""The rows of results/rankings.md on single changes that alter a ranking, from the records."""

import pytest
from helpers.published import RESULTS, at_floor, mean

FD = "fd-digits_cnn"
BOTH, TUNED = ("cfm", "starflow noise=0.1"), {"table": "tuned"}
SAME, FEWER = {"steps": 6000}, {"steps": 1030}
"""Steps of all methods of few-steps, and of otcfm at equal training time."""
CHANGES = [
    ("digits, FD after 800 steps", "digits-v1", FD, (*BOTH, *(f"{m} conditional=true" for m in BOTH)), {}, TUNED),
    ("8gaussians, energy distance", "synthetic", "energy_distance", ("vp", "cfm"), {"nfe": 1}, {}),
    ("8gaussians, W2", "couplings", "w2", ("wcfm kappa=1.0", "cfm"), {"nfe": 1}, {}),
    ("8gaussians, W2 with dopri5", "few-steps", "w2", ("otcfm", "cfm"), SAME, (FEWER, SAME)),
    *(
        (f"{data}, sliced W2 with dopri5", "plane-v1", "sliced_w2", models, {}, {"steps": 20_000})
        for data, models in (
            ("checkerboard", ("sdcfm", "cfm")),
            ("moons", ("sdcfm", "otcfm", "cfm")),
            ("pinwheel", ("sdcfm", "otcfm", "cfm")),
        )
    ),
]
"""Task, suite, metric, models, settings before, and after: for all models, or one for each."""


@pytest.mark.parametrize(("task", "suite", "metric", "models", "before", "after"), CHANGES, ids=str)
def test_a_change_that_alters_a_ranking_is_stated_with_the_values_of_the_records(
    task, suite, metric, models, before, after
):
    page, floor = (RESULTS / "rankings.md").read_text("utf-8"), "(both at the floor)"
    (line,) = (line for line in page.splitlines() if f"| {task} |" in line and f"[{suite}]" in line)
    for cell, plans in zip(line.split("|")[4:6], (before, after), strict=True):
        each = [plans] * len(models) if isinstance(plans, dict) else plans
        own = [((suite, task.split(",")[0], model, metric), plan) for model, plan in zip(models, each, strict=True)]
        assert all(at_floor(*words, **plan) for words, plan in own) == (floor in cell)
        for stated, (words, plan) in zip(cell.replace(floor, "").split("/"), own, strict=True):
            value = mean(*words, **plan)
            assert f"{value:.{len(stated.strip().partition('.')[2])}f}" == stated.strip()
