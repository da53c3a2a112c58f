import json

import pandas as pd
import pytest
import yaml


@pytest.fixture
def rows(swept, cli):
    return json.loads(cli("leaderboard", "--results", swept[1], "--json")[1])["rows"]


@pytest.mark.parametrize(("suffix", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_a_table_has_the_rows_of_the_leaderboard(swept, tmp_path, cli, rows, suffix, read):
    path = tmp_path / f"board.{suffix}"
    code, _, err = cli("leaderboard", "--results", swept[1], "--export", path)
    assert code == 0
    assert str(path) in err
    table = read(path)
    assert list(table["mean"]) == pytest.approx([row["mean"] for row in rows])
    assert list(table["method"]) == [row["method"] for row in rows]


def test_the_hub_reads_the_results_of_each_method(swept, tmp_path, cli, rows):
    hub = pytest.importorskip("huggingface_hub")
    if not hasattr(hub, "parse_eval_result_entries"):
        pytest.skip("this huggingface_hub reads no evaluation results")
    cli("leaderboard", "--results", swept[1], "--export", tmp_path / "board.yaml")
    for row in rows:
        data = yaml.safe_load((tmp_path / f"board-{row['method']}.yaml").read_text())
        (entry,) = hub.parse_eval_result_entries(data)
        assert (entry.dataset_id, entry.task_id) == (f"genbench/{row['data']}", row["metric"])
        assert entry.value == row["mean"]


def test_another_suffix_is_refused(swept, tmp_path, cli):
    code, _, err = cli("leaderboard", "--results", swept[1], "--export", tmp_path / "board.xlsx")
    assert code == 2
    assert ".parquet" in err
