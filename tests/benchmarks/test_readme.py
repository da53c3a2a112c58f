"""The README's leaderboard: its caption and its sentences, against tracks, records and its own table."""

import re
import tomllib
from itertools import product
from statistics import median

import pytest
from helpers.tracks import EXCESS, TRACK, board_of, planted, texts

from benchmarks import readme
from genbench.registry import models
from genbench.report import track_table
from genbench.report.track_cells import Seconds, ShapeSeconds, read_seconds
from genbench.runs.make_spec import make_spec
from genbench.runs.record import read_published
from genbench.suites import FOLDER, find

PAGE = (readme.ROOT / "README.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Leaderboard\n")[2].partition("\n## ")[0]
BASE = "cfm"


def test_the_caption_counts_tasks_and_marks_the_floor(tmp_path, monkeypatch):
    said = readme.caption(board_of(tmp_path, planted()))
    assert (
        "Excess over real data in sliced_w2 divided by cfm's: geometric mean over 2 tasks with uncorrected 95 % "
        "interval. Methods that share a letter are not separated after Holm's correction, even if " in said
    )
    assert said.endswith(" if an interval excludes 1. After 20 steps: 5 seeds, default settings.")
    records = planted()
    for record in records:
        if (record["labels"]["model"], record["labels"]["data"]) == ("cfm", "pinwheel"):
            record["results"] = [row for row in record["results"] if row["nfe"] != 1]
    fewer = board_of(tmp_path / "fewer", records)
    why = "cfm is not clearly above the floor or lacks seeds"
    said = readme.caption(fewer)
    assert "geometric mean over 1 or 2 tasks with " in said
    assert f" interval. The mean leaves out pinwheel (NFE 1), because {why}. " in said
    monkeypatch.setitem(EXCESS, "otcfm", -0.04)
    assert " excludes 1. ° marks the floor. " in readme.caption(board_of(tmp_path / "near", planted()))


def test_a_wide_table_has_seven_columns_with_the_last_regime_once(tmp_path):
    board = board_of(tmp_path, [*planted(), *planted(50)])
    regimes = [f"{steps} steps, {regime}" for regime in ("own sampler", "NFE 1", "NFE 4") for steps in (20, 50)]
    assert [column.title for column in readme.first_table(board).columns] == regimes
    shape = ShapeSeconds(tasks=["moons"], seconds={"cfm": 1.234})
    seconds = Seconds(machine="a machine.", load=0.2, cores=2, shapes=[shape])
    table = readme.first_table(board._replace(seconds=seconds))
    assert [column.title for column in table.columns] == [*regimes[:4], "50 steps, NFE 4", "s / 1,000 steps"]
    assert texts(table, "cfm")[-1] == "1.2"
    every = track_table.across_table(board)
    for rows in (readme.first_table(board).rows, table.rows):
        assert all(row.cells[:4] == other.cells[:4] for row, other in zip(rows, every.rows, strict=True))


def test_methods_without_a_row_are_listed_with_what_the_columns_have_of_them(tmp_path, monkeypatch):
    board = board_of(tmp_path, planted())
    assert readme.not_shown(board) == ""
    assert readme.shown(board, ["Said."]).endswith("settings.")
    monkeypatch.setattr(readme, "METHODS", 3)
    own = readme.not_shown(board)
    assert own == (
        "Rows: cfm, otcfm, wcfm, and the best others by the first column. Not shown (ratios of these columns): "
        f"nsf ({board.heat(20, None).effects.summaries[2].ratio:.2f}, takes 2 NFE, 1.00); vp (no ratio: "
        "4 of 5 seeds); reflow (no ratio: unsupported)."
    )
    assert readme.shown(board, ["Said."], "Last.").endswith(f"settings. Last.\n\n{readme.fill(own)}")
    monkeypatch.setattr(readme, "METHODS", 1)
    for main in (("cfm",), ()):
        monkeypatch.setattr(track_table, "MAIN", main)
        monkeypatch.setattr(readme, "MAIN", main)
        assert readme.not_shown(board).startswith("Rows: cfm, and the best others by the first column. ")
    monkeypatch.setattr(readme, "METHODS", 5)
    assert readme.not_shown(board) == "Not shown: reflow (no ratio: unsupported)."


