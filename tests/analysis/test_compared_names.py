"""Comparisons call models as tables do, whatever contents of a file and whatever budgets a folder has."""

import re
import shutil
from pathlib import Path

import pytest
from helpers.records import record
from helpers.reports import printed

from genbench.analysis.compare import compare_models, compare_records
from genbench.errors import ConfigError
from genbench.registry import models
from genbench.report.publish import publish_suite
from genbench.results.reader import load_records
from genbench.runs.make_spec import restore_spec
from genbench.runs.store import Store

PUBLISHED = Path(__file__).parents[2] / "results/digits-v1"
OWN = """
from genbench.registry import models
from genbench.testing.toys import AffineFlow
@models.register("ln")
def ln(event, source) -> AffineFlow:
    "Mine."
    return AffineFlow(event, source)
"""


def test_after_an_edit_a_file_is_compared_with_its_present_content(tmp_path, cli, monkeypatch):
    """`no results on moons of 'ln'`, also of ln.py; then `'ln' is ambiguous`, as published records were not counted."""
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "results")
    for suite, edit in (("before", ""), ("after", "# better")):
        (tmp_path / "ln.py").write_text(OWN + edit)
        name = models.load("ln.py")
        found = [record(m, s, {"w2": (s + len(m), "lower")}) for m in ("cfm", name) for s in range(3)]
        specs = [restore_spec(each["spec"]) for each in found]
        for spec, each in zip(specs, found, strict=True):
            store.write_record(spec, each)
        said = printed(publish_suite, suite, specs, store)
        assert "\nln  " in said  # as in the table that is written
        code, out, err = cli("compare", "cfm", "ln.py", "--dataset", "moons")
        assert (code, f"w2: cfm is lower than {name if edit else 'ln'} by " in out) == (0, True), err
        assert cli("compare", "cfm", name, "--dataset", "moons")[1] == out
        if not edit:
            for path in store.runs.glob("ln-*"):
                shutil.rmtree(path)
    ask = "compare", "cfm", "ln", "--dataset", "moons"
    assert "no results on moons of 'ln', only of 'ln@" in cli(*ask)[2]
    publish_suite("before", specs, store)  # its run was removed, so this leaves out the earlier content
    assert cli(*ask)[0] == 0


def of(model, seeds=3, data="moons", steps=9):
    """Records of a model, perhaps of a file, as `model@hash`."""
    base, _, sha256 = model.partition("@")
    found = [
        record("cfm" if sha256 else base.split()[0], s, {"w2": (s + s**2 / 9, "lower")}, None, {"steps": steps})
        for s in range(seeds)
    ]
    for each in found:
        each["labels"] |= {"model": model, "data": data, "run": f"{model} {data} {steps} {each['spec']['seed']}"}
        each["spec"]["model"] = each["spec"]["model"] | {"name": model}
        each["spec"]["data"] = each["spec"]["data"] | {"name": data}
    return found


A, B, C = "ln@0000000a", "ln@0000000b", "ln@0000000c"


def test_a_content_is_called_as_in_tables_whatever_is_on_the_data_or_has_the_budget():
    """An earlier content, alone on its data or with its budget, was compared as "ln"."""
    for name, elsewhere in (("ln", "digits"), ("ln", "moons"), ("ln steps=90", "moons"), ("ln steps=9", "moons")):
        records = [*of("cfm"), *of("cfm", 2, steps=90), *of(A), *of(A, 2, steps=90), *of(B, 2, elsewhere, steps=90)]
        with pytest.raises(ConfigError, match=f"no results on moons of '{name}'"):
            compare_models(records, "cfm", name, "moons")
    for name in (B, f"{B} steps=90"):
        part = compare_models(records, "cfm", name, "moons")
        assert (part.one, part.other, part.values[0].paired.pairs) == ("cfm steps=90 on moons", f"{B} on moons", 2)


