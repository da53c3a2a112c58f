"""Rows that a track does not list: which runs are one, and the cells that make one."""

import pytest
from helpers.image_trees import write_images
from helpers.records import provenance
from helpers.tracks import FLOOR, TRACK, board_of, planted, rows_of

from genbench.analysis.track_runs import read_track, row_cells, track_runs
from genbench.errors import ConfigError
from genbench.report.track_board import track_board
from genbench.report.track_table import across_table, task_table
from genbench.runs.make_spec import make_spec
from genbench.runs.record import format_record
from genbench.runs.store import Store, failed_record, labels_of
from genbench.suites import find
from genbench.sweeps.suite import track_rows


@pytest.fixture
def save(tmp_path):
    """save(model, data, value, plan=..., ...) saves five runs, as genbench run does; older: settings they lack."""

    def call(model, data="moons", value=0.4, seeds=range(5), plan=None, evaluation=None, settings=None, older=()):
        own = {"plan": {"steps": 20} | (plan or {}), "evaluation": {"curve": [1, 4]} | (evaluation or {})}
        for seed in seeds:
            spec = make_spec(model, data, seed=seed, metrics=["sliced_w2"], settings=own | {"model": settings or {}})
            made = provenance(spec.metrics, original=True)
            rows = rows_of(value + (floor := FLOOR[seed % len(FLOOR)]), floor, curve=[(1.0, 3.0), (4.0, 2.0)])
            record = {"labels": labels_of(spec), "spec": spec.json(), "results": rows, "provenance": made}
            for section, setting in older:
                del record["spec"][section][setting]
            path = Store(tmp_path / "results").record_path(spec)
            path.parent.mkdir(parents=True)
            path.write_text(format_record(record))

    return call


def test_runs_with_the_settings_of_a_track_are_a_row_which_says_what_it_lacks(save, tmp_path):
    before = board_of(tmp_path, planted())
    save("sbcfm")
    board = board_of(tmp_path, planted())
    assert (board.further, board.lacking) == (("sbcfm",), before.lacking)
    moons, pinwheel = board.heat(20, None).contests
    assert list(moons.cells["sbcfm"].values.values()) == pytest.approx(0.4 + FLOOR)
    assert moons.pairs.letters["sbcfm"]
    assert pinwheel.cells["sbcfm"].word == "missing"
    shown = {row.label: row.cells[0].text for row in across_table(board, 1).rows}
    assert shown == {"real data": "0", "cfm": "1.00", "sbcfm": "lacks pinwheel"}
    save("sbcfm", "pinwheel")
    ratios = {s.method: s.ratio for s in board_of(tmp_path, planted()).heat(20, None).effects.summaries}
    assert ratios["sbcfm"] == pytest.approx(0.4, rel=0.1)


def test_a_row_at_the_first_budget_hides_no_longer_one_and_a_longer_row_is_shown(save, tmp_path):
    save("sbcfm")
    board = board_of(tmp_path, [*planted(), *planted(50)])
    assert (board.shown, board.models[:3]) == ((20, 50), ("otcfm", "cfm", "nsf"))
    save("sbcfm", plan={"steps": 50})
    board = board_of(tmp_path, planted())
    assert (board.shown, board.models[:3]) == ((20, 50), ("otcfm", "cfm", "nsf"))


def test_another_recipe_is_another_row_and_another_task_is_none(save, tmp_path):
    save("sbcfm", plan={"lr": 0.01})
    save("sbcfm", plan={"batch_size": 8})
    save("sbcfm", plan={"steps": 21})
    save("sbcfm", evaluation={"n": 99})
    save("sbcfm", "checkerboard")
    save("otcfm", settings={"pool": 2})
    save("sbcfm", older=[("evaluation", "labels"), ("plan", "released")])
    board = board_of(tmp_path, planted())
    assert {*board.further} == {"sbcfm", "sbcfm lr=0.01", "otcfm pool=2"}


def moved(records, source):
    """Return records whose data comes from a source of the user."""
    return [{**r, "labels": {**r["labels"], "data": f"{r['labels']['data']} images={source}"}} for r in records]


def test_runs_on_ones_own_copy_of_the_data_fill_the_task_and_the_table_names_it(tmp_path):
    """The published run on a copy of CIFAR-10 was missing in the table of its track."""
    before = board_of(tmp_path, planted())
    board = board_of(tmp_path, moved(planted(), "0a1b2c3d"))
    assert [h.contests for h in board.heats] == [h.contests for h in before.heats]
    assert "Data of moons: images=0a1b2c3d." in across_table(board).legend
    assert "Data of pinwheel: images=0a1b2c3d." not in task_table(board, 20, ["moons images=0a1b2c3d"]).legend
    assert not any(line.startswith("Data of") for line in across_table(before).legend)
    latents = track_board(find("latents-v1"), Store(tmp_path)).heat(3000, None).contests[0]
    assert latents.cells["gaussian encoder=cifar10-8x8x8"].values.keys() >= {0}


