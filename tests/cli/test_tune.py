"""tune: what it prints and writes."""

import json

import numpy as np

TRACK = """
datasets = ["moons"]
models = ["gaussian", {{ name = "cfm", trials = {{ model = {{ sigma = [{sigma}] }} }} }}]
metrics = ["sliced_w2"]
evaluation = {{ n = 16, batch = 16 }}
budgets = [{{ steps = 2, seeds = [0] }}]
[track]
baseline = "gaussian"
tuning = {{ steps = 2, seeds = 1 }}
"""


def test_the_command_writes_its_choice(cli, tmp_path):
    def say(*words):
        return cli("tune", *words, "--results", tmp_path)

    quick = ["--set", "plan.steps=8", "--set", "plan.batch_size=16", "--set", "evaluation.n=64", "--seeds", "2"]
    code, out, _ = say("cfm", "--dataset", "moons", "--over", "model.sigma=[0.0, 0.2]", "--metric", "sliced_w2", *quick)
    assert code == 0
    assert "moons: sliced_w2 on the validation split" in " ".join(out.split())
    (path,) = (tmp_path / "tuning").glob("cfm-on-moons-by-sliced_w2-*.json")
    kept = json.loads(path.read_text())
    chosen = kept["chosen"]["cfm"]["chosen"]
    assert chosen in ("model.sigma=0.0", "model.sigma=0.2")
    edge = "no smaller model.sigma than 0" if chosen == "model.sigma=0.0" else "no larger model.sigma than 0.2"
    assert f"Chosen for cfm: {chosen}; {edge} was tried." in " ".join(out.split())
    assert [len(candidate["values"]) for candidate in kept["candidates"]] == [2, 2]
    assert kept["budget"] == {"steps": 8, "batch_size": 16}
    assert "name the candidates with --over" in say("wcfm", "--dataset", "8gaussians")[2]


def test_a_second_file_does_not_take_the_place_of_the_first(cli, tmp_path):
    quick = ["--set", "plan.steps=2", "--set", "evaluation.n=16", "--seeds", "1"]
    for name, scale, sigma in (("one.npy", 1.0, 0.0), ("two.npy", 3.0, 0.1)):
        np.save(tmp_path / name, scale * np.random.default_rng(0).normal(size=(200, 2)))
        where = ("--dataset", tmp_path / name, "--results", tmp_path / "r")
        code, out, err = cli("tune", "cfm", *where, *quick, "--over", f"model.sigma=[{sigma}]")
        assert code == 0, err
        assert ("One seed has no standard error" in out) == (sigma == 0.0)  # whether the default is a candidate
    assert len([*(tmp_path / "r/tuning").glob("*.json")]) == 2


def test_tracks_of_the_same_file_name_keep_their_own_trials(cli, tmp_path):
    paths = []
    for sigma in (0.1, 0.2):
        path = tmp_path / str(sigma) / "some.toml"
        path.parent.mkdir()
        path.write_text(TRACK.format(sigma=sigma))
        assert cli("tune", "--track", path, "--results", tmp_path / "r")[0] == 0
        paths.append({*(tmp_path / "r/tuning").glob("some-*.json")})
    assert [len(found) for found in paths] == [1, 2]
    first, second = [json.loads(path.read_text()) for path in (*paths[0], *(paths[1] - paths[0]))]
    assert [each["candidates"][1]["settings"] for (each,) in (first, second)] == ["model.sigma=0.1", "model.sigma=0.2"]
