import pytest


def test_a_finished_sweep_is_done_and_whole(cli, swept):
    suite, results = swept
    assert cli("results", "status", "--results", results) == (0, f"{results}: 4 records\n", "")
    _, out, err = cli("sweep", suite, "--results", results, "--dry-run")
    assert out.count("done ") == 4
    assert "4 cells, 0 to run" in err
    code, out, err = cli("verify", results, "--sample", 4)
    assert (code, out.count("no difference")) == (0, 4)
    assert "4 records, 0 damaged files" in err


def test_verify_finds_damage_and_values_that_cannot_be_had_again(cli, swept, first_path, edit_record):
    _, results = swept
    weights = first_path(results, "runs/cfm-moons-0*/model.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    edit_record(first_path(results, "runs/wcfm-moons-0*/*/record.json"), lambda r: r["results"][1].update(value=0.123))
    code, out, err = cli("verify", results, "--sample", 4)
    assert code == 1
    assert f"{weights} is damaged: its checksum differs" in " ".join(out.split())
    assert out.count("no difference") == 2
    assert "1 damaged files, 1 records" in err


def test_values_of_metrics_that_the_spec_does_not_have_are_damage(swept, first_path, edit_record, cli):
    """Otherwise nothing would be measured again, and nothing would differ."""
    edit_record(first_path(swept[1]), lambda record: record["spec"].update(metrics={}))
    code, out, _ = cli("verify", swept[1], "--sample", "9")
    assert code == 1
    assert "does not measure" in out


def test_a_value_that_was_left_out_is_a_difference(swept, first_path, edit_record, cli):
    edit_record(first_path(swept[1]), lambda record: record["results"].pop(0))
    assert cli("verify", swept[1], "--sample", "9")[0] == 1


@pytest.mark.parametrize("name", ["standard_error", "half_interval"])
def test_an_interval_that_was_made_narrower_is_a_difference(swept, first_path, edit_record, cli, name):
    def edit(record):
        row = next(row for row in record["results"] if row["metric"] == "sliced_w2" and row["point"] == "main")
        row["details"] |= {name: 1e-6}

    edit_record(first_path(swept[1]), edit)
    code, out, _ = cli("verify", swept[1], "--sample", "9")
    assert code == 1
    assert f"(sliced_w2, {name})" in out


def test_details_that_a_record_does_not_state_yet_are_no_difference(swept, first_path, edit_record, cli):
    def forget(record):
        for row in record["results"]:
            row.pop("details", None)

    edit_record(first_path(swept[1]), forget)
    assert cli("verify", swept[1], "--sample", "9")[0] == 0


def test_labels_of_another_model_or_of_other_data_have_no_effect(swept, first_path, edit_record, cli):
    before = cli("leaderboard", "--results", swept[1], "--csv")
    edit_record(first_path(swept[1]), lambda record: record["labels"].update(model="starflow", data="8gaussians"))
    assert (
        cli("leaderboard", "--results", swept[1], "--csv").stdout == before.stdout
    )  # the published record stands in for it
    code, out, _ = cli("verify", swept[1], "--sample", "0")
    assert code == 1
    assert "labels.model: it is not the label of 'cfm'" in out


def test_names_of_folders_cannot_write_to_the_terminal(swept, cli):
    run = next((swept[1] / "runs").iterdir())
    run.rename(run.with_name(run.name + "\x1b]0;title\x07\x1b[2J\nforged: no difference"))
    out = cli("verify", swept[1], "--sample", "0")[1]
    assert "\x1b" not in out
    assert not any(line.startswith("forged") for line in out.splitlines())
