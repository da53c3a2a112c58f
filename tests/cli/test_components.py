def test_validate_counts_and_refuses(cli, swept):
    suite, _ = swept
    code, out, _ = cli("validate", suite)
    assert (code, out) == (0, f"{suite}: 4 cells, 2 pairs of model and data set, 4 trained models\n")
    suite.write_text(suite.read_text().replace("kappa", "kapa"))
    assert "did you mean 'kappa'?" in cli("validate", suite)[2]
    measured = 'metrics = ["fid-legacy"]\n[metric]\nfid-legacy = { statistics = "nowhere.npz" }\n'
    suite.write_text('datasets = ["digits"]\nmodels = ["cfm"]\n' + measured)
    code, _, err = cli("validate", suite)
    assert (code, err) == (2, "genbench: fid-legacy.statistics: nowhere.npz does not exist\n")
