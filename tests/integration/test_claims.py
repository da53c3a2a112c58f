"""results/claims.md: published numbers and ours, and what other pages say about them."""

import re
from collections import Counter

from helpers.published import RESULTS, halved, says, values


def test_the_page_of_published_numbers_has_the_stated_verdicts():
    repeated = (RESULTS / "claims.md").read_text("utf-8").partition("# Do repeated numbers agree?")[2]
    verdicts = Counter(re.findall(r"\| (agrees|differs|inconclusive|not measured) \|$", repeated, re.M))
    assert verdicts == {"agrees": 5, "inconclusive": 2, "not measured": 4}
    assert len(re.findall(r"^\| .*\| inconclusive \|$", repeated.partition("## DSBM")[2], re.M)) == 2
    findings = (RESULTS / "findings.md").read_text("utf-8")
    said = "5 of 11 comparable numbers agree, 2 are inconclusive, 4 are not measured, 0 differ"
    assert all(said in text for text in (repeated, findings))
    said = " with ours: 5 agree, 2 are inconclusive and 4 are not measured"
    assert re.search(rf"\nWe can compare 11 published numbers .*{said}\n", (RESULTS / "papers.md").read_text("utf-8"))


def test_with_five_seeds_two_values_of_tong_et_al_were_inconclusive():
    """A value agrees with the published one in claims.md if difference + half-width is at most the tolerance there."""
    page = (
        (RESULTS / "claims.md").read_text("utf-8").split("## Tong et al., TMLR 2024, Table 2, npe")[-1].split("##")[0]
    )
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    stated = {cells[0]: (float(cells[1]), float(cells[4])) for cells in lines if cells[0] != "value"}
    models = {"OT-CFM": "otcfm *", "I-CFM": "cfm *", "2-RF": "reflow *"}
    agree = {}
    for name, (published, tolerance) in stated.items():
        model, task = name.split(", ")
        found = values("tong", "8gaussians*" if task.startswith("N ") else "moons-8gaussians*", models[model], "npe")
        for count in (5, len(found)):
            middle, half = halved([found[seed] for seed in range(count)])
            agree.setdefault(name, []).append(abs(middle - published) + half <= tolerance)
    assert all(own[-1] for own in agree.values())
    assert {name for name, own in agree.items() if not own[0]} == {"I-CFM, N to 8gaussians", "2-RF, N to 8gaussians"}
    said = "CFM and reflow have 20 seeds: with the first five of them, two of the five values are inconclusive"
    assert len(agree) == 5
    said_there = "with these five, two of the five numbers that agree are inconclusive."
    assert says("claims.md", said_there)
    assert says("findings.md", said)
