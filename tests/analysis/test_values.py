"""Values: rows that are wrong or contradict each other are refused."""

import pytest
from helpers.reports import row

from genbench.analysis.values import check_unique
from genbench.errors import ConfigError


def test_two_values_for_one_cell_and_seed_are_refused():
    rows = [row("cfm", 0, 1.0), row("cfm", 0, 2.0, run="cfm-long", solver="euler")]
    with pytest.raises(ConfigError, match=r"cfm on moons has 2 values of w2 for seed 0 \(runs cfm-0, cfm-long\)"):
        check_unique(rows)
