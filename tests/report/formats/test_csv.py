"""CSV: full precision."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from helpers.reports import curve_rows, refusal, three_seeds
from scipy import stats

from genbench.analysis.labels import unguarded
from genbench.analysis.values import Failure
from genbench.report.formats import csv


def test_csv_has_every_number_in_full_precision():
    draws = np.random.default_rng(1).normal(size=3)
    rows = [*three_seeds(cfm=list(draws)), *(refusal("flow", s, "no, never") for s in range(3)), *curve_rows()[6:]]
    read = pd.read_csv(io.StringIO(csv.table(rows, [Failure("vp", "moons", 0, "NaN")])))
    main = read[(read["model"] == "cfm") & (read["point"] == "main")].iloc[0]
    assert main["value"] == pytest.approx(draws.mean(), rel=1e-15)
    assert main["standard_error"] == pytest.approx(stats.sem(draws), rel=1e-14)
    assert (main["seeds"], main["floor"], main["n"]) == (3, 0.24, 2048)
    assert read[read["model"] == "flow"].iloc[0]["reason"] == "no, never"
    assert sorted(read[read["point"] == "curve"]["nfe"]) == [1, 2, 16]
    assert read[read["model"] == "vp"].iloc[0]["failed_runs"] == 1


def test_no_text_is_a_formula_and_numbers_stay_numbers():
    label = "=HYPERLINK(1) sigma=-1"
    rows = [*three_seeds(**{label: [-1.0, -2.0, -3.0]}), *(refusal("@flow", s, "-1+1") for s in range(3))]
    cells = [line.split(",") for line in csv.table(rows).splitlines()[1:]]
    assert not [cell for line in cells for cell in line if re.match(r"[=+@]|-[^\d.]", cell)]
    read = pd.read_csv(io.StringIO(csv.table(rows)))
    assert read["model"].tolist() == [f"'{label}", "'@flow"]
    assert read["value"].iloc[0] == -2.0
    assert [unguarded(model) for model in read["model"]] == [label, "@flow"]
    assert read["reason"].iloc[1] == "'-1+1"


def test_texts_have_no_control_characters_and_one_line():
    text = csv.table([*three_seeds(**{"a\x1b[31m\nb\u202e": [1.0, 2.0]}), refusal("c", 0, "\r=1+1\0")])
    assert len(text.splitlines()) == 3
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", text)
    assert pd.read_csv(io.StringIO(text))["model"].tolist() == ["a b", "c"]
