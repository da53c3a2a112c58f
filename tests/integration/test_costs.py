"""What pages say about the time of training steps and of trainings."""

import csv

from helpers.published import RESULTS, records, says, step_costs


def test_pages_state_what_pairing_adds_to_a_step():
    more = step_costs("digits-v1")["digits"]["otcfm"]
    assert says("few_steps.md", f"a step of OT-CFM costs {more:.2f} times as much as a step of CFM on digits.")
    steps, alone = {"otcfm": 1030, "sdcfm": 2050}, step_costs("plane-v1")["moons"]
    together = {model: 6000 / own for model, own in steps.items()}
    said = "a step of OT-CFM costs {:.1f} times as much as a step of CFM, and a step of SD-CFM {:.1f} times."
    assert says("few_steps.md", said.format(*together.values()))
    assert says("few_steps.md", "they cost {:.1f} and {:.1f} times".format(*(alone[model] for model in steps)))
    more = sorted(cost / alone[model] for model, cost in together.items())
    assert says("few_steps.md", "would get {:.1f} to {:.1f} times as many steps".format(*more))
    rows = csv.DictReader((RESULTS / "perf.csv").read_text("utf-8").splitlines())
    (share,) = (float(row["figure"]) for row in rows if row["row"] == "coupling-otcfm")
    assert share < 0.001
    assert says("few_steps.md", "OT of a batch takes less than 0.1 % ([perf.md](perf.md))")


def test_the_page_of_images_states_the_recorded_times_of_trainings():
    found = {}
    for suite in ("images", "mnist5k"):
        for record in records(suite):
            cost = record["provenance"].get("training", {}).get("cost", {})
            if record["spec"]["plan"]["steps"]:
                seconds = cost["train_seconds"] - cost.get("encoder_seconds", 0)  # the autoencoder is trained once
                found.setdefault(suite, {})[record["labels"]["run"]] = seconds
    *most, longest = sorted(found["images"].values())
    assert [run.split("-")[0] for run, own in found["images"].items() if own == longest] == ["sdcfm"]
    mnist = found["mnist5k"].values()
    said = f"they took {most[0]:.0f} to {most[-1]:.0f} s (one sdcfm: {longest:.0f} s; MNIST: {min(mnist):.0f} to "
    assert says("images.md", f"{said}{max(mnist):.0f} s).")
