"""Tables of claims and plans: verdicts in words, every spread that is assumed is stated once."""

from genbench.analysis.claims import audits, options, read
from genbench.report.claims_table import claims_tables, plan_table, seeds_text, summary, verdict_text


def test_every_pair_has_a_row_and_every_spread_is_stated():
    known = read()
    judged = list(audits(known))
    *studies, spreads = claims_tables(judged, known)
    assert sum(len(table.rows) for table in studies) == len(judged)
    assert [row.label for row in spreads.rows] == ["fid"]
    assert "FID Lottery" in spreads.legend[0]
    assert all(study.url in table.legend[0] for study, table in zip(known.studies, studies, strict=True))
    assert summary(judged).startswith(f"{len(judged)} published differences: ")
    words = {audit.one.label: verdict_text(audit) for audit in judged}
    assert words["OT-CFM, adaptive"].startswith("inconclusive, needs ")
    assert (words["iMF XL"], words["TARFlow"]) == ("resolved", "unknown spread")
    assert seeds_text((9, 4, 20)) == "9 (4 to 20)"
    found = options(0.015, known.spreads["fid"], [5000, 50000], known.costs)
    table = plan_table("t", found, known.spreads["fid"], known.costs)
    assert [(row.label, len(row.cells)) for row in table.rows] == [("5,000", 2), ("50,000", 2)]
    assert any("not measured" in line for line in table.legend)
