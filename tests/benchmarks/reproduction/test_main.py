"""The reproduction of published cells: the sample, the whole, planted faults, and what it refuses."""

import json
import re
import shutil
from pathlib import Path

import pytest
from helpers.tracks import TRAINED

from benchmarks.reproduction import __main__ as reproduction
from genbench.metrics import distance
from genbench.models.flow_matching.paths import Straight
from genbench.runs.record import format_published, read_published
from genbench.suites import FOLDER, find
from genbench.sweeps import suite

ROOT = Path(__file__).parents[3]
TUNED = TRAINED.replace('"wcfm"', '{ name = "wcfm", trials = { model = { kappa = [0.5, 2.0] } } }')
CELLS = 3 * 2
VALUES = 2 * (3 + 3 + 2)  # one metric also along the curve, which a flow has not
WHOLE = 3 * VALUES + 3 * 3  # with wcfm on moons in both tables


def choose(folder, kappa):
    """Let tuning choose this kappa on moons, and the default on pinwheel."""
    chosen = {"moons": {"wcfm": {"model": {"kappa": kappa}}}, "pinwheel": {"wcfm": {}}}
    (folder / "some.tuned.json").write_text(json.dumps(chosen))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a tuned track and its published results."""
    from helpers.command_line import begin

    folder = tmp_path_factory.mktemp("track")
    (folder / "some.toml").write_text(TUNED)
    choose(folder, 0.5)
    done = begin("sweep", folder / "some.toml", "--results", folder / "results", "--quiet")
    assert done.code == 0, done.stderr
    shutil.rmtree(folder / "results" / "runs")
    return folder


@pytest.fixture
def released(made, tmp_path):
    """A copy of them."""
    return shutil.copytree(made, tmp_path / "made")


@pytest.fixture
def again(capsys, monkeypatch, released):
    """Reproduce the sample, or what the options say: (code, stdout on one line, stderr)."""

    monkeypatch.setattr(reproduction, "stop_on_signals", lambda: None)  # its thread would outlive the test
    monkeypatch.setitem(reproduction.SAMPLES, "some", reproduction.Sample({"moons": "tuned"}, 12, (0, 1)))

    def call(*options):
        where = ("--results", released / "again", "--against", released / "results")
        code = reproduction.main([str(word) for word in (released / "some.toml", *where, *options)])
        out, err = capsys.readouterr()
        return code, " ".join(out.split()), err

    return call


def test_the_sample_is_trained_in_ensembles_of_its_own_and_agrees(again, released):
    before = {path: path.read_bytes() for path in (released / "results").rglob("*") if path.is_file()}
    code, out, err = again()
    assert code == 0, err
    assert f"{VALUES} of {VALUES} published values measured again, {VALUES} agree" in out
    assert f"{CELLS} published cells, {CELLS} to run" in err
    assert {path: path.read_bytes() for path in (released / "results").rglob("*") if path.is_file()} == before
    assert len(list((released / "again" / "runs").glob("*-moons-*"))) == CELLS
    assert f"{CELLS} published cells, 0 to run" in again()[2]


def test_a_whole_track_is_trained_on_request(again):
    code, out, err = again("--whole")
    assert (code, f"{3 * CELLS + 3} published cells" in err) == (0, True), err
    assert f"{WHOLE} of {WHOLE} published values" in out


def planted_in_training(monkeypatch):
    right = Straight.__call__

    def wrong(self, *given):
        point = right(self, *given)
        return point._replace(velocity=3 * point.velocity)

    monkeypatch.setattr(Straight, "__call__", wrong)


def planted_in_a_metric(monkeypatch):
    right = distance.sorted_projections
    monkeypatch.setattr(distance, "sorted_projections", lambda x, axes: 1.1 * right(x, axes))


@pytest.mark.parametrize("plant", [planted_in_training, planted_in_a_metric])
def test_a_fault_in_a_formula_makes_the_verdict_fail(again, monkeypatch, plant):
    plant(monkeypatch)
    code, out, err = again()
    assert code == 1
    assert re.search(r"do not agree with the values published", err)
    assert "largest deviation" in out


def test_a_run_that_cannot_be_repeated_is_a_failure(again, monkeypatch):
    def broken(*arguments):
        raise FloatingPointError("on fire")

    monkeypatch.setattr(distance, "sorted_projections", broken)
    code, out, err = again()
    assert (code, f"{CELLS} published runs were not repeated, or not as a whole" in err) == (1, True)
    assert f"0 of {VALUES}" in out


def test_what_is_not_published_is_not_reproduced(again, released):
    path = released / "results" / "some" / "records.jsonl.gz"
    records = [r for r in read_published(path) if r["spec"]["model"]["name"] == "cfm"]
    path.write_bytes(format_published(records))
    code, out, err = again()
    assert (code, "2 published cells" in err) == (0, True)
    named = ", ".join(f"tarflow blocks=[1,1] width=16 on moons, seed {seed}" for seed in (0, 1))
    assert f"2 of {CELLS} declared cells are published; not: {named}, " in out
    path.write_bytes(format_published([r for r in records if r["labels"]["data"] == "pinwheel"]))
    assert again()[0] == 2
    code, _, err = again("--results", released / "results")
    assert (code, "into a folder of its own" in err) == (2, True)
    path.unlink()
    code, _, err = again()
    assert (code, "publishes no some: there is nothing to compare with" in err) == (2, True)


def test_a_sample_without_cells_is_refused(again, monkeypatch):
    monkeypatch.setitem(reproduction.SAMPLES, "some", reproduction.Sample({"moons": "tuned"}, 13, (0, 1)))
    code, _, err = again()
    assert (code, "the sample of some holds no cell" in err) == (2, True)


def raise_the_version(folder):
    path = folder / "results" / "some" / "records.jsonl.gz"
    records = read_published(path)
    for record in (r for r in records if r["spec"]["model"]["name"] == "wcfm"):
        record["spec"]["model"]["version"] += 1
        record["labels"]["run"] = record["labels"]["run"][:-12] + "0" * 12
    path.write_bytes(format_published(records))


def choose_again(folder):
    choose(folder, 2.0)


@pytest.mark.parametrize(("change", "kappa"), [(raise_the_version, 0.5), (choose_again, 2.0)])
def test_published_runs_that_no_cell_declares_any_more_are_a_failure(again, released, change, kappa):
    """A raised version dropped every cell of a method without a word, and the verdict still passed."""
    change(released)
    code, out, err = again()
    assert (code, "2 published runs match no declared cell" in err) == (1, True), err
    lacking = ", ".join(f"wcfm kappa={kappa} on moons, seed {seed}" for seed in (0, 1))
    assert f"{CELLS - 2} of {CELLS} declared cells are published; not: {lacking}" in out


@pytest.mark.parametrize(("table", "kappa"), [("default", "elbow"), ("tuned", 0.5)])
def test_a_sample_has_the_cells_of_a_table_also_where_tuning_kept_the_defaults(made, table, kappa):
    track = suite.load(made / "some.toml")
    cells = reproduction.Sample({"moons": table, "pinwheel": table}, 12, (1,)).cells(track)
    found = {(spec.data["name"], spec.model["name"]): spec.model.get("kappa") for spec in cells}
    assert (found["moons", "wcfm"], found["pinwheel", "wcfm"]) == (kappa, "elbow")
    assert len(cells) == len(found) == CELLS
    assert {spec.seed for spec in cells} == {1}


@pytest.mark.parametrize("name", [*reproduction.SAMPLES])
def test_every_published_cell_of_a_sample_is_still_declared(name):
    found = reproduction._chosen([find(name)], False, FOLDER)
    assert found.specs
    assert not found.changed
    assert not found.unpublished


def test_make_reproduces_the_samples_and_all_tracks_whose_data_needs_no_file():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"-m benchmarks.reproduction {' '.join(reproduction.SAMPLES)} --jobs $(JOBS)\n" in makefile
    (line,) = re.findall(r"benchmarks\.reproduction (.*) --whole", makefile)
    expected = set()
    for path in FOLDER.glob("*/records.jsonl.gz"):
        if not any(" images=" in record["labels"]["data"] for record in read_published(path)):
            expected.add(path.parent.name)
    assert set(line.split()) == expected
