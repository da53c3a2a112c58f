"""Tracks: what a cell says, when it is compared, and that a table of a track is the test of any leaderboard."""

import copy

import numpy as np
import pytest
from helpers.tracks import FLOOR, OWN, SHARED, TRACK, board_of, lost, planted, record_of, rows_of, written
from rich.console import Console
from scipy import stats

from genbench.report import publish
from genbench.report.publish import track_charts
from genbench.report.track_board import track_board
from genbench.report.track_sentences import complete, sentences
from genbench.report.track_table import CHOSEN, NOT_TUNED, TUNED, across_table, task_table
from genbench.runs.store import Store


def test_a_model_stands_at_its_budgets_and_one_without_training_at_all(tmp_path):
    own = '{ name = "otcfm", budgets = [20] }, { name = "gaussian", plan = { steps = 0 } }'
    records = planted() + [
        record_of("gaussian", data, 0, seed, rows_of(0.9, FLOOR[seed], 1.0))
        for data in ("moons", "pinwheel")
        for seed in range(5)
    ]
    board = board_of(tmp_path, records, track=TRACK.replace('"otcfm"', own))
    short, long = (board.heat(steps, None).contests[0].cells for steps in (20, 50))
    assert (short["otcfm"].word, long["otcfm"].word) == ("", "not at this budget")
    assert short["gaussian"].values == long["gaussian"].values == dict.fromkeys(range(5), 0.9)
    assert board.shown == (20,)  # the Gaussian alone makes no budget


def test_a_model_of_another_pace_stands_at_the_budget_and_says_its_steps(tmp_path):
    records = [record_of("otcfm", "moons", 8, seed, rows_of(0.5, FLOOR[seed])) for seed in range(5)]
    paced = TRACK.replace('"otcfm"', '{ name = "otcfm", pace = 0.4 }')
    moons, pinwheel = board_of(tmp_path, [*planted(), *records], track=paced).heat(20, None).contests
    assert moons.cells["otcfm"].values == dict.fromkeys(range(5), 0.5)
    assert moons.cells["otcfm"].stated == "8 steps"
    assert pinwheel.cells["otcfm"].word == "missing"  # what was trained for 20 steps had more time


def test_runs_of_ones_own_have_the_pace_of_their_row(tmp_path):
    paced = TRACK.replace('"otcfm"', '{ name = "otcfm", pace = 0.4 }')
    own = [record_of("otcfm", "moons", steps, 0, rows_of(0.5, FLOOR[0])) for steps in (8, 20)]
    mine = [record_of("cfm", "moons", 8, 0, rows_of(0.6, FLOOR[0]), settings={"sigma": 0.1})]
    for record in (*own, *mine):
        record["spec"]["evaluation"]["curve"] = [1, 4]
    published = [record for record in planted() if record["labels"]["model"] != "otcfm"]
    board = board_of(tmp_path, published, track=paced, added=[*own, *mine])
    assert board.heat(20, None).contests[0].cells["otcfm"].values == {0: 0.5}
    assert board.further == ()  # 8 steps are the budget of one row alone


def test_failed_runs_are_counted_and_compared_with_nothing(tmp_path):
    failures = lost(("vp", 4), *(("wcfm", seed) for seed in range(5)))
    contest = board_of(tmp_path, planted(), failures).heat(20, None).contests[0]
    assert (contest.cells["vp"].word, contest.cells["wcfm"].word) == ("failed 1 of 5", "failed 5 of 5")
    assert not {"vp", "wcfm"} & contest.pairs.letters.keys()
    spreads = [np.std(FLOOR + SHARED + own, ddof=1) for own in OWN[:3]]  # vp has none
    assert contest.noise == pytest.approx(0.002 / np.median(spreads))


def test_an_evaluation_error_may_be_stated_as_an_interval_by_halves(tmp_path):
    records = planted()
    for row in (row for record in records for row in record["results"] if "details" in row):
        row["details"] = {"half_interval": stats.t.ppf(0.975, 11) * row["details"]["standard_error"]}
    halves, errors = board_of(tmp_path / "halves", records), board_of(tmp_path / "errors", planted())
    one, other = (board.heat(20, None).contests[0].noise for board in (halves, errors))
    assert one == pytest.approx(other)