def test_a_name_means_the_same_label_at_each_budget():
    """With `wcfm` at 90 steps only, `wcfm kappa=0.5` was taken for it at 9 steps, where it has more seeds."""
    other = [record("wcfm", s, {"w2": (s, "lower")}, {"kappa": 0.5}) for s in range(3)]
    records = [*of("cfm"), *other, *of("cfm", 2, steps=90), *of("wcfm", 2, steps=90)]
    assert compare_models(records, "cfm", "wcfm", "moons").other == "wcfm on moons"


def test_a_record_that_is_older_than_a_setting_has_its_default():
    """Of the published tracks, records of several days had no common budget."""
    old, new = ([*of(name), *of(name, steps=90)] for name in ("cfm", "wcfm"))
    for each in old:
        del each["spec"]["plan"]["released"], each["spec"]["evaluation"]["labels"]
    part = compare_models([*old, *new], "cfm", "wcfm", "moons")
    assert (part.one, part.other) == ("cfm steps=90 on moons", "wcfm steps=90 on moons")
    assert {change.name.partition(".")[0] for change in part.spec} == {"model"}


def test_a_record_that_is_older_than_a_setting_is_not_mixed_with_one_that_sets_it():
    old, new, other = of("cfm"), of("cfm"), of("wcfm")
    for one, two in zip(old, new, strict=True):
        del one["spec"]["evaluation"]["labels"]
        two["spec"]["evaluation"] = two["spec"]["evaluation"] | {"labels": "equal"}
        two["labels"]["run"] += " equal"
        two["results"] = [row | {"value": row["value"] + 5} for row in two["results"]]
    part = compare_models([*old, *new, *other], "cfm", "wcfm", "moons")
    assert (part.one, part.values[0].paired.mean) == ('cfm labels="shares" on moons', 0)


def test_tuned_rows_of_a_track_are_compared_only_if_they_are_asked_for():
    """Of a budget that only tuned rows had, "cfm" was "cfm tuned": the order of records, or a seed more, decided."""
    rows = {"default": [*of("cfm"), *of("wcfm")], "tuned": [*of("cfm", 4, steps=90), *of("wcfm", 4, steps=90)]}
    for table, found in rows.items():
        for each in found:
            each["track"] = [{"row": each["labels"]["model"], "headline": "w2", "tables": [table]}]
    for records in (rows["tuned"] + rows["default"], rows["default"] + rows["tuned"]):
        for end, seeds in (("", 3), (" tuned", 4)):
            part = compare_models(records, f"cfm{end}", f"wcfm{end}", "moons")
            assert (part.one, part.other, part.values[0].paired.pairs) == (
                f"cfm{end} on moons",
                f"wcfm{end} on moons",
                seeds,
            )
        with pytest.raises(ConfigError, match="no results on moons of 'cfm steps=90'; known: cfm tuned"):
            compare_models(records, "cfm steps=90", "wcfm", "moons")
        with pytest.raises(ConfigError, match=r"no two .* same plan and evaluation: .*, wcfm tuned\. Name one of each"):
            compare_models([*records, *of("cfm", steps=8)], "cfm", "wcfm tuned", "moons")


def test_names_of_published_tuned_tables_are_compared_with_the_word_tuned():
    """A default row of any model on the data made "otcfm pool=8", as the table has it, a name without results."""
    records = load_records(PUBLISHED)
    _, table = (PUBLISHED / "table.md").read_text("utf-8").split("## digits, 800 steps, tuned settings\n")
    names = re.findall(r"^\| (\w+(?: \S+=\S+)*) +\| ", table.partition("\n- ")[0], re.M)
    assert {"cfm lr=0.004", "otcfm pool=8"} < {*names}
    for name in {*names} - {"model", "cfm lr=0.004"}:
        part = compare_models(records, "cfm tuned", f"{name} tuned", "digits", ["fd-digits_cnn"])
        assert (part.one, part.other) == ("cfm lr=0.004 tuned on digits", f"{name} tuned on digits")
    hints = {
        "otcfm pool=8": "did you mean 'otcfm pool=8 tuned'",
        "cfm lr=0.004": "known: cfm tuned",
        "sdcfm tuned": "did you mean 'sdcfm'",  # tuning chose its defaults
    }
    for name, hint in hints.items():
        with pytest.raises(ConfigError, match=f"no results on digits of '{name}'; {hint}"):
            compare_models(records, "sdcfm", name, "digits")
    assert compare_models(records, "sdcfm", "otcfm", "digits").other == "otcfm steps=4000 on digits"


