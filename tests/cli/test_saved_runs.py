"""Saved runs are listed, and shown with what is needed to look at them and to repeat them."""

import json
import shlex
import shutil

from helpers.command_line import begin, genbench


def test_a_run_is_found_by_the_beginning_of_its_name_and_its_command_repeats_it(kept):
    results, record, _ = kept
    place = ("--results", results)
    printed = genbench("show", "cfm-moons", *place).stdout
    assert "sliced_w2" in printed
    assert "By number of evaluations" in printed
    assert f"picture: {results}/runs/{record['labels']['run']}/{record['labels']['evaluation']}/samples.png" in printed
    (line,) = (line for line in printed.splitlines() if line.startswith("repeat: genbench run"))
    repeated = genbench(*shlex.split(line)[2:], "--json")
    assert json.loads(repeated.stdout) == record
    assert "already done" in repeated.stderr
    assert json.loads(genbench("show", record["labels"]["run"], "--json", *place).stdout) == record


def test_runs_are_listed_with_their_values(kept):
    results, record, _ = kept
    (listed,) = json.loads(genbench("list", "runs", "--results", results, "--json").stdout)
    (value,) = (
        row["value"] for row in record["results"] if (row["metric"], row["point"]) == (listed["metric"], "main")
    )
    assert (listed["run"], listed["value"]) == (record["labels"]["run"], value)
    assert record["labels"]["run"] in genbench("list", "runs", "--results", results).stdout


def test_a_component_comes_before_a_run_and_has_nothing_to_open(kept):
    results, _, _ = kept
    assert "model, version" in genbench("show", "cfm", "--results", results).stdout
    assert "--open is for a run" in begin("show", "cfm", "--open").stderr


def test_a_beginning_of_several_names_is_refused(kept):
    results, record, _ = kept
    folder = results / "runs" / record["labels"]["run"]
    other = folder.with_name("cfm-moons-1-000000000000")
    other.mkdir()
    assert begin("show", "cfm-m", "--results", results).code == 0  # nothing was measured there
    shutil.copytree(folder, other, dirs_exist_ok=True)
    done = begin("show", "cfm-m", "--results", results)
    assert done.code == 2
    assert "2 runs begin with cfm-m" in done.stderr
