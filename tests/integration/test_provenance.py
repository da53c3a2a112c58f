"""Where published records come from, and which test results were known before the trials of a track were listed."""

from collections import Counter
from statistics import mean

from helpers.published import RESULTS, defaults, records, values

PROVENANCE = " ".join((RESULTS / "provenance.md").read_text("utf-8").split())
TRACKS = "plane-v1", "transport-v1"


def test_provenance_counts_the_records_that_were_trained_with_uncommitted_changes():
    found, commits = {}, Counter()
    for track in TRACKS:
        dirty = [record for record in records(track) if record["provenance"]["training"]["code"].get("dirty")]
        commits.update((r["provenance"]["training"]["code"]["commit"][:7], r["spec"]["plan"]["steps"]) for r in dirty)
        found[track] = f"{len(dirty)} of {len(records(track)):,} records of `{track}`"
    assert " and ".join(found.values()) in PROVENANCE
    assert commits == {("755c81b", 2000): 470, ("60cc367", 5000): 360}
    for (commit, steps), number in commits.items():
        assert f"{number} of these have {steps:,} steps and name commit {commit}" in PROVENANCE
    others = {folder.parent.name for folder in RESULTS.glob("*/records.jsonl.gz")} - found.keys()
    assert not [own for own in others for r in records(own) if r["provenance"]["training"].get("code", {}).get("dirty")]


def any_value(record):
    return any(row["value"] is not None for row in record["results"])


def test_provenance_counts_the_machines_and_the_trainings_without_one():
    machines, without = Counter(), {}
    for path in RESULTS.glob("*/records.jsonl.gz"):
        suite = path.parent.name
        trained = [record for record in records(suite) if not suite.endswith("-v1") or any_value(record)]
        trainings = [record["provenance"]["training"] for record in trained]
        known = [own for own in trainings if "processor" in own["machine"] and "commit" in own["code"]]
        assert {own["machine"]["cores"] for own in known} <= {2}
        if len(known) < len(trainings):
            without[suite] = len(trainings) - len(known), len(trainings)
        machines.update(own["machine"]["processor"].split("(")[0] for own in known)
    long = Counter(
        record["provenance"]["training"]["machine"]["processor"].split("(")[0]
        for record in records("plane-v1")
        if record["spec"]["plan"]["steps"] == 20_000 and record["provenance"]["training"]["machine"]
    )
    assert machines.keys() == {"AMD EPYC", "Intel"}
    assert f"(plane-v1 after 20,000 steps: {long['AMD EPYC']} and {long['Intel']} records)" in PROVENANCE
    every = [f"`{suite}`" for suite, (lack, all_of) in sorted(without.items()) if lack == all_of]
    assert f"All records of {', '.join(every[:-1])} and {every[-1]}," in PROVENANCE
    some = [f"{lack} of {all_of} of `{suite}`" for suite, (lack, all_of) in sorted(without.items()) if lack < all_of]
    assert f"{' and '.join(reversed(some))} lack the machine and the commit" in PROVENANCE


def test_only_two_tracks_start_the_student_of_reflow_from_its_teacher_and_not_with_tuned_settings_on_tori():
    found = {}
    for path in RESULTS.glob("*/records.jsonl.gz"):
        suite = path.parent.name
        for record in records(suite):
            if record["spec"]["model"]["name"] == "reflow":
                found.setdefault(record["spec"]["model"]["start"], []).append((suite, record))
    assert {suite for suite, _ in found["teacher"]} == {*TRACKS}
    anew = [record for suite, record in found["anew"] if suite in TRACKS]
    assert {record["labels"]["data"] for record in anew} == {"tori"}
    assert not any(place["tables"] != ["tuned"] for record in anew for place in record["track"])
    assert {suite for suite, _ in found["anew"] if suite.endswith("-v1")} == {"digits-v1", "transport-v1"}
    assert "from scratch in `digits-v1` and in the studies (`model.start=anew`)." in PROVENANCE
    assert "only with tuned settings on `tori` does it start anew." in PROVENANCE


def test_on_digits_test_results_of_second_trials_were_known():
    """The tuned runs of OT-CFM have exactly the values of the study."""
    fd, study = ("digits", "fd-digits_cnn"), "couplings-digits"

    def fds(suite, model, **settings):
        return values(suite, fd[0], model, fd[1], **settings)

    own, other = (fds(study, model) for model in ("otcfm pool=8", "otcfm"))
    assert own == fds("digits-v1", "otcfm", table="tuned")
    assert other == fds("digits-v1", "otcfm")
    page = " ".join((RESULTS.parent / "docs" / "tables.md").read_text("utf-8").split())
    assert f"({mean(own.values()):.1f} vs. {mean(other.values()):.1f}), on the same seeds and test data." in page
    second = []
    for model in ("wcfm", "wcfm-balanced"):
        pair = fds(study, f"{model} kappa=0.0902"), fds("digits-v1", model)
        assert mean(pair[0].values()) > mean(pair[1].values())
        second.append(" vs. ".join(f"{mean(found.values()):.1f}" for found in pair))
    assert f"than the kappa of the rule in `digits-v1` ({' and '.join(second)})." in page
    kappas = {r["spec"]["model"]["kappa"] for r in defaults("digits-v1") if r["spec"]["model"]["name"] == "wcfm"}
    assert kappas == {"elbow"}


def test_the_faq_names_the_archive_of_every_published_run_on_cifar10():
    (sha256,) = {
        label.partition(" images=")[2]
        for path in RESULTS.glob("*/records.jsonl.gz")
        for record in records(path.parent.name)
        if (label := record["labels"]["data"]).startswith("cifar10")
    }
    faq = " ".join((RESULTS.parent / "docs/faq.md").read_text("utf-8").split())
    assert f"begins with {sha256} " in faq
    assert "Each published run on CIFAR-10 used it;" in faq
    for page in ("image_metrics", "calibration"):
        assert sha256 not in (RESULTS / f"{page}.md").read_text("utf-8")