def test_a_setting_with_the_name_of_a_budget_is_another_model():
    """Of the label "cfm" with 90 steps of training and the label "cfm steps=90", the records were mixed."""
    budgets, other = [*of("cfm"), *of("cfm", steps=90)], of("cfm steps=90")
    for each in other:
        each["results"] = [row | {"value": 100 + row["value"]} for row in each["results"]]
    for records in ([*budgets, *other, *of("wcfm")], [*other, *budgets, *of("wcfm")]):
        assert compare_models(records, "cfm steps=90", "wcfm", "moons").values[0].one > 100


def test_an_edited_data_file_is_not_compared_by_its_earlier_content(tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 7},{i * i}\n" for i in range(40)]
    Path("people.csv").write_text("".join(rows))
    few = "--set", "plan.steps=1", "--set", "evaluation.n=9", "--metric", "norm", "--seeds", "0-1"
    for model in ("cfm", "gaussian"):
        assert cli("run", "--model", model, "--dataset", "people.csv", *few)[0] == 0
    ask = "compare", "cfm", "gaussian", "--dataset", "people.csv"
    assert cli(*ask)[0] == 0
    Path("people.csv").write_text("".join(rows[1:]))
    code, _, err = cli(*ask)
    assert (code, "no results on 'people@" in err) == (2, True)
    (earlier,) = re.findall("only of '(people@.*?)'", err)
    assert cli(*ask[:-1], earlier)[0] == 0
    for model in ("cfm", "gaussian"):
        assert cli("run", "--model", model, "--dataset", "people.csv", *few)[0] == 0
    for name in ("people.csv", earlier):
        assert cli(*ask[:-1], name)[0] == 0
    assert "'people' is ambiguous: people file=" in cli(*ask[:-1], "people")[2]


def test_folders_are_compared_by_what_both_have_and_then_by_what_differs():
    """A method that one folder also had with another budget was compared with nothing."""
    cfm = of("cfm")
    parts, alone = compare_records([*cfm, *of("wcfm"), *of("wcfm", steps=90)], [*cfm, *of("wcfm")])
    assert [(part.one, part.values[0].verdict) for part in parts] == [
        ("cfm on moons", "equal"),
        ("wcfm steps=9 on moons", "equal"),
    ]
    assert alone == ["only the first has wcfm steps=90 on moons"]
    parts, alone = compare_records([*cfm, *of("wcfm")], [*cfm, *of("wcfm", steps=8)])
    assert [(part.other, [change.name for change in part.spec]) for part in parts] == [
        ("cfm on moons", []),
        ("wcfm steps=8 on moons", ["plan.steps"]),
    ]
    assert not alone


@pytest.mark.parametrize(
    "runs",
    [{f"wcfm steps={steps}": ("wcfm", steps) for steps in (9, 90, 900)}, {name: (name, 9) for name in (A, B, C)}],
    ids=["budgets", "contents of a file"],
)
def test_what_has_its_equal_in_the_other_folder_is_compared_with_nothing_else(runs):
    """The rest of both was compared too: 9 steps with 900, and a verdict."""
    first, both, last = runs
    cfm, (one, two, three) = of("cfm"), (of(model, steps=steps) for model, steps in runs.values())
    parts, alone = compare_records([*cfm, *one, *two], [*cfm, *two, *three])
    assert [part.one for part in parts] == [part.other for part in parts] == ["cfm on moons", f"{both} on moons"]
    assert alone == [f"only the first has {first} on moons", f"only the second has {last} on moons"]
