def test_a_finished_sweep_is_done_and_whole(cli, swept):
    suite, results = swept
    assert cli("status", results) == (0, f"{results}: 4 records\n", "")
    _, out, err = cli("sweep", suite, "--results", results, "--dry-run")
    assert out.count("done ") == 4
    assert "4 cells, 0 to run" in err
    code, out, err = cli("verify", results, "--sample", 4)
    assert (code, out.count("bitwise equal")) == (0, 4)
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
    assert f"{weights} is damaged: its checksum differs" in out
    assert out.count("bitwise equal") == 2
    assert "1 damaged files, 1 records" in err
