"""CSV: full precision."""

import io

import numpy as np
import pandas as pd
import pytest
from reports import curve_rows, refusal, three_seeds
from scipy import stats

from genbench.report.formats import csv
from genbench.report.values import Failure


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
