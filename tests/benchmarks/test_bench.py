"""The table of speed: what a row measures, and rows that are measured again one by one."""

import sys
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"


@pytest.fixture(autouse=True)
def perf(monkeypatch):
    """The scripts import their neighbors by the folder in which they are started."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "perf"))
    monkeypatch.setenv("XLA_FLAGS", "")  # which one of them sets
    monkeypatch.setenv("NPROC", "1")


def test_the_committed_page_is_that_of_the_committed_rows():
    import bench

    assert bench.page(bench.read(RESULTS / "perf.csv").values()) == (RESULTS / "perf.md").read_text("utf-8")


def test_a_row_is_measured_again_by_its_name_and_the_others_are_kept(tmp_path, monkeypatch):
    import bench
    from harness import Row, Sides

    def sides():
        return Sides(lambda: time.sleep(0.001), lambda: time.sleep(0.03), note="said")

    every = [Row(name=name, work=f"work of {name}", peer="peer", sides=sides, aim=1.0) for name in ("one", "two")]
    monkeypatch.setattr(bench, "rows", lambda: every)
    monkeypatch.setattr(bench, "hardware", lambda: "A machine.")
    monkeypatch.setattr(sys, "argv", ["bench.py", "--results", str(tmp_path)])
    bench.main()
    before = bench.read(tmp_path / "perf.csv")
    assert float(before["one"]["figure"]) > 1
    assert before["one"]["met"] == "true"
    monkeypatch.setattr(bench, "hardware", lambda: "Another machine.")
    monkeypatch.setattr(sys, "argv", ["bench.py", "--only", "two", "--results", str(tmp_path)])
    bench.main()
    after = bench.read(tmp_path / "perf.csv")
    assert [*after] == ["one", "two"]
    assert after["one"] == before["one"]
    assert after["two"]["machine"] == "Another machine."
    page = (tmp_path / "perf.md").read_text("utf-8")
    assert "\n\nA machine. Rows: one.\n\nAnother machine. Rows: two.\n\n" in page
    assert f"| {after['two']['date']}, {after['two']['commit']} |" in page


def test_short_calls_have_a_processor_time():
    """It counted ticks of 10 ms, and the share of a short call was 0 %."""
    from harness import timed

    def work():
        until = time.process_time() + 0.002
        while time.process_time() < until:
            pass

    seconds = [timed(work)[1] for _ in range(5)]
    assert all(0.002 <= own < 0.02 for own in seconds)
    assert len(set(seconds)) > 1


def test_plans_of_otcfm_are_drawn_in_the_one_thread_that_both_sides_have(monkeypatch):
    from training import genbench_loop

    from genbench.models.flow_matching.couplings.minibatch_ot import MinibatchOT

    found, before = set(), MinibatchOT.__call__

    def watched(self, *words):
        found.add(threading.current_thread().name)
        return before(self, *words)

    monkeypatch.setattr(MinibatchOT, "__call__", watched)
    genbench_loop("otcfm", 3, 1)()
    assert found == {"MainThread"}


def test_trajectories_take_as_many_evaluations_on_both_sides(monkeypatch):
    pytest.importorskip("torchcfm")
    import sampling

    from genbench.metrics.sampling import noise

    plan = sampling.Plan
    monkeypatch.setattr(sampling, "Plan", lambda steps: plan(steps=20))
    nets = sampling.of_the_plane()
    for count, stored in ((2, ""), (100, "100 times per trajectory; ")):
        sides = sampling.dopri5(nets, noise(nets[1].source, 64, 0), 1e-4, count)
        assert sides.note.startswith(f"{stored}NFE ")
        assert sides.note.endswith(" on both sides")