def test_the_readme_shows_or_lists_every_method_of_the_track():
    records = read_published(FOLDER / readme.TRACK / "records.jsonl.gz")
    models = {place["row"] for record in records for place in record["track"]}
    rows = [line.split("|")[1].strip() for line in SECTION.splitlines() if line.startswith("| ")][3:]
    text = " ".join(SECTION.split())
    listed = text.partition("Not shown (ratios of these columns): ")[2].partition("`genbench")[0]
    left = [model for part in listed.split("; ") for model in part.partition(" (")[0].split(", ")]
    assert len(rows) + len(left) == len(models)
    assert {*rows, *left} == models
    always = text.partition("Rows: ")[2].partition(", and")[0].split(", ")
    assert {*always} <= {row.split()[0] for row in rows}
    assert "meanflow" in always  # a few-step method


def test_the_caption_names_the_settings_of_training_that_are_not_the_baselines(tmp_path):
    own = '{ name = "nsf", plan = { betas = [0.9, 0.95], warmup = 7 } }, { name = "otcfm", plan = { clip = 1.0 } }'
    said = readme.caption(board_of(tmp_path, planted(), track=TRACK.replace('"otcfm", "nsf"', own)))
    assert " nsf trains differently from cfm (betas, warmup)." in said
    assert " otcfm trains differently from cfm (clip)." in said


def test_the_readme_names_the_methods_with_another_recipe_and_what_differs():
    plans = {}
    for record in read_published(FOLDER / readme.TRACK / "records.jsonl.gz"):
        if any("default" in place["tables"] for place in record["track"]) and record["labels"]["data"] == "moons":
            plans[record["track"][0]["row"]] = record["spec"]["plan"]
    rows = {line.split("|")[1].strip() for line in SECTION.splitlines() if line.startswith("| ")}
    found = re.findall(r"\. ([\w= ]+) trains? differently from cfm \(([\w, ]+)\)", " ".join(SECTION.split()))
    told = {model: {*names.split(", ")} for models, names in found for model in models.split(" and ")}
    keys = {"lr", "weight_decay", "betas", "warmup", "lr_min", "clip", "ema", "batch_size", "schedule"}
    differs = {model: {key for key in keys if own.get(key) != plans[BASE].get(key)} for model, own in plans.items()}
    assert told == {model: names for model, names in differs.items() if names and model in rows}
    assert "starflow width=16" in told


def test_the_caption_says_that_columns_with_other_settings_differ_in_more_than_steps(tmp_path):
    (tmp_path / "some.tuned.json").write_text('{"moons": {"wcfm": {}}}')
    track = TRACK.replace("steps = 50, seeds", "steps = 50, tuned = false, seeds")
    for settings, said in (
        (
            "tuned",
            "settings tuned for each method's own sampler; after 50 steps: 5 seeds, default settings, so columns ",
        ),
        ("default", "default settings; after 50 steps: 5 seeds, default settings."),
    ):
        board = board_of(tmp_path, [*planted(), *planted(50)], track=track, settings=settings)
        assert f" After 20 steps: 5 seeds, {said}" in readme.caption(board)


def test_the_caption_states_the_settings_the_seeds_and_the_scale_of_the_track():
    caption = " ".join(SECTION.split())
    track = tomllib.loads(find(readme.TRACK).read_text("utf-8"))
    columns = re.findall(r"fter ([\d,]+) steps: (\d+) seeds, (settings tuned|default settings)", caption)
    stated = [(budget["steps"], len(budget["seeds"]), budget.get("tuned", True)) for budget in track["budgets"]]
    assert [(int(n.replace(",", "")), int(k), word == "settings tuned") for n, k, word in columns] == [
        stated[0],
        stated[-1],
    ]
    assert stated[0][2] != stated[-1][2]
    assert "so columns differ in more than steps" in caption
    timed, rankings = read_seconds(find(readme.TRACK)).first, " ".join(readme.RANKINGS.read_text("utf-8").split())
    assert f" Seconds: default settings, {timed.task}{readme.ONCE}. " in caption
    assert (
        "reflow's pairs, which each training solves anew (in 2D about 1 s), and sdcfm's potentials, found once per "
        "data set (in 2D, [30 to 50 s](couplings.md#what-a-step-costs) would put a first training above the limit)"
    ) in rankings
    pairs = [
        record["provenance"]["training"]["cost"]["pair_seconds"]
        for record in read_published(FOLDER / readme.TRACK / "records.jsonl.gz")
        if record["labels"]["model"].startswith("reflow") and record["labels"]["data"] == "moons"
    ]
    assert 0.5 < median(pairs) < 1.5
    assert 1.5 * 20 * timed.seconds["cfm"] < 30
    dims = {data["dims"] if isinstance(data, dict) else 2 for data in track["datasets"]}
    assert f"plane-v1 has {len(track['datasets'])} tasks: points in 2, 8 and 50 dimensions. " in caption
    assert dims == {2, 8, 50}
    sizes = {}
    for record in read_published(FOLDER / readme.TRACK / "records.jsonl.gz"):
        place = record["labels"]["data"], record["spec"]["plan"]["steps"]
        values = [row["value"] for row in record["results"] if row["metric"] == "parameters"]
        sizes.setdefault(place, set()).update(values)
    assert max(max(own) for own in sizes.values()) < 1_000_000  # small


