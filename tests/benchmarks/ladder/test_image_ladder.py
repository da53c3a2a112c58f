"""The command on simulated records: latents-v1 is published, predicted and scored, budget by budget."""

import sys

from helpers.tracks import record_of, rows_of

import benchmarks.ladder.__main__ as command
from benchmarks.ladder import page as pages
from benchmarks.ladder.answers import MAIN
from benchmarks.ladder.page import LATENTS, planned
from benchmarks.ladder.predictors import read_predictions
from genbench.results.reader import RECORDS
from genbench.runs.record import format_published

DATA = "cifar10 images=f0c7f7bd"
"""The label in records. The plan and the page have no hash of the images."""
OTHER = "moons noise=0.3"
"""A task that plane-v1 does not plan, so that any methods and seeds of it are a finished budget."""
FIVE = ["cfm", "otcfm", "wcfm", "sdcfm", "reflow"]


def simulated(data, steps, methods, seeds):
    """Return a record of each method and seed; each method is better than the next."""
    common = record_of("cfm", data.partition(" ")[0], steps, seed=0, rows=[])
    common["labels"]["data"] = data
    records = []
    for rank, method in enumerate(methods):
        for seed in range(seeds):
            value = 1.5**rank + 0.01 * seed
            rows = rows_of(value, floor=None, curve=[(1.0, 2 * value)])
            place = common["track"][0] | {"row": method}
            records.append(common | {"spec": common["spec"] | {"seed": seed}, "results": rows, "track": [place]})
    return records


def publish(folder, records):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORDS).write_bytes(format_published(records))


def test_latents_are_compared_predicted_and_scored_budget_by_budget(tmp_path, monkeypatch):
    """Budgets have the methods of the plan: nine, thirteen, of which four have another network, and six."""
    monkeypatch.setattr(pages, "TRACKS", (MAIN, LATENTS))
    monkeypatch.setattr(pages, "REGISTERED", {LATENTS: "Registered for latents-v1.\n"})
    monkeypatch.setattr(command, "ROOT", tmp_path)
    picture, results = tmp_path / "docs" / "images" / "slopes.svg", tmp_path / "results"
    picture.parent.mkdir(parents=True)
    publish(results / MAIN, [*simulated(OTHER, 2000, FIVE, seeds=2), *simulated(OTHER, 20_000, FIVE, seeds=2)])

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["ladder", "--results", str(results), *words])
        command.main()

    def page():
        run()
        return (results / "cheap_predicts_dear.md").read_text("utf-8")

    def trained(steps, seeds):
        return simulated(DATA, steps, planned(LATENTS)["cifar10", steps], seeds)

    short, middle = trained(3000, seeds=3), trained(9000, seeds=3)
    compared = (
        "| cifar10 | 3,000 to 9,000 | 3 and 3 | 9 of 9 |",
        "On latents-v1 (3,000 to 9,000 steps, 9 methods), ",
        "On latents-v1, 3,000 to 9,000 steps:",
        "Two networks, after 9,000 steps:",
        "Registered for latents-v1.",
    )

    publish(results / LATENTS, [*short, *trained(9000, seeds=2)])  # the third seed has not ended
    begun = page()
    assert not any(words in begun for words in compared)
    assert picture.exists()

    publish(results / LATENTS, [*short, *middle])
    run("--predict", LATENTS, "9000", "27000", "ratio")
    pairs = read_predictions(results / LATENTS)["ratio"].pairs
    assert {task: len(own) for task, own in pairs.items()} == {
        (DATA, "sliced_w2"): 15,
        (DATA, "sliced_w2, NFE 1"): 15,
    }
    predicted = page()
    assert all(words in predicted for words in compared)
    assert "| cifar10, sliced_w2 | 0 of 15 |  | not scored |" in predicted

    publish(results / LATENTS, [*short, *middle, *trained(27_000, seeds=3)])
    scored = page()
    assert "| cifar10, sliced_w2 | 15 of 15 | 3 | 0." in scored
    assert "| cifar10, sliced_w2, NFE 1 | 15 of 15 | 3 | 0." in scored