def test_a_longer_budget_that_is_trained_first_is_shown_and_a_task_without_runs_at_the_first_is_whole_at_none(tmp_path):
    assert board_of(tmp_path, planted(50)).shown == (50,)
    moons = [record for record in planted() if record["labels"]["data"] == "moons"]
    board = board_of(tmp_path, [*moons, *planted(50)])
    assert board.whole[50] == ("moons",)


def test_a_budget_at_which_no_row_stands_is_not_whole_and_a_row_of_another_budget_is_not_missing(tmp_path):
    """latents-v1 showed 27,000 steps without any training: rows that are not at this budget counted as trained."""
    own = '{ name = "otcfm", budgets = [20] }, { name = "nsf", budgets = [50] }'
    track = TRACK.replace('"otcfm", "nsf"', own)
    records = [record for record in planted() if record["labels"]["model"] not in ("nsf", "reflow")]
    longer = [record for record in planted(50) if record["labels"]["model"] == "cfm"]
    for seeds, added, shown in ((1, [], (20,)), (5, [], (20,)), (5, longer, (20, 50))):
        found = [record for record in records if record["spec"]["seed"] < seeds]
        board = board_of(tmp_path / f"{seeds}-{len(added)}", [*found, *added], track=track)
        assert board.shown == shown
        assert [steps for steps, tasks in board.whole.items() if tasks] == ([*shown] if seeds == 5 else [])


def test_the_tuned_table_has_the_chosen_settings_and_says_them(tmp_path):
    own = [
        record_of("wcfm", "moons", 20, seed, rows_of(value, FLOOR[seed]), "wcfm", [table], {"kappa": kappa})
        for table, kappa, value in (("tuned", 0.5, 0.7), ("default", "elbow", 0.9))
        for seed in range(5)
    ]
    for settings, value, stated in (("tuned", 0.7, "model.kappa=0.5"), ("default", 0.9, "kappa=elbow")):
        board = board_of(tmp_path, [*planted(), *own], chosen={"moons": KAPPA}, settings=settings)
        cell = board.heat(20, None).contests[0].cells["wcfm"]
        assert (set(cell.values.values()), stated in cell.stated) == ({value}, True)


KAPPA = {"wcfm": {"model": {"kappa": 0.5}}}
BOTH = {"moons": KAPPA, "pinwheel": KAPPA}
"""Settings that tuning has chosen."""


def tuned(kappa, tables=("tuned",), value=0.7, tasks=("moons", "pinwheel"), steps=20):
    """Return the runs of wcfm with a kappa."""
    return [
        record_of("wcfm", data, steps, seed, rows_of(value, FLOOR[seed]), "wcfm", tables, {"kappa": kappa})
        for data in tasks
        for seed in range(5)
    ]


def tuned_cell(folder, runs, choice):
    """Return the cell of wcfm on moons in the tuned table, where a setting was chosen."""
    board = board_of(folder, [*planted(), *runs], chosen={"moons": choice}, settings="tuned")
    return board.heat(20, None).contests[0].cells["wcfm"]


def test_the_tuned_table_comes_first_once_it_has_every_run_of_the_other(tmp_path):
    """The tuned table came first after the first choice, with nearly all cells missing."""
    default = [*planted(), *tuned("elbow", ["default"], 0.9)]
    for tasks, shown, number in ((("moons",), "default", 1), (("moons", "pinwheel"), "tuned", 2)):
        board = board_of(tmp_path, [*default, *tuned(0.5, tasks=tasks)], chosen=dict.fromkeys(tasks, KAPPA))
        assert (board.settings, board.json()["choices"]) == (shown, {"chosen": number, "of": 2, "changed": number})
        where = " (--settings tuned)" if shown == "default" else ""
        assert f"tuning has chosen settings for {number} of 2 cells{where}" in across_table(board).legend[1]
        contests = board_of(tmp_path, default, settings="tuned").heat(20, None).contests
        assert [contest.cells["wcfm"].word for contest in contests] == ["missing"] * 2
    assert board_of(tmp_path, default).settings == "default"  # chosen, but not trained
    assert "On some after 20 training steps with tuned settings" in sentences(board)[0]