def test_runs_on_two_copies_of_the_data_are_never_in_one_table(tmp_path):
    few = [record for record in planted() if record["spec"]["seed"] == 0]
    others = [record for record in planted() if record["spec"]["seed"]]
    board = board_of(tmp_path, [*moved(few, "0a1b2c3d"), *moved(others, "ffffffff")])
    cell = board.heat(20, None).contests[0].cells["cfm"]
    assert (cell.word, [*cell.values]) == ("4 of 5 seeds", [1, 2, 3, 4])
    left = "left out, since a table has one source: 5 runs on images=0a1b2c3d."
    for table in (across_table(board), task_table(board, 20)):
        assert f"Data of moons: images=ffffffff; {left}" in table.legend


def test_ones_own_model_takes_a_path_to_the_data_of_a_track_and_nothing_else(tmp_path):
    counts = {f"{split}/{name}": 1 for split in ("train", "valid", "test") for name in range(10)}
    write_images(tmp_path / "copy", counts, size=(32, 32))
    path = tmp_path / "latents.toml"  # has no published runs
    path.write_bytes(find("latents-v1").read_bytes())
    own = {"path": str(tmp_path / "copy")}
    cells = row_cells(path, "vp", {"data": own, "model": {"net": "dit"}})
    assert {cell.data["path"] for cell in cells} == {own["path"]}
    rows = track_rows(read_track(path)[0])
    records = [
        {"labels": labels_of(cell), "spec": cell.json(), "results": rows_of(9.0, 1.0), "provenance": provenance([])}
        for cell in cells[:3]
    ]
    records[2]["labels"]["data"] = "cifar10 images=f0c7f7bd"
    found = track_runs(path, rows, Store(tmp_path), "default", records)
    assert len(found.further) == 1
    assert {place.data for place in found.runs} == {"cifar10"}
    assert [*found.sources["cifar10"].values()] == [2, 1]
    with pytest.raises(ConfigError, match="--set data: the track fixes it"):
        row_cells(path, "vp", {"data": own | {"flip": False}})


def test_failed_runs_of_a_row_are_counted(save, tmp_path):
    save("sbcfm", seeds=range(4))
    store = Store(tmp_path / "results")
    settings = {"plan": {"steps": 20}, "evaluation": {"curve": [1, 4]}}
    spec = make_spec("sbcfm", "moons", seed=4, metrics=["sliced_w2"], settings=settings)
    with store.hold(spec) as held:
        held.write_failure(spec, failed_record(spec, "the loss is not finite")["failure"])
    assert board_of(tmp_path, planted()).heat(20, None).contests[0].cells["sbcfm"].word == "failed 1 of 5"


def test_the_cells_of_a_row_are_those_of_the_first_budget_or_of_the_chosen_one(tmp_path):
    (path := tmp_path / "some.toml").write_text(TRACK)
    cells = row_cells(path, "sbcfm", {})
    assert {(cell.data_label, cell.seed) for cell in cells} == {(d, s) for d in ("moons", "pinwheel") for s in range(5)}
    assert {(cell.plan["steps"], *cell.evaluation["curve"]) for cell in cells} == {(20, 1, 4)}
    longer = row_cells(path, "cfm", {"plan": {"steps": 50, "lr": 0.01}, "model": {"sigma": 0.1}})
    assert {(c.data_label, c.plan["steps"], c.plan["lr"], c.model["sigma"]) for c in longer} == {
        (data, 50, 0.01, 0.1) for data in ("moons", "pinwheel")
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cfm", {}), "some already has a row cfm: change a setting by --set, or rename your model"),
        (("vp", {"plan": {"steps": 21}}), "some fixes the batch size, and its steps are 20, 50"),
        (("vp", {"plan": {"batch_size": 8}}), "some fixes the batch size"),
        (("vp", {"evaluation": {"n": 9}}), "--set evaluation: the track fixes it: set model, plan or sample"),
        (("vpp", {}), "did you mean 'vp'?"),
    ],
)
def test_what_is_no_row_is_refused(tmp_path, words, message):
    (path := tmp_path / "some.toml").write_text(TRACK)
    with pytest.raises(ConfigError) as error:
        row_cells(path, *words)
    assert message in str(error.value)


def test_own_runs_fill_cells_and_replace_no_published_value_nor_shift_the_floor(save, tmp_path):
    before = board_of(tmp_path, planted())
    save("vp", value=0.2, seeds=[4])
    save("cfm", value=9.0)  # the same seeds, trained here
    save("sbcfm", seeds=(57,))  # no seed of the track
    after = board_of(tmp_path, planted())
    for one, other in zip(before.heat(20, None).contests, after.heat(20, None).contests, strict=True):
        assert other.cells["cfm"].values == one.cells["cfm"].values
        assert other.floor == one.floor
    vp = after.heat(20, None).contests[0].cells["vp"]
    assert (vp.word, vp.values[0], vp.values[4]) == ("", 0.3, pytest.approx(0.2 + FLOOR[4]))


def test_damaged_records_of_a_track_stop_no_table_of_it(tmp_path):
    folder = tmp_path / "results" / "plane-v1"
    folder.mkdir(parents=True)
    (folder / "records.jsonl.gz").write_bytes(b"no archive")
    assert track_board(find("plane-v1"), Store(tmp_path / "results")).shown
