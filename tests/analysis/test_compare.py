"""Comparisons of models and of runs: paired over seeds, with p, interval, detectable difference and a sentence."""

import copy
import json
import shutil

import numpy as np
import pytest
from helpers.records import record
from scipy import stats

from genbench.analysis.compare import compare_models, compare_records
from genbench.errors import ConfigError
from genbench.results.reader import load_records
from genbench.runs.record import format_published, format_record, read_record

NOISE = np.random.default_rng(0).normal(size=(2, 12))


def sweep(seeds=8):
    """W2 of wcfm is 0.5 above that of cfm, kappa 0.5 differs by noise alone, coverage of wcfm is lower by 0.25."""
    found = []
    for seed in range(seeds):
        shared, own = NOISE[:, seed]
        for model, settings, values in (
            ("cfm", {}, (1 + shared, 0.5, 4.0)),
            ("wcfm", {}, (1.5 + shared + own / 9999, 0.25 + own / 99, 3.0 + own / 9999)),
            ("wcfm", {"kappa": 0.5}, (1 + shared + 0.02 * own, 0.5, 3.0 + own / 9)),
        ):
            named = zip(("w2", "mode_coverage", "norm"), values, ("lower", "higher", "none"), strict=True)
            found.append(record(model, seed, {name: (value, better) for name, value, better in named}, settings))
    return found


def value_of(part, metric):
    return next(value for value in part.values if value.metric == metric)


def test_a_difference_is_paired_and_the_metrics_are_its_family():
    part = compare_models(sweep(), "cfm", "wcfm", "moons")
    assert (part.one, part.other) == ("cfm on moons", "wcfm on moons")
    assert [value.metric for value in part.values] == ["w2", "mode_coverage", "norm"]  # without points of curves
    w2 = value_of(part, "w2")
    assert w2.paired.mean == pytest.approx(0.5, abs=1e-3)
    assert w2.verdict == "worse"
    cover = value_of(part, "mode_coverage")
    alone = stats.ttest_1samp(-0.25 + NOISE[1, :8] / 99, 0)
    assert cover.paired.p == pytest.approx(alone.pvalue)
    assert cover.p == pytest.approx(cover.paired.p)  # the largest of three
    assert (cover.paired.low, cover.paired.high) == pytest.approx(tuple(alone.confidence_interval()))
    assert cover.verdict == "worse"
    assert value_of(part, "norm").verdict == "differs"


def test_only_metrics_that_were_asked_for_are_named_as_measured_by_one_side():
    records = [
        {
            **each,
            "results": [row for row in each["results"] if (row["metric"], each["labels"]["model"]) != ("norm", "cfm")],
        }
        for each in sweep(2)
    ]
    (line,) = compare_models(records, "cfm", "wcfm", "moons").only
    assert line.startswith("only the second measured norm (")
    assert not compare_models(records, "cfm", "wcfm", "moons", ["w2"]).only


def test_seeds_without_a_value_are_stated_with_their_reason():
    """The mean of the other seeds was compared without a word."""
    records, why = sweep(5), "7 of 64 samples are not finite"
    records[1]["results"][0] |= {"value": None, "reason": why}  # w2 of wcfm, seed 0
    part = compare_models(records, "cfm", "wcfm", "moons")
    assert value_of(part, "w2").paired.pairs == 4
    assert part.only == [f"the second has no w2 for seed 0: {why}"]
    assert not compare_models(records, "cfm", "wcfm", "moons", ["norm"]).only


@pytest.mark.parametrize("outdated", [False, True])
def test_a_value_of_another_version_or_below_the_entropy_is_not_compared(outdated):
    """A density that is wrong was better, with p < 1e-9, and an outdated W2 stood beside W2."""
    name = "w2" if outdated else "nll"
    records = [record(m, s, {name: (v + s**2 / 99, "lower")}) for m, v in (("cfm", 2), ("wcfm", 1)) for s in range(3)]
    for each in records[3:]:
        each["results"] = [row | {"floor": 1.9} for row in each["results"][:1]]
        if outdated:
            each["spec"]["metrics"]["w2"]["version"] = 0
    (part,), _ = compare_records(records[:3], records[3:])
    assert not part.values
    said = "version 0 of w2" if outdated else "lower than the entropy of the data"
    assert any(said in line and line.startswith(f"only the second measured {name} ") for line in part.only)