def test_a_budget_that_is_not_tuned_has_default_settings_and_each_table_says_which_it_has(tmp_path):
    track = TRACK.replace("steps = 50, seeds", "steps = 50, tuned = false, seeds")
    default = [*tuned("elbow", ["default"], 0.9), *tuned("elbow", ["default"], 0.8, steps=50)]
    board = board_of(tmp_path, [*planted(), *planted(50), *default, *tuned(0.5)], track=track, chosen=BOTH)
    cells = [board.heat(steps, None).contests[0].cells["wcfm"] for steps in (20, 50)]
    assert [(set(cell.values.values()), cell.stated) for cell in cells] == [
        ({0.7}, "model.kappa=0.5"),
        ({0.8}, "kappa=elbow"),
    ]
    table = across_table(board)
    assert table.title.startswith("some, tuned and default settings: ")
    assert [column.title for column in table.columns[:2]] == ["20 steps, tuned, own sampler", "50 steps, own sampler"]
    assert "20 steps (5 seeds) with tuned settings and 50 steps (5 seeds) with default settings" in table.legend[0]
    assert "for 2 of 2 cells after 20 steps" in table.legend[1]
    assert table.legend[0].startswith(
        "Values after 20 steps (5 seeds) with tuned settings and 50 steps (5 seeds) with default settings (so budgets "
        "differ in more than steps): excess (value minus floor of real data) as a multiple of the excess of cfm with "
        "the same settings, "
    )
    assert [column.title for column in table.columns[-2:]] == ["20 steps, tuned, wins", "50 steps, wins"]
    assert TUNED in table.legend
    assert table.legend[-1].endswith(": pinwheel (20 steps, tuned, NFE 1; 50 steps, NFE 1).")
    assert [CHOSEN in task_table(board, steps).legend for steps in (20, 50)] == [True, False]
    assert [task_table(board, steps).title.split(":")[0] for steps in (20, 50)] == [
        "some, tuned settings",
        "some, default settings",
    ]
    assert sentences(board)[0].startswith("On some after 20 training steps with tuned settings and each method's own")
    assert sentences(board)[-1].startswith("After 50 steps with default settings, otcfm wins: ")
    assert {(row["steps"], row["settings"]) for row in board.rows()} == {(20, "tuned"), (50, "default")}


def test_the_report_of_a_tuned_track_draws_the_default_values_of_all_budgets(tmp_path, monkeypatch):
    """Default values after 2,000 steps were missing, since the track shows tuned ones there."""
    track = TRACK.replace("steps = 50, seeds", "steps = 50, tuned = false, seeds")
    default = [*tuned("elbow", ["default"], 0.9), *tuned("elbow", ["default"], 0.8, steps=50)]
    board = board_of(tmp_path, [*planted(), *planted(50), *default, *tuned(0.5)], track=track, chosen=BOTH)
    assert board.settings == "tuned"
    store, page = Store(tmp_path / "results"), tmp_path / "report.html"
    monkeypatch.setattr(publish, "packaged", lambda: ["some"])
    monkeypatch.setattr(publish, "find", lambda name: tmp_path / f"{name}.toml")
    *_, steps = track_charts(board, store)
    (line,) = [series for series in steps.charts[0].series if series.model == "wcfm"]
    assert [(point.x, point.y) for point in line.points] == [(20, 0.9), (50, 0.8)]
    publish.publish_report(store, page, Console(quiet=True))
    assert "some: quality vs. training steps, default settings" in page.read_text()


