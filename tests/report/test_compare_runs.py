import json
import shutil

from genbench.report.compare import compare_records
from genbench.report.published_suites import load_records
from genbench.runs.record import format_record, read_record


def test_a_seed_is_noise_and_a_rule_is_not(cli, swept, tmp_path, first_path):
    """A steady difference over five seeds is significant; one that changes sign is not."""
    _, results = swept
    record = read_record(first_path(results))

    def folder(name, values, **settings):
        for seed, value in enumerate(values):
            rows = [{**row, "value": value} for row in record["results"] if row["metric"] == "sliced_w2"][:1]
            spec = {**record["spec"], "seed": seed, "model": record["spec"]["model"] | settings}
            path = tmp_path / name / f"runs/{seed}/x/record.json"
            path.parent.mkdir(parents=True)
            path.write_text(format_record({**record, "spec": spec, "results": rows}))
        return tmp_path / name

    one = folder("one", [1.0, 2.0, 3.0, 4.0, 5.0])
    steady = folder("steady", [0.9, 1.91, 2.9, 3.89, 4.9], sigma=0.5)
    noise = folder("noise", [1.1, 1.8, 3.2, 3.9, 5.0])
    for other, verdict in ((steady, "better"), (noise, "within noise"), (one, "equal")):
        (part,), alone = compare_records(load_records(one), load_records(other))
        assert [value.verdict for value in part.values] == [verdict]
        assert not alone
    ((part,), _) = compare_records(load_records(one), load_records(steady))
    assert [(c.name, c.one, c.other) for c in part.spec] == [("model.sigma", 0.0, 0.5)]
    code, out, _ = cli("compare", one, steady)
    assert code == 0
    assert "spec: model.sigma 0.0 -> 0.5" in out
    assert "better" in out


def test_runs_of_two_models_and_published_records_are_compared_too(cli, swept, first_path):
    _, results = swept
    runs = [first_path(results, f"runs/{name}*").name for name in ("cfm-moons-0", "wcfm-moons-0")]
    out = json.loads(cli("compare", *runs, "--results", results, "--json")[1])
    (part,) = out["comparisons"]
    assert {value["verdict"] for value in part["values"]} <= {"one pair only: may be noise", "equal"}
    assert ["model.name", "cfm", "wcfm"] in [[c["name"], c["one"], c["other"]] for c in part["spec"]]
    assert not part["only"]
    assert not [c for c in part["code"] if None in (c["one"], c["other"])]
    out = json.loads(cli("compare", results, results / "tiny/records.jsonl.gz", "--json")[1])
    assert {value["verdict"] for part in out["comparisons"] for value in part["values"]} == {"equal"}


def test_runs_of_two_seeds_are_compared_and_sweeps_without_a_common_seed_say_so(cli, swept, tmp_path, first_path):
    _, results = swept
    runs = [first_path(results, f"runs/cfm-moons-{seed}*") for seed in (0, 1)]
    (part,) = json.loads(cli("compare", *runs, "--json")[1])["comparisons"]
    assert part["spec"] == [{"name": "seed", "one": 0, "other": 1}]
    values = [read_record(first_path(run, "*/record.json"))["results"] for run in runs]
    for side, rows in zip(("one", "other"), values, strict=True):
        assert [value[side] for value in part["values"]] == [row["value"] for row in rows]
    assert not part["only"]
    for name, seed in (("a", 0), ("b", 1)):
        for run in results.glob(f"runs/*-{seed}-*"):
            shutil.copytree(run, tmp_path / name / "runs" / run.name)
    shutil.copytree(runs[0], tmp_path / "a/runs/again")  # more than one run of it
    out = cli("compare", tmp_path / "a", tmp_path / "b")[1]
    assert "no common seed of sliced_w2" in out
    assert "only the" not in out