def test_sentences_name_the_better_model_or_the_detectable_difference():
    w2, coverage, norm = (v.sentence("cfm", "wcfm") for v in compare_models(sweep(), "cfm", "wcfm", "moons").values)
    assert w2.startswith("w2: cfm is better than wcfm, lower by 0.5 (95 % int")
    assert "mode_coverage: cfm is better than wcfm, higher by 0.25" in coverage
    assert "norm: wcfm is lower than cfm by 1" in norm
    part = compare_models(sweep(), "cfm", "wcfm kappa=.5", "moons", ["w2"])
    (w2,) = part.values
    text = w2.sentence("A", "B")
    assert w2.verdict == "not separated"
    assert text.startswith("w2: not separated (")
    assert text.endswith(f"80 % power to detect a difference of {w2.detectable:.2g}.")
    part = compare_models(sweep(), "cfm", "wcfm kappa=.5", "moons")
    assert value_of(part, "mode_coverage").sentence("A", "B").endswith("are equal.")
    (w2,) = compare_models(sweep(1), "cfm", "wcfm", "moons", ["w2"]).values
    assert w2.sentence("cfm", "wcfm").endswith("with one run of each: too few seeds.")


@pytest.mark.parametrize(
    ("seeds", "end"),
    [(3, "with each of 3 common seeds: too few seeds."), (6, "(with each of 6 common seeds, p <= 0.00098).")],
)
def test_equal_differences_of_a_count_are_stated_without_an_interval(seeds, end):
    values = {"cfm": 14.0, "wcfm": 20.0}
    records = [record(m, seed, {"w2": (v, "lower")}) for seed in range(seeds) for m, v in values.items()]
    (found,) = compare_models(records, "cfm", "wcfm", "moons").values
    assert found.sentence("cfm", "wcfm").endswith(end)
    assert found.verdict == ("worse" if seeds > 3 else "too few seeds")
    assert found.detectable is None


def test_impossible_comparisons_are_refused_with_a_suggestion():
    records = sweep(2)
    for request, message in (
        (("cfm", "wcf", "moons"), "no results on moons of 'wcf'; did you mean 'wcfm' or 'wcfm kappa=0.5'?"),
        (("cfm", "wcfm", "moon"), "no results on 'moon'; did you mean 'moons'?"),
        (("cfm", "wcfm kappa=9", "moons"), "no results on moons of 'wcfm kappa=9'; did you mean 'wcfm kappa=0.5'?"),
        (("cfm", "cfm", "moons"), "cfm and cfm are both cfm: nothing to compare"),
        (
            ("cfm", "wcfm", "moons", ["w3"]),
            "cfm and wcfm have no comparable values of 'w3'; known: mode_coverage, norm, w2",
        ),
    ):
        with pytest.raises(ConfigError) as refused:
            compare_models(records, *request)
        assert str(refused.value) == message
    longer = [record("cfm", 5, {"w2": (1.0, "lower")}, plan={"steps": 10})]
    both = compare_models(records + longer, "cfm", "wcfm", "moons")
    assert both == compare_models(records, "cfm", "wcfm", "moons")._replace(one="cfm steps=9 on moons")
    with pytest.raises(ConfigError, match=r"no common seeds: cfm steps=10 has \[5\], wcfm has \[0, 1\]"):
        compare_models(records + longer, "cfm steps=10", "wcfm", "moons")


def test_two_models_are_compared_at_the_budget_with_most_common_seeds():
    few = [
        record(m, s, {"w2": (v, "lower")}, plan={"steps": 90}) for m, v in (("cfm", 3.0), ("wcfm", 2.0)) for s in (0, 1)
    ]
    records = sweep(4) + few
    (w2,) = (part := compare_models(records, "cfm", "wcfm", "moons", ["w2"])).values
    assert w2.paired.pairs == 4
    assert (part.one, part.other) == ("cfm steps=9 on moons", "wcfm steps=9 on moons")
    (w2,) = compare_models(records, "cfm steps=90", "wcfm", "moons", ["w2"]).values
    assert (w2.one, w2.other, w2.paired.pairs) == (3.0, 2.0, 2)


