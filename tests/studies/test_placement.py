import numpy as np

from genbench.analysis.suite_results import load_suites
from genbench.runs.store import Store
from genbench.studies.placement import place_among_published
from genbench.studies.published import Claim

FID = dict(paper="Paper", url="https://example.org", grade="A", metric="fid-legacy", difference="-", incomparable="-")


def row(metric="fid-legacy", value=5.0, n=50_000, **more):
    return {"metric": metric, "value": value, "better": "lower", "n": n, "protocol": "p", "floor": None} | more


def labels(table):
    return [item.label.strip() for item in table.rows[1:]]


def test_papers_with_as_many_samples_stand_in_order_and_others_apart():
    def claim(label, value, n):
        return Claim(**FID, label=label, value=value, protocol=f"U-Net, {n} samples", data="cifar10 valid=0")

    claims = [claim("worse", 7.0, "50,000"), claim("better", 3.0, "50,000"), claim("few", 1.0, "10,000")]
    same, others = place_among_published([row()], {"fid-legacy": 0.1}, {"name": "cifar10"}, [], claims)
    assert labels(same) == ["better", "these samples", "worse"]
    assert labels(others) == ["few"]
    assert "not to be compared" in others.title


def test_other_data_and_other_metrics_are_not_shown():
    claims = [Claim(**FID, label="x", value=1.0, protocol="50,000 samples", data="mnist")]
    (table,) = place_among_published([row(floor=0.5)], {}, {"name": "cifar10"}, [], claims)
    assert labels(table) == ["floor: real data", "these samples"]
    assert "No published value has this protocol: fid-legacy." in table.legend


def test_suites_of_the_same_protocol_and_data_are_the_same(swept):
    suites = load_suites(Store(swept[1]), ["tiny"])
    record = suites[0].records[0]
    kept = next(r for r in record["results"] if r["metric"] == "sliced_w2" and r["point"] == "main")
    same, *_ = place_among_published([{**kept, "value": 0.0}], {}, record["spec"]["data"], suites, [])
    assert labels(same)[1] == "these samples"
    assert set(labels(same)[2:]) >= {"cfm", "wcfm kappa=0.5"}
    _, others = place_among_published([{**kept, "n": 63}], {}, record["spec"]["data"], suites, [])
    assert {"cfm", "wcfm kappa=0.5"} <= set(labels(others))


def test_samples_are_shown_beside_the_suites_of_a_folder(swept, tmp_path, cli):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(64, 2)))
    request = ("eval", tmp_path / "x.npy", "--reference", "moons", "--metric", "sliced_w2", "--results", swept[1])
    code, out, _ = cli(*request, "--beside", "published")
    assert code == 0
    assert "these samples" in out
    assert "suite tiny, 2 seeds" in out


def test_a_kept_run_has_nothing_beside_it(swept, cli):
    run = next((swept[1] / "runs").iterdir())
    code, _, err = cli("eval", run, "--beside", "published")
    assert code == 2
    assert "--dataset" in err
