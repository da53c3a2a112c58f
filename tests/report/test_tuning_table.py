"""Tables of tuning: the best candidate beside the default, ties, edges, and rows without a choice."""

from dataclasses import replace

from genbench.analysis.tuning.track_tuning import track_tuning
from genbench.report.tuning_table import choices_tables

TRACK = """
datasets = ["moons"]
models = [
  { name = "cfm", trials = { plan = { lr = [1e-3, 3e-3] } } },
  { name = "otcfm", trials = { plan = { lr = [1e-3, 3e-3] } } },
  { name = "vp", trials = { plan = { lr = [1e-3, 3e-3] } } },
  { name = "sbcfm", trials = { plan = { lr = [1e-3, 3e-3] } } },
]
metrics = ["sliced_w2"]
budgets = [{ steps = 20, seeds = [0] }]
[track]
baseline = "cfm"
tuning = { steps = 20, seeds = 2 }
"""
VALUES = {
    "cfm": [(0.5, 0.7), (0.2, 0.3)],  # better for both seeds
    "otcfm": [(0.5, 0.7), (0.2, 0.8)],  # better on average only
    "vp": [(0.5, 0.7), (0.6, 0.8)],
    "sbcfm": [(), ()],
}


def table_of(folder, seeds):
    """Return the table of choices of a track that is tuned with the first of these values."""
    (folder / "some.toml").write_text(TRACK.replace("seeds = 2", f"seeds = {seeds}"))
    tuning = track_tuning(folder / "some.toml")
    trials = []
    for each in tuning.trials:
        found = []
        for candidate, values in zip(each.search.candidates, VALUES[each.row.label], strict=True):
            rows = [[{"metric": "sliced_w2", "point": "main", "value": value}] for value in values[:seeds]]
            own = [{"spec": {"seed": 100 + seed}, "results": row} for seed, row in enumerate(rows)]
            found.append(replace(candidate, records=tuple(own)))
        trials.append(each._replace(search=replace(each.search, candidates=tuple(found))))
    (table,) = choices_tables(tuning._replace(trials=trials))
    return table


def test_a_row_says_its_choice_and_why(tmp_path):
    table = table_of(tmp_path, 2)
    assert table.title == "some: sliced_w2 on the validation split of moons"
    assert {row.label: [cell.text for cell in row.cells] for row in table.rows} == {
        "cfm": ["0.6", "0.25", "-0.350 ± 0.050", "plan.lr=0.003"],
        "otcfm": ["0.6", "0.5", "-0.10 ± 0.20", "its defaults"],
        "vp": ["0.6", "0.6", "", "its defaults"],
    }
    assert table.notes == (
        "no larger plan.lr than 0.003 was tried",
        "The default is tied with the best candidate.",
        "no smaller plan.lr than 0.001 was tried",
    )
    assert [[cell.notes for cell in row.cells][2:] for row in table.rows] == [[(), (1,)], [(2,), (3,)], [(), (3,)]]
    assert table.legend[-1] == "No candidate has a value for every seed: sbcfm."


def test_one_seed_has_no_error_within_which_the_default_is_chosen(tmp_path):
    """The table stated a standard error and a rule that had not been applied."""
    table = table_of(tmp_path, 1)
    assert table.legend[0].endswith("One seed has no standard error: the best candidate is chosen.")
    assert "±" not in table.legend[0]
    (otcfm,) = (row for row in table.rows if row.label == "otcfm")
    assert [cell.text for cell in otcfm.cells] == ["0.5", "0.2", "-0.3000", "plan.lr=0.003"]
