import json
import os
import shutil
from pathlib import Path

import pytest
from helpers.records import edit_record

from genbench.runs.make_spec import restore_spec
from genbench.runs.record import read_record, without_metrics
from genbench.runs.store import FAILURE, Store, evaluation_name
from genbench.storage import tensors


@pytest.fixture
def two(swept, tmp_path):
    """Two results folders with the same runs."""
    _, results = swept
    return results, shutil.copytree(results, tmp_path / "other")


def values(path):
    return {name: part for name, part in read_record(path).items() if name != "provenance"}


def test_merging_adds_what_is_new_and_names_what_differs(cli, swept, two, tmp_path, first_path):
    suite, (results, other) = swept[0], two
    shutil.rmtree(first_path(results, "runs/wcfm-moons-0*"))
    same, extended, different = [
        first_path(other, f"runs/{n}*/*/record.json") for n in ("cfm-moons-0", "cfm-moons-1", "wcfm-moons-1")
    ]

    mine = results / extended.relative_to(other)
    before = read_record(mine)
    edit_record(mine, lambda record: record.update(without_metrics(record, ["nfe"])))
    edit_record(different, lambda r: r["results"][0].update(value=1.0))
    code, out, err = cli("results", "merge", other, "--results", results)
    assert (code, err) == (1, "genbench: 1 of 4 results not copied\n")
    assert "1 different, 1 extended, 1 new, 1 the same" in out
    assert f"different values, not copied: {different.parents[1].name}" in out
    assert values(mine) == {name: before[name] for name in ("labels", "spec", "results")}
    assert read_record(results / same.relative_to(other)) == read_record(same)
    assert "4 cells, 0 to run" in cli("sweep", suite, "--results", results, "--dry-run")[2]
    assert cli("verify", "--results", results, "--sample", 4)[0] == 0
    assert cli("results", "merge", tmp_path / "nothing", "--results", results)[0] == 2


def test_merging_takes_no_weights_that_belong_to_other_values(cli, two, first_path):
    results, other = two
    different, renewed = [first_path(other, f"runs/{n}*/*/record.json") for n in ("cfm-moons-1", "wcfm-moons-0")]
    edit_record(different, lambda r: r["results"][0].update(value=1.0))
    (results / different.relative_to(other)).with_name("samples.npz").unlink()
    (results / different.parents[1].relative_to(other) / "model.safetensors").unlink()
    before = read_record(results / renewed.relative_to(other))
    edit_record(results / renewed.relative_to(other), lambda r: r["spec"]["metrics"]["nfe"].update(version=0))
    edit_record(results / renewed.relative_to(other), lambda r: r["results"][0].update(value=7.0))
    assert before["results"][0]["metric"] == "nfe"
    out = cli("results", "merge", other, "--results", results)[1]
    assert "1 different, 1 extended, 2 the same" in out
    assert not (results / different.parents[1].relative_to(other) / "model.safetensors").exists()
    assert not (results / different.relative_to(other)).with_name("samples.npz").exists()
    assert values(results / renewed.relative_to(other)) == {
        name: before[name] for name in ("labels", "spec", "results")
    }