def test_the_command_reads_published_records(tmp_path, cli):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/records.jsonl.gz").write_bytes(format_published(sweep()))

    def say(*more):
        return cli("compare", "cfm", "wcfm", "--results", tmp_path, *more)

    code, out, _ = say("--dataset", "moons", "--metric", "w2")
    assert code == 0
    assert "w2: cfm is better than wcfm, lower by 0.5" in out
    assert "mode_coverage" not in out
    found = json.loads(say("--dataset", "moons", "--json")[1])
    assert [value["metric"] for value in found["values"]] == ["w2", "mode_coverage", "norm"]
    assert found["values"][0]["mean"] == pytest.approx(0.5, abs=1e-3)
    assert found["values"][0]["sentence"].startswith("w2: cfm is better")
    for words in (("--metric", "w2"), ()):
        code, _, err = say(*words)
        assert (code, "--dataset" in err) == (2, True)


def test_a_seed_is_noise_and_a_rule_is_not(cli, swept, tmp_path, first_path):
    """A steady difference over five seeds is significant; one that changes sign is not."""
    _, results = swept
    record = read_record(first_path(results))

    def folder(name, values, **settings):
        for seed, value in enumerate(values):
            rows = [{**row, "value": value} for row in record["results"] if row["metric"] == "sliced_w2"][:1]
            spec = {**record["spec"], "seed": seed, "model": record["spec"]["model"] | settings}
            path = tmp_path / name / f"{seed}/x/record.json"
            path.parent.mkdir(parents=True)
            path.write_text(format_record({**record, "spec": spec, "results": rows}))
        return tmp_path / name

    one = folder("one", [1.0, 2.0, 3.0, 4.0, 5.0])
    steady = folder("steady", [0.9, 1.91, 2.9, 3.89, 4.9], sigma=0.5)
    noise = folder("noise", [1.1, 1.8, 3.2, 3.9, 5.0])
    for other, verdict in ((steady, "better"), (noise, "not separated"), (one, "equal")):
        (part,), alone = compare_records(load_records(one), load_records(other))
        assert [value.verdict for value in part.values] == [verdict]
        assert not alone
    ((part,), _) = compare_records(load_records(one), load_records(steady))
    assert [(c.name, c.one, c.other) for c in part.spec] == [("model.sigma", 0.0, 0.5)]
    older = copy.deepcopy(load_records(one))
    for each in older:
        del each["spec"]["model"]["prediction"], each["spec"]["plan"]["compile"]  # settings that came later
    ((part,), _) = compare_records(older, load_records(steady))
    assert [(c.name, c.one, c.other) for c in part.spec] == [("model.sigma", 0.0, 0.5)]
    code, out, _ = cli("compare", one, steady)
    assert code == 0
    assert "spec: model.sigma 0.0 -> 0.5" in out
    assert "better" in out


def test_runs_of_two_models_and_published_records_are_compared_too(cli, swept):
    _, results = swept
    runs = ["cfm-moons-0", "wcfm-moons-0"]  # found as by `show` and `eval`
    refused = cli("compare", "cfm", "wcfm", "--results", results)[2]  # names of runs, or perhaps of models
    assert "runs begin with cfm" in refused
    assert "to compare two models, add --dataset NAME" in refused
    out = json.loads(cli("compare", *runs, "--results", results, "--json")[1])
    (part,) = out["comparisons"]
    assert {value["verdict"] for value in part["values"]} <= {"too few seeds", "equal"}
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
    record = read_record(first_path(runs[0], "*/record.json"))
    third = {"labels": record["labels"] | {"run": "cfm-moons-2-third"}, "spec": record["spec"] | {"seed": 2}}
    path = tmp_path / "a/runs/cfm-moons-2-third" / first_path(runs[0], "*/record.json").parent.name / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(format_record(record | third))  # more than one run of it
    out = cli("compare", tmp_path / "a", tmp_path / "b")[1]
    assert "no common seed of sliced_w2" in out
    assert "only the" not in out


def test_only_a_measurement_by_other_code_is_stated(swept, first_path):
    record = read_record(first_path(swept[1], "runs/cfm-moons-0*/*/record.json"))
    again = copy.deepcopy(record)
    measured = again["provenance"]["measurements"]
    measured.append(copy.deepcopy(measured[0]))
    (part,), _ = compare_records([record], [again])
    assert not part.code
    measured[1]["code"]["genbench"] = "9.0"
    (part,), _ = compare_records([record], [again])
    assert [change.name for change in part.code] == ["measurement 2"]
