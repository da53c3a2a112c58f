"""The tables that studies copy from records: every mean and every interval, to the digits shown."""

import re

import pytest
from helpers.published import RESULTS, halved, values

MEAN_AND_HALF = re.compile(r"\**(-?\d[\d.]*)(?: ± (\d[\d.]*))?")
NAMES = {
    "reflow": "reflow start=anew",
    "otcfm, entropic plan (reg 2)": "otcfm plan=sinkhorn reg=2.0",
    "eotcfm, pool of 4": "eotcfm pool=4",
    "eotcfm, pool of 4, unbalanced (penalty 10)": "eotcfm penalty=10.0 pool=4",
    "otcfm, pool of 4": "otcfm pool=4",
    "otcfm, pool of 8": "otcfm pool=8",
    "otcfm, weight 0 (plain)": "otcfm mismatch=0.0",
    "otcfm, weight 3": "otcfm mismatch=3.0",
    "otcfm, weight by rule (C2OT)": "otcfm",
    "meanflow, improved": "meanflow improved=true",
    "meanflow on W-CFM pairs": "meanflow coupling=gibbs(kappa=1.0)",
}
METRICS = {
    "path energy": "path_energy",
    "NPE": "npe",
    "transport": "npe.transport",
    "tilt of source": "tilt.source",
    "tilt of data": "tilt.data",
    "NFE, dopri5": "nfe",
    "effective share of pairs": "tilt.ess",
    "copies": "memorization",
    "median distance to training images": "memorization.ratio",
    "joint W2": "w2",
    "straightness": "straightness",
}
PAGES = {
    "couplings": ("couplings", {"8gaussians": "8gaussians", "From": "8gaussians-moons"}, "w2", 224),
    "couplings_dims": ("couplings-dims", {"8 d": "mixture dims=8 *", "50 d": "mixture dims=50 *"}, "sliced_w2", 200),
    "couplings_digits": ("couplings-digits", {"": "digits"}, "fd-digits_cnn", 80),
    "couplings_claims": ("conditions", {"": "branches"}, "conditional_w2", 36),
    "few_steps": ("few-steps", {"8gaussians": "8gaussians", "moons": "moons"}, "w2", 262),
}
"""{page: suite, {start of a heading or of a line before a table: data}, metric of a column of NFE, least cells}."""


def label(name):
    """Return the label of a model of a page."""
    name = NAMES.get(name, name).replace(" on OT pairs", " coupling=ot")
    name = name.replace(" on semidiscrete pairs", " coupling=semidiscrete").replace(" entropy ", " entropy=")
    found = re.fullmatch(r"(\S+?),? \(?kappa ([\d.]+)\)?", name)
    return f"{found[1]} kappa={float(found[2])}" if found else name


def cells(page, places):
    """Return (data, row, heading, cell) of each number in the tables of a page whose rows are models."""
    data, heads = places.get(""), []
    for line in page.splitlines():
        texts = [text.strip() for text in line.strip("|").split("|")]
        if not line.startswith("|"):
            start = next((own for start, own in places.items() if start and line.lstrip("# ").startswith(start)), None)
            data, heads = start or data, []
        elif not heads:
            heads = texts
        elif heads[0] == "model" and data:
            row = dict(zip(heads, texts, strict=True))
            for head in heads[1:]:
                if head != "steps" and (number := MEAN_AND_HALF.match(row[head])):
                    yield data, row, head, number


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_of_a_page_are_those_of_the_records(page):
    suite, places, metric, least = PAGES[page]
    text, count, wrong = (RESULTS / f"{page}.md").read_text("utf-8"), 0, []
    text = text.partition("## What the tilt costs")[0].partition("## Drifting")[0]
    for data, row, head, number in cells(text, places):
        model = label(row["model"])
        if suite == "couplings-dims":
            model = model.replace(" ", " net=mlp(width=128) ", 1) if " " in model else f"{model} net=mlp(width=128)"
        elif suite == "couplings-digits":
            model = model.replace("start=anew", "start=anew pairs=10000")
        plan = {"steps": int(row["steps"].replace(",", ""))} if "steps" in row else {}
        nfe = int(head[4:]) if re.fullmatch(r"NFE \d+", head) else None
        found = values(suite, data, model, METRICS.get(head, metric), nfe, **plan)
        for stated, own in zip(number.groups(), halved([*found.values()]), strict=True):
            digits = len(stated.partition(".")[2]) if stated else 0
            if stated and abs(own - float(stated)) > 0.5001 * 10**-digits:
                wrong.append((data, row["model"], head, stated, float(own)))
        count += 1
    assert count >= least
    assert not wrong