def test_merging_checks_what_it_takes_and_follows_no_link(cli, swept, tmp_path, first_path, caplog):
    _, results = swept
    other, mine = tmp_path / "other", tmp_path / "mine"
    shutil.copytree(results, other)
    runs = sorted((other / "runs").iterdir())
    (secret := tmp_path / "secret").mkdir()
    (secret / "samples.npz").write_bytes(first_path(results, "runs/*/*/samples.npz").read_bytes())
    (secret / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    # The first run: unsealed record, weights of the second. The second: links, pipes, and files that are none.
    (record,) = runs[0].glob("*/record.json")
    record.write_text(json.dumps({k: v for k, v in json.loads(record.read_text()).items() if k != "sha256"}))
    shutil.copyfile(runs[1] / "model.safetensors", runs[0] / "model.safetensors")
    (evaluation,) = runs[1].glob("*/")
    for name in ("samples.npz", "samples.png"):
        (evaluation / name).unlink(missing_ok=True)
    (evaluation / "samples.npz").symlink_to(secret / "samples.npz")
    (evaluation / "linked").symlink_to(secret)
    (evaluation / "evil.png").write_text("<script>")
    os.mkfifo(evaluation / "pipe.png")
    (evaluation / "steps").symlink_to(secret)
    (runs[1] / "train.csv").unlink()
    with (runs[1] / "train.csv").open("wb") as file:
        file.truncate(2**40)
    # The third is a link, the fourth as it was, with archives that are none or too large.
    shutil.move(runs[2], secret / "run")
    runs[2].symlink_to(secret / "run")
    (evaluation,) = runs[3].glob("*/")
    (evaluation / "samples.npz").write_bytes(b"PK")
    (evaluation / "steps").mkdir()
    (evaluation / "steps" / "5.json").write_text("[]\n0\n")
    code, out, err = cli("results", "merge", other, "--results", mine)
    assert code == 1
    assert "other: 1 left out, 2 new" in out
    taken = {str(path.relative_to(mine / "runs")) for path in mine.rglob("*") if path.is_file()}
    records = [next(run.glob("*/record.json")).relative_to(other / "runs") for run in (runs[1], runs[3])]
    weights = [f"{run.name}/model.safetensors" for run in (runs[1], runs[3])]
    picture = records[1].with_name("samples.png")
    assert taken == {*map(str, records), *weights, str(picture), f"{runs[3].name}/train.csv"}
    for said in ("it has no checksum", "belongs to another run", "is a link", "is not a PNG", "is not a regular file"):
        assert said in err
    for said in ("1,099,511,627,776 bytes; genbench reads at most", "is not an archive of arrays", "5.json is damaged"):
        assert said in err
    assert cli("verify", "--results", mine, "--sample", 4)[0] == 0


@pytest.mark.parametrize(("change", "taken"), [({"sigma": None}, True), ({"sigma": 7.0}, False)])
def test_weights_that_lack_a_setting_of_their_record_are_taken(cli, swept, tmp_path, first_path, change, taken):
    """A record that is measured again after a new setting names it, with its default; the weights beside it do not."""
    _, results = swept
    path = first_path(results, "runs/wcfm-moons-0*/model.safetensors")
    state, header = tensors.load(path, ("spec",))
    spec = json.loads(header["spec"])
    assert change.keys() <= spec["model"].keys()
    model = {name: value for name, value in {**spec["model"], **change}.items() if value is not None}
    tensors.save(path, state, {**header, "spec": json.dumps({**spec, "model": model})})
    mine = tmp_path / "mine"
    err = cli("results", "merge", results, "--results", mine)[2]
    assert (mine / path.relative_to(results)).exists() == taken
    assert ("belongs to another run" in err) != taken


def test_nothing_of_a_run_is_copied_when_one_of_its_values_differs(cli, two, first_path):
    """Not even a metric that only the other machine measured: its values belong to other weights (C2)."""
    results, other = two
    path = first_path(results)
    run = path.parents[1].relative_to(results)
    edit_record(path, lambda record: record.update(without_metrics(record, ["nfe"])))
    edit_record(other / path.relative_to(results), lambda record: record["results"][1].update(value=1.0))
    later = other / run / "0123456789ab"
    shutil.copytree(other / path.relative_to(results).parent, later)
    edit_record(later / "record.json", lambda record: record["spec"]["evaluation"].update(n=32))
    key = restore_spec(read_record(later / "record.json")["spec"]).evaluation_key
    edit_record(later / "record.json", lambda record: record["labels"].update(evaluation=key))
    later.rename(later.with_name(key))
    before = path.read_bytes()
    out = cli("results", "merge", other, "--results", results)[1]
    assert "1 different, 1 left out, 3 the same" in out
    assert path.read_bytes() == before
    assert [file.name for file in (results / run).glob("*/")] == [path.parent.name]


def test_the_checkpoint_of_a_run_that_another_machine_finished_goes(cli, two, first_path):
    results, other = two
    run = first_path(results).parents[1]
    shutil.rmtree(run)
    run.mkdir()
    for name in ("checkpoint.safetensors", "previous-checkpoint.safetensors"):
        (run / name).touch()
    assert cli("results", "merge", other, "--results", results)[0] == 0
    assert (run / "model.safetensors").exists()
    assert not list(run.glob("*checkpoint*"))


def test_values_of_other_weights_are_not_mixed_with_those_here(cli, two, first_path):
    """Another evaluation of a run whose weights differ is left out."""
    results, other = two
    path = first_path(results)
    weights = other / path.parents[1].relative_to(results) / "model.safetensors"
    state, header = tensors.load(weights, ("spec",))
    tensors.save(weights, {name: value + 1 for name, value in state.items()}, header)
    path.unlink()
    assert "1 left out, 3 the same" in cli("results", "merge", other, "--results", results)[1]
    assert not path.exists()


@pytest.mark.parametrize("misfiled", [False, True])
@pytest.mark.parametrize("name", ["*/record.json", "model.safetensors"])
def test_a_damaged_or_misfiled_record_or_weights_here_are_set_aside(cli, two, first_path, name, misfiled):
    results, other = two
    path = first_path(results, f"runs/cfm-moons-0*/{name}")
    read = read_record if path.suffix == ".json" else Path.read_bytes
    good, other_file = read(path), first_path(results, f"runs/wcfm-moons-1*/{name}")
    content = other_file.read_bytes() if misfiled else path.read_bytes()[:-8]
    path.write_bytes(content)
    assert cli("results", "merge", other, "--results", results)[0] == 0
    assert read(path) == good
    assert path.with_name(f"{path.name}.aside").read_bytes() == content


ELSEWHERE = {
    "other settings": (lambda r: r["spec"]["plan"].update(steps=11), "the settings of the two records differ"),
    "other data": (lambda r: r["provenance"]["data"].update(original=False), "the data of the two records differ"),
    "other training": (
        lambda r: r["provenance"]["training"]["machine"].update(device="H100"),
        "nfe measured on weights of another training",
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_values_made_elsewhere_are_not_added_to_a_record(cli, two, first_path, name):
    """All values that both records have are equal."""
    (results, other), (change, said) = two, ELSEWHERE[name]
    path = first_path(results)
    edit_record(path, lambda record: record.update(without_metrics(record, ["nfe"])))
    edit_record(other / path.relative_to(results), change)
    (other / path.parents[1].relative_to(results) / "model.safetensors").unlink()
    before = path.read_bytes()
    out = cli("results", "merge", other, "--results", results)[1]
    assert "1 different, 3 the same" in out
    assert said in " ".join(out.split())
    assert path.read_bytes() == before


FORGED = [
    (lambda record: record["spec"].update(stack=[{"seed": 0, "net": {"name": 5}}]), "it is left out"),
    (lambda record: record["results"][1].update(value=-5.0), "sliced_w2 is -5, and cannot be below 0; it is left out"),
]


@pytest.mark.parametrize(("change", "said"), FORGED)
def test_a_forged_record_leaves_out_itself_only(cli, swept, tmp_path, first_path, change, said):
    _, results = swept
    edit_record(first_path(results), change)
    code, out, err = cli("results", "merge", results, "--results", tmp_path / "mine")
    assert (code, "1 left out, 3 new" in out) == (1, True), err
    assert said in " ".join(err.split())


@pytest.mark.parametrize(("factor", "outcome"), [(1 + 1e-9, "4 the same"), (1.01, "1 different, 3 the same")])
def test_rounding_is_no_difference(cli, two, first_path, factor, outcome):
    """The same run on another machine: other rounding, in weights and values."""
    results, other = two
    path = first_path(results)
    before = path.read_bytes()

    def rounded(record):
        for row in record["results"]:
            row["value"] *= factor

    edit_record(other / path.relative_to(results), rounded)
    weights = other / path.parents[1].relative_to(results) / "model.safetensors"
    state, header = tensors.load(weights, ("spec",))
    tensors.save(weights, {name: value * (1 + 1e-6) for name, value in state.items()}, header)
    assert outcome in cli("results", "merge", other, "--results", results)[1]
    assert path.read_bytes() == before


def test_failures_of_another_machine_are_in_tables_and_replace_no_result(cli, swept, two, tmp_path, first_path):
    """A method that fails for some seeds on another machine looked as if these seeds had not been run."""
    suite, (results, other) = swept[0], two
    store = Store(other)
    record = read_record(first_path(other, "runs/cfm-moons-0*/*/record.json"))
    spec = restore_spec(record["spec"])
    shutil.rmtree(store.folder(spec))
    with store.hold(spec) as held:
        held.write_failure(spec, "the loss is not finite")
    assert "other: 1 failed, 3 new" in cli("results", "merge", other, "--results", tmp_path / "new")[1]
    assert cli("results", "merge", other, "--results", tmp_path / "new")[1] == f"{other}: 3 the same\n"
    said = cli("results", "status", "--results", tmp_path / "new")[1]
    assert f"failed: 1 x the loss is not finite: {evaluation_name(store.record_path(spec))}" in said
    assert cli("sweep", suite, "--results", tmp_path / "new", "--dry-run")[1] == "cfm on moons, seed 0\n"
    assert cli("results", "merge", other, "--results", results)[1] == f"{other}: 3 the same\n"
    assert Store(results).failure(spec) is None
    cli("results", "merge", results, "--results", other)
    assert (store.failure(spec), [*store.failures()]) == (None, [])
    store.record_path(spec).rename(store.record_path(spec).with_name(FAILURE))  # its record is no failure
    assert "1 left out, 3 new" in cli("results", "merge", other, "--results", tmp_path / "last")[1]