def test_a_track_says_that_its_tuning_is_not_done(tmp_path):
    said = "; tuning is declared for 2 cells, but not done"
    assert complete(board_of(tmp_path, planted()), []).endswith(said)
    trials = '{ name = "reflow", trials = { model = { start = ["anew", "teacher"] } } }'  # unsupported on both tasks
    assert complete(board_of(tmp_path, planted(), track=TRACK.replace('"reflow"', trials)), []).endswith(said)
    assert "not done" not in complete(board_of(tmp_path, planted(), chosen={"moons": {"wcfm": {}}}), [])


def test_the_tuned_table_says_what_was_not_tuned_and_how_often_defaults_were_chosen(tmp_path):
    choices = {"moons": KAPPA, "pinwheel": {"wcfm": {}}}
    records = [*planted(), *tuned("elbow", ["default"], 0.9), *tuned(0.5, tasks=("moons",))]
    mine = [
        record_of("cfm", data, 20, seed, rows_of(0.6, FLOOR[seed]), settings={"sigma": 0.1})
        for data in ("moons", "pinwheel")
        for seed in range(5)
    ]
    for record in mine:
        record["spec"]["evaluation"]["curve"] = [1, 4]
    for settings, said in (("tuned", True), ("default", False)):
        board = board_of(tmp_path, records, chosen=choices, settings=settings, added=mine)
        assert "for 2 of 2 cells" in complete(board, [])
        assert complete(board, []).endswith(", for 1 of them other settings than the defaults")
        for table in (across_table(board), task_table(board, 20)):
            marked = [row.label for row in table.rows if NOT_TUNED in (table.notes[n - 1] for n in row.cells[0].notes)]
            assert marked == (["cfm sigma=0.1"] if said else [])


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec["model"].update(name="wcfm@12345678"),  # from a file that has changed since
        lambda spec: spec["model"].update(removed=1),
        lambda spec: spec["sample"].update(removed=1),
        lambda spec: spec["plan"].update(removed=1),
    ],
)
def test_a_tuned_run_of_another_model_or_with_a_setting_that_no_longer_exists_is_left_out(tmp_path, change):
    other = copy.deepcopy(tuned(0.5, tasks=("moons",)))
    for record in other:
        change(record["spec"])
    cell = tuned_cell(tmp_path, other, KAPPA)
    assert (cell.values, cell.word) == ({}, "missing")


def test_a_tuned_run_that_is_older_than_a_setting_stays_in_its_table(tmp_path):
    """All tuned cells became missing, and the default table came first, as soon as any setting was added."""
    old = copy.deepcopy(tuned(0.5, tasks=("moons",)))
    for record in old:
        for section, name in (("model", "prediction"), ("plan", "released"), ("sample", "diffusion")):
            del record["spec"][section][name]
    cell = tuned_cell(tmp_path, old, KAPPA)
    assert (set(cell.values.values()), cell.word) == ({0.7}, "")


def test_default_settings_that_tuning_chose_need_no_run_of_their_own(tmp_path):
    records = [*planted(), *tuned("elbow", ["default"])]
    board = board_of(tmp_path, records, chosen={"moons": {"wcfm": {}}}, settings="tuned")
    moons, pinwheel = (contest.cells["wcfm"] for contest in board.heat(20, None).contests)
    assert (moons.values, moons.word) == (dict.fromkeys(range(5), 0.7), "")
    assert pinwheel.word == "missing"  # nothing is chosen there


def test_runs_with_the_settings_of_an_earlier_tuning_are_in_no_table(tmp_path):
    """They were in the table, among the runs with the new settings."""
    choice = {"wcfm": {"model": {"kappa": 2.0}}}
    cell = tuned_cell(tmp_path, [*tuned(0.5), *tuned(2.0, value=0.3)], choice)
    assert set(cell.values.values()) == {0.3}
    assert tuned_cell(tmp_path, tuned(0.5), choice).word == "missing"


def test_a_track_without_records_says_that_all_is_missing(tmp_path):
    board = track_board(written(tmp_path), Store(tmp_path / "results"))
    assert board.json()["cells"] == {20: {"missing": 12}, 50: {"missing": 12}}
