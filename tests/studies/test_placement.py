import numpy as np

from genbench.analysis.suite_results import load_suites
from genbench.metrics.extractors.inception import TORCHSCRIPT
from genbench.metrics.extractors.resize import TENSORFLOW
from genbench.metrics.image.real_images import MAX_REAL
from genbench.registry import datasets
from genbench.runs.component import component
from genbench.runs.record import without_folder
from genbench.runs.spec import build_data
from genbench.runs.store import Store
from genbench.studies.placement import place_among_published
from genbench.studies.published import Claim, read_claims

FID = dict(paper="Paper", url="https://example.org", grade="A", metric="fid-legacy", difference="-", incomparable="-")


def row(metric="fid-legacy", value=5.0, n=50_000, **more):
    return {"metric": metric, "value": value, "better": "lower", "n": n, "protocol": "p", "floor": None} | more


def labels(table):
    return [item.label.strip() for item in table.rows[1:]]


def test_papers_of_the_same_protocol_stand_in_order_and_others_apart():
    def claim(label, value, ours=""):
        return Claim(**FID, label=label, value=value, protocol="50,000 samples", ours=ours, data="cifar10 valid=0")

    claims = [claim("worse", 7.0, "p"), claim("better", 3.0, "p"), claim("of test images", 1.0, "q"), claim("x", 9.0)]
    same, others = place_among_published([row()], {"fid-legacy": 0.1}, {"name": "cifar10"}, [], claims)
    assert labels(same) == ["better", "these samples", "worse"]
    assert labels(others) == ["of test images", "x"]
    assert "not to be compared" in others.title
    same, _ = place_among_published([row()], {}, {"name": "cifar10", "path": "others.tar"}, [], claims)
    assert labels(same) == ["these samples"]


def test_the_published_fid_of_cifar10_is_under_the_protocol_that_our_metric_states():
    images = f"{MAX_REAL} train images"
    ours = f"inception-legacy {TORCHSCRIPT.sha256[:8]}, resize {TENSORFLOW.name}, n={MAX_REAL} against {images}"
    assert {claim.paper for claim in read_claims() if claim.ours == ours} == {"Tong et al., TMLR 2024, Table 5"}
    same, *_ = place_among_published([row(protocol=ours)], {}, {"name": "cifar10"}, [], read_claims())
    assert labels(same)[:2] == ["OT-CFM, adaptive", "I-CFM, adaptive"]
    assert labels(same)[-1] == "these samples"


def test_other_data_and_other_metrics_are_not_shown():
    claims = [Claim(**FID, label="x", value=1.0, protocol="50,000 samples", data="mnist")]
    (table,) = place_among_published([row(floor=0.5)], {}, {"name": "cifar10"}, [], claims)
    assert labels(table) == ["floor: real data", "these samples"]
    assert "No published value has this protocol: fid-legacy." in table.legend


def test_a_metric_without_a_value_is_a_dash_with_its_reason(tmp_path, cli):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 17, (64, 1, 8, 8), np.uint8))
    (tmp_path / "r").mkdir()
    asked = ["eval", tmp_path / "x.npy", "--dataset", "digits", "--metric", "fid-legacy", "--results", tmp_path / "r"]
    code, alone, _ = cli(*asked)
    assert code == 0
    said = [line for line in alone.splitlines() if line.startswith("fid-legacy")]
    assert len(said) == 2
    code, out, _ = cli(*asked, "--beside", "published")
    assert code == 0
    assert [" ".join(line.split()) for line in said] == [
        " ".join(line.split()) for line in out.splitlines() if line.startswith("fid-legacy")
    ]


def test_suites_of_the_same_protocol_and_data_are_the_same(swept):
    suites = load_suites(Store(swept[1]), ["tiny"])
    record = suites[0].records[0]
    kept = next(r for r in record["results"] if r["metric"] == "sliced_w2" and r["point"] == "main")
    same, *_ = place_among_published([{**kept, "value": 0.0}], {}, record["spec"]["data"], suites, [])
    assert labels(same)[1] == "these samples"
    assert set(labels(same)[2:]) >= {"cfm", "wcfm kappa=0.5"}
    _, others = place_among_published([{**kept, "n": 63}], {}, record["spec"]["data"], suites, [])
    assert {"cfm", "wcfm kappa=0.5"} <= set(labels(others))


def test_a_suite_on_a_path_is_beside_the_same_file_in_any_folder(swept, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    paths = [tmp_path / "x.npy", tmp_path / "elsewhere" / "x.npy"]
    for seed, path in enumerate(paths):
        np.save(path, np.random.default_rng(seed).normal(size=(99, 2)))
    here, other = (component(datasets, "points", {"path": str(path)}) for path in paths)
    suites = load_suites(Store(swept[1]), ["tiny"])
    for record in suites[0].records:
        record["spec"]["data"] = without_folder(here)
        record["provenance"]["data"] = build_data(here).provenance
    kept = next(r for r in suites[0].records[0]["results"] if r["metric"] == "sliced_w2" and r["point"] == "main")
    for data, alike in ((here, True), (other, False)):
        same, *_ = place_among_published([kept], {}, data, suites, [])
        assert ("cfm" in labels(same)) == alike


def test_the_bias_that_a_value_states_is_part_of_its_protocol(swept):
    suites = load_suites(Store(swept[1]), ["tiny"])
    record = suites[0].records[0]
    rows = [r for each in suites[0].records for r in each["results"] if r["metric"] == "sliced_w2"]
    for each in rows:
        each["details"] = {"bias": 0.5}
    kept = next(each for each in rows if each["point"] == "main")
    for bias, alike in ((0.5, True), (0.7, False)):
        same, *_ = place_among_published([{**kept, "details": {"bias": bias}}], {}, record["spec"]["data"], suites, [])
        assert ("cfm" in labels(same)) == alike


def test_samples_are_shown_beside_the_suites_of_a_folder(swept, tmp_path, cli):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(64, 2)))
    request = ("eval", tmp_path / "x.npy", "--dataset", "moons", "--metric", "sliced_w2", "--results", swept[1])
    code, out, _ = cli(*request, "--beside", "published")
    assert code == 0
    assert "these samples" in out
    assert "suite tiny, 2 seeds" in out


def test_a_kept_run_has_nothing_beside_it(swept, cli):
    run = next((swept[1] / "runs").iterdir())
    code, _, err = cli("eval", run, "--beside", "published")
    assert code == 2
    assert "--dataset" in err
