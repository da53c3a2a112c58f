"""Results that commands have kept: reports, and what Python loads."""

import pytest
from helpers.command_line import genbench


def test_report_writes_its_tables(kept):
    results, _, _ = kept
    done = genbench("report", "--results", results, "--full")
    assert "sliced_w2" in done.stdout
    assert (results / "report.html").stat().st_size > 1000
    assert not (results / "report.md").exists()
    genbench("report", "--results", results, "--html", results.parent / "page.html", "--markdown", "--latex", "--csv")
    for ending in ("html", "md", "tex", "csv"):
        assert (results.parent / f"page.{ending}").stat().st_size > 100


def test_python_loads_what_the_command_line_kept(kept):
    import genbench as package

    results, record, _ = kept
    model = package.load(results, record["labels"]["run"])
    import torch

    from genbench.metrics.sampling import noise

    with torch.no_grad():
        x = model.sample(noise(model.source, 5, 0)).x
    assert x.shape == (5, 2)
    assert set(package.table(results)["metric"]) >= {"sliced_w2", "nfe"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "--results", ".", "--html", "report.md"], "name a file that ends with .html"),
        (["leaderboard", "--results", ".", "--csv", "--json"], "choose one"),
    ],
)
def test_outputs_that_exclude_each_other_are_refused(inside, words, message):
    code, err = inside(*words)
    assert code == 2
    assert message in err
