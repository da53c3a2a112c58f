"""Values: rows that are wrong or contradict each other are refused."""

import pandas as pd
import pytest
from reports import cells_of, comparison_table, row

from genbench.errors import ConfigError
from genbench.report.tables import comparison_tables


def test_two_values_for_one_cell_and_seed_are_refused():
    rows = [row("cfm", 0, 1.0), row("cfm", 0, 2.0, run="cfm-long", solver="euler")]
    with pytest.raises(ConfigError, match=r"cfm on moons has 2 values of w2 for seed 0 \(runs cfm-0, cfm-long\)"):
        comparison_table(rows)
    repeated = comparison_table([row("cfm", 0, 1.0)] * 2)
    assert cells_of(repeated, "cfm")[0].seeds == 1


def test_a_frame_without_a_column_is_refused():
    with pytest.raises(ConfigError, match="the frame of values lacks the columns floor, better"):
        comparison_tables(pd.DataFrame([row("cfm", 0, 1.0)]).drop(columns=["floor", "better"]))
