"""Studies: each asks a question, says what it costs, and is run by `make studies`."""

import re
from pathlib import Path

import pytest

from genbench.sweeps.suite import load

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "benchmarks/studies").glob("*.toml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_states_its_question_and_its_cost(path):
    (line,) = re.findall(r"^STUDIES \?= (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(line.split()) == sorted(study.stem for study in STUDIES)
    specs = load(path).specs
    comment = re.match(r"(?:#.*\n)+", path.read_text(encoding="utf-8"))[0]
    assert comment.partition("\n")[0].endswith("?")
    assert re.search(r"\d+ (minutes|hours) on one core", comment)
    seeds = {}
    for spec in specs:
        seeds.setdefault((spec.model_label, spec.data_label, str(spec.plan)), set()).add(spec.seed)
    assert len(min(seeds.values(), key=len)) >= 5
    assert all(min(seeds.values(), key=len) <= own for own in seeds.values())  # any two models are paired over these
