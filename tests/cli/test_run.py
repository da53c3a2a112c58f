"""run: what is trained, kept and printed, and errors of the user's own code."""

import json

import pytest
from helpers.command_line import METRICS, TINY, genbench


def test_json_is_the_record_alone_and_progress_goes_to_stderr(kept):
    _, record, done = kept
    assert set(record) == {"labels", "spec", "results", "provenance"}
    assert "step 30 of 30" in done.stderr
    assert {row["metric"] for row in record["results"]} == {"sliced_w2", "nfe"}
    curve = [row for row in record["results"] if row["point"] == "curve"]
    assert [(row["metric"], row["nfe"]) for row in curve] == [("sliced_w2", 1.0), ("sliced_w2", 4.0)]


def test_a_second_run_trains_nothing_and_prints_the_same_record(kept):
    results, record, _ = kept
    done = genbench("run", "--model", "cfm", "--dataset", "moons", *TINY, *METRICS, "--results", results, "--json")
    assert json.loads(done.stdout) == record
    assert "step" not in done.stderr


def test_guided_samples_have_no_likelihood_of_the_unguided_model(tmp_path):
    arguments = ["--set", "model.conditional=true", "--set", "sample.guidance=1", "--metric", "sliced_w2", *TINY]
    done = genbench(
        "run", "--model", "cfm", "--dataset", "moons", *arguments, "--metric", "nll", "--json", "--results", tmp_path
    )
    rows = {(row["metric"], row["point"], row["nfe"]): row for row in json.loads(done.stdout)["results"]}
    assert "guidance" in rows["nll", "main", None]["reason"]
    assert "do not divide" in rows["sliced_w2", "curve", 1.0]["reason"]
    assert rows["sliced_w2", "curve", 4.0]["value"] > 0


BROKEN = """
from genbench.registry import models
from genbench.testing.toys import AffineFlow
class Broken(AffineFlow):
    "Broken."
    def loss(self, example):
        return {BODY}
@models.register("broken")
def broken(event, source) -> Broken:
    "Broken."
    return Broken(event, source)
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("1 // 0", "broken.py:7, in loss: ZeroDivisionError: integer division or modulo by zero"),
        ("None", "Error: "),
    ],
)
def test_an_error_of_the_users_own_code_is_told_as_theirs(inside, tmp_path, body, message):
    (tmp_path / "broken.py").write_text(BROKEN.replace("{BODY}", body))
    code, err = inside("run", "--model", "broken.py", "--dataset", "moons", *TINY, "--metric", "norm", "-q")
    assert code == 1
    assert message in err
    assert "(genbench check FILE.py tests your broken)" in err
    assert "this is a bug" not in err


@pytest.mark.parametrize("line", ["import sys; sys.exit(0)", "raise SystemExit"])
def test_a_file_that_ends_the_program_is_refused(inside, tmp_path, line):
    (tmp_path / "ends.py").write_text(line)
    code, err = inside("run", "--model", "ends.py", "--dataset", "moons")
    assert code == 2
    assert "ends.py cannot be loaded: SystemExit" in err
