import shutil

from genbench.runs.record import read_record


def test_merging_adds_what_is_new_and_names_what_differs(cli, swept, tmp_path, first_path, edit_record):
    suite, results = swept
    other = tmp_path / "other"
    shutil.copytree(results, other)
    shutil.rmtree(first_path(results, "runs/wcfm-moons-0*"))
    same, extended, different = [
        first_path(other, f"runs/{n}*/*/record.json") for n in ("cfm-moons-0", "cfm-moons-1", "wcfm-moons-1")
    ]

    def without_nfe(record):
        del record["spec"]["metrics"]["nfe"]
        record["results"] = [row for row in record["results"] if row["metric"] != "nfe"]

    mine = results / extended.relative_to(other)
    before = read_record(mine)
    edit_record(mine, without_nfe)
    edit_record(different, lambda r: r["results"][0].update(value=1.0))
    code, out, _ = cli("merge", results, other)
    assert code == 0
    assert "1 different, 1 extended, 1 new, 1 the same" in out
    assert f"different values, not copied: {different.parents[1].name}" in out
    assert read_record(mine) == before
    assert read_record(results / same.relative_to(other)) == read_record(same)
    assert "4 cells, 0 to run" in cli("sweep", suite, "--results", results, "--dry-run")[2]
    assert cli("verify", results, "--sample", 4)[0] == 0
    assert cli("merge", results, tmp_path / "nothing")[0] == 2


def test_merging_takes_weights_that_have_no_record_and_none_that_belong_to_other_values(
    cli, swept, tmp_path, first_path, edit_record
):
    _, results = swept
    other = tmp_path / "other"
    shutil.copytree(results, other)
    alone, different, renewed = [
        first_path(other, f"runs/{n}*/*/record.json") for n in ("cfm-moons-0", "cfm-moons-1", "wcfm-moons-0")
    ]
    shutil.rmtree(alone.parent)
    shutil.rmtree(results / alone.parents[1].relative_to(other))
    edit_record(different, lambda r: r["results"][0].update(value=1.0))
    (results / different.relative_to(other)).with_name("samples.npz").unlink()
    (results / different.parents[1].relative_to(other) / "model.safetensors").unlink()
    before = read_record(results / renewed.relative_to(other))
    edit_record(results / renewed.relative_to(other), lambda r: r["spec"]["metrics"]["nfe"].update(version=0))
    edit_record(results / renewed.relative_to(other), lambda r: r["results"][0].update(value=7.0))
    assert before["results"][0]["metric"] == "nfe"
    out = cli("merge", results, other)[1]
    assert "1 different, 1 extended, 1 the same, 1 weights" in out
    assert (results / alone.parents[1].relative_to(other) / "model.safetensors").exists()
    assert not (results / different.parents[1].relative_to(other) / "model.safetensors").exists()
    assert not (results / different.relative_to(other)).with_name("samples.npz").exists()
    assert read_record(results / renewed.relative_to(other)) == before
