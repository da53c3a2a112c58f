"""Results that commands have kept: reports, and what Python loads."""

from helpers.command_line import genbench


def test_report_writes_its_tables(kept):
    results, _, _ = kept
    done = genbench("report", results, "--full")
    assert "sliced_w2" in done.stdout
    for ending in ("md", "csv"):
        assert (results / f"REPORT.{ending}").stat().st_size > 100


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
