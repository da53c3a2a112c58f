"""The list of suites in results/README.md has the steps, seeds, methods and tuning of the records and suite files."""

import re
import tomllib

import pytest
from helpers.published import RESULTS, records, says

TOML = RESULTS.parent / "genbench" / "suites"
SUITES = {
    name: [cell.strip() for cell in cells.split("|")]
    for name, cells in re.findall(
        r"^\| \[([\w-]+)\]\(.*?\) \|(.*)\|$", (RESULTS / "README.md").read_text("utf-8"), re.M
    )
}
"""{suite: question, data, steps and seeds} of the table in results/README.md."""


@pytest.mark.parametrize("suite", sorted(SUITES.keys() - {"cifar10-v1"}))
def test_a_suite_is_listed_with_the_steps_and_seeds_of_its_records(suite):
    steps, seeds = {record["spec"]["plan"]["steps"] for record in records(suite)} - {0}, {}
    for record in records(suite):
        cell = record["labels"]["model"], record["labels"]["data"], record["spec"]["plan"]["steps"]
        seeds.setdefault(cell, set()).add(record["spec"]["seed"])
    of_steps, of_seeds = SUITES[suite][2].partition(" (")[0].replace(",", ""), SUITES[suite][3]
    for said, found in ((of_steps, steps), (of_seeds, {len(own) for own in seeds.values()})):
        ends = {min(found), max(found)} if re.search(r"\d to \d", said) else found
        assert {int(number) for number in re.findall(r"\d+", said)} == ends
    each = [[int(number) for number in re.findall(r"\d+", said)] for said in (of_steps, of_seeds.partition(" (")[0])]
    if len(each[1]) > 1:  # the seeds of each number of steps, in this order
        for length, count in zip(*each, strict=True):
            assert count in {len(own) for (_, _, at), own in seeds.items() if at == length}


@pytest.mark.parametrize(
    ("track", "count"), [("plane-v1", 13), ("digits-v1", 13), ("latents-v1", 7), ("cifar10-v1", 9)]
)
def test_a_track_is_listed_with_the_count_of_its_methods(track, count):
    methods = {model["name"] for model in tomllib.loads((TOML / f"{track}.toml").read_text("utf-8"))["models"]}
    assert len(methods - {"gaussian"}) == count
    spelled = {7: "seven", 9: "nine"}.get(count, count)
    assert SUITES[track][0].startswith(f"track: {spelled} methods")


def test_tracks_are_listed_by_their_tuning():
    trials, tuned = {}, set()
    for path in TOML.glob("*-v1.toml"):
        trials[path.stem] = any("trials" in model for model in tomllib.loads(path.read_text("utf-8"))["models"])
        tuned |= {path.stem} if path.with_suffix(".tuned.json").exists() else set()
    assert tuned == {"plane-v1", "transport-v1", "digits-v1"}
    assert {track for track, some in trials.items() if some and track not in tuned} == {"cifar10-v1"}
    assert {track for track, some in trials.items() if not some} == {"maps-v1", "latents-v1"}
    said = "plane-v1, transport-v1 and digits-v1 are tuned. cifar10-v1 lists trials that have not run; maps-v1 and "
    assert says("README.md", f"{said}latents-v1 list none.")


def test_methods_that_plane_v1_lacks_are_listed_with_a_suite_that_measures_them():
    table = tomllib.loads((TOML.parent / "components.toml").read_text("utf-8"))["models"]
    text = (RESULTS / "README.md").read_text("utf-8").partition("These registered methods have no row in plane-v1:")[2]
    said, known = {}, {}
    for names, suites in re.findall(r"([^()]+)\((?:measured )?(?:in )?([^()]+)\)", text.partition("\n\n")[0]):
        said |= {name: suites.split(", ") for name in re.findall(r"`([\w-]+)`", names)}
    for path in RESULTS.glob("*/records.jsonl.gz"):
        for record in records(path.parent.name):
            known.setdefault(record["labels"]["model"].split()[0], set()).add(path.parent.name)
    registered = {name for own in table.values() for name in own}
    assert said.keys() == {name for name in registered if "plane-v1" not in known.get(name, ())}
    for name, suites in said.items():
        assert name not in known if suites == ["no suite"] else {*suites} <= known[name]


def test_tracks_without_results_are_listed_as_such():
    tracks = {path.stem for path in TOML.glob("*-v1.toml")}
    without = {track for track in tracks if not (RESULTS / track / "records.jsonl.gz").exists()}
    assert {track for track in tracks if "no results yet" in SUITES[track]} == without