def test_the_caption_says_which_methods_have_larger_networks_than_the_baseline():
    rows = {line.split("|")[1].strip() for line in SECTION.splitlines() if line.startswith("| ")}
    sizes, ratios = {}, {}
    for record in read_published(FOLDER / readme.TRACK / "records.jsonl.gz"):
        data, steps = record["labels"]["data"], record["spec"]["plan"]["steps"]
        for place, row in product(record["track"], record.get("results", ())):
            shown = {2000: "tuned", 20_000: "default"}.get(steps) in place["tables"]
            if shown and row["metric"] == "parameters" and row["value"] is not None:
                sizes.setdefault((place["row"], data), set()).add(row["value"])
    for (model, data), own in sizes.items():
        (base,) = sizes[BASE, data]
        ratios.setdefault(model, []).extend(size / base for size in own)
    larger = {model: own for model, own in ratios.items() if model in rows and max(own) > 1.05}
    assert [*larger] == ["nsf", "starflow width=16"]
    assert min(map(min, ratios.values())) == 1
    nsf, starflow = (f"{min(own):.2g}-{max(own):.2g}" for own in larger.values())
    assert f"(nsf: {nsf} times cfm's parameters; starflow: {starflow})" in " ".join(SECTION.split())


def test_the_caption_says_which_method_trains_a_teacher(tmp_path):
    names = {model["name"] for model in tomllib.loads(find(readme.TRACK).read_text("utf-8"))["models"]}
    assert {name for name in names if "teacher" in models[name].traits} == {"reflow"}
    spec = make_spec("reflow", "moons", metrics=[], settings={"plan": {"steps": 20}})
    assert spec.prerequisites["teacher"].plan == spec.plan
    for page in (SECTION, readme.RANKINGS.read_text("utf-8").partition("## From one data set to another")[2]):
        assert " reflow first trains a teacher equally long (included)." in " ".join(page.split())
    assert "teacher" not in readme.caption(board_of(tmp_path, planted()))  # reflow has no values there


@pytest.mark.parametrize(("steps", "settings"), [("2,000 steps", "tuned, "), ("20,000 steps", "")])
def test_methods_that_share_no_letter_with_the_baseline_are_said_to_be_separated(steps, settings):
    """The table and the sentences come from one board; a reader compares them by letters and ratios."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in SECTION.splitlines() if line.startswith("|")]
    index = lines[0].index(f"{steps}, {settings}own sampler ↓")
    rows = {row[0]: row[index].split() for row in lines[3:]}
    page = readme.RANKINGS.read_text("utf-8").partition("## Separated methods\n")[2].partition("\n## ")[0]
    said = " ".join(page.partition(f"- **{steps}")[2].partition("\n- **")[0].split())
    (sides,) = re.findall(r"Separated from cfm across tasks: ([^.]*)\.", said)
    apart = {model for model, (*_, letters) in rows.items() if not {*letters} & {*rows[BASE][-1]}}
    for model in rows:
        named = re.search(rf"(?<!\w){re.escape(model)}(?![\w-])[^;]* (?:is|are) (better|worse)", sides)
        assert (named is not None) == (model in apart)
        if named:
            assert named[1] == ("better" if float(rows[model][0]) < 1 else "worse")
