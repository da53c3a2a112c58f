"""The live view: bars on a terminal, few lines elsewhere."""

import errno
import io
import re

import pytest
from rich.console import Console

from genbench import activity
from genbench.sweeps import progress
from genbench.sweeps.cells import CellEvent
from genbench.sweeps.progress import ProgressDisplay

LABELS = ["cfm on moons, seed 0", "starflow blocks=[a,b] on moons, seed 0", "wcfm on moons, seed 0"]


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves on."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def shown(events, *, terminal, labels=LABELS, moments=None, clock=None, skipped=0, width=120):
    out = io.StringIO()
    with ProgressDisplay(labels, Console(file=out, force_terminal=terminal, width=width), skipped) as view:
        for item in events:
            if clock is not None:
                clock[0] += moments
            view.on_event(item)
        view.bars.refresh()
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())


def test_a_terminal_shows_step_loss_rest_and_counts(clock):
    steps = [CellEvent(0, "step", 100 * k, 400, (("loss", 0.5 / k),)) for k in (1, 2)]
    events = [CellEvent(0, "started"), *steps]
    events += [CellEvent(1, "started"), CellEvent(1, "failed", message="it broke [bold]here[/bold]")]
    said = shown(events, terminal=True, clock=clock, moments=10, skipped=7)
    assert "failed starflow blocks=[a,b] on moons, seed 0: it broke [bold]here[/bold]" in said
    *_, total, cell = said.strip().splitlines()
    assert re.search(r"cells .* 1/3 .* 1 failed, 7 skipped", total)
    assert re.search(r"cfm on moons, seed 0 .* 200/400 .* 10 steps/s loss 0.25", cell)


def test_elsewhere_a_sweep_prints_a_line_a_minute(clock):
    steps = [CellEvent(0, "step", 100 * k, 2000, (("loss", 1 / k),)) for k in range(1, 21)]
    busy = CellEvent(2, "busy", message="process 7 on there is at it")
    events = [CellEvent(0, "started"), *steps, CellEvent(0, "done"), *[CellEvent(2, "started"), busy] * 2]
    lines = shown(events, terminal=False, clock=clock, moments=15).strip().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    assert [line[9:] for line in lines] == [
        "0 of 3 done, 1 running, about 14 min left",
        "0 of 3 done, 1 running, about 13 min left",
        "0 of 3 done, 1 running, about 12 min left",
        "0 of 3 done, 1 running, about 11 min left",
        "0 of 3 done, 1 running, about 10 min left",
        "1 of 3 done, about 10 min left",
        "later: wcfm on moons, seed 0: process 7 on there is at it",
        "1 of 3 done, about 10 min left",
    ]


def test_a_quick_sweep_of_many_cells_prints_ten_lines_and_a_slow_one_a_line_a_minute(clock):
    labels = [f"cfm on moons, seed {n}" for n in range(100)]
    events = [CellEvent(n, kind) for n in range(100) for kind in ("started", "done")]
    quick = shown(events, terminal=False, labels=labels, clock=clock, moments=0.5).strip().splitlines()
    assert [line[9:] for line in quick][::9] == ["10 of 100 done, about 45 s left", "100 of 100 done"]
    assert len(quick) == 10
    slow = shown(events, terminal=False, labels=labels, clock=clock, moments=31).strip().splitlines()
    assert len(slow) == 100
    events = [CellEvent(0, "step", 100 * k, 2000) for k in range(1, 21)]
    lines = shown(events, terminal=False, labels=LABELS[:1], clock=clock, moments=1).strip().splitlines()
    assert len(lines) == 10
    assert lines[-1].startswith("cfm on moons, seed 0: step 2000 of 2000, measuring, 100 steps/s")


def test_the_speed_of_a_cell_that_begins_again_is_that_of_its_second_life(clock):
    began, steps = CellEvent(0, "started"), [CellEvent(0, "step", k, 1000) for k in (100, 200, 300)]
    events = [began, *steps, CellEvent(0, "lost", message="killed"), began, *steps[:2]]
    said = shown(events, terminal=True, clock=clock, moments=10)
    assert re.search(r"200/1000 .* 10 steps/s", said.strip().splitlines()[-1])


def test_progress_that_cannot_be_written_stops_nothing():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    console = Console(file=Full(), width=120)
    with pytest.raises(OSError, match="No space"):
        console.print("x")
    with ProgressDisplay(LABELS, console) as view:
        view.on_event(CellEvent(0, "warning", message="slow"))
        view.on_event(CellEvent(0, "done"))
    assert view.finished == 1


def test_bars_of_a_terminal_that_has_gone_stop_nothing():
    class Window(io.StringIO):
        closed_by_user = False

        def write(self, text):
            if self.closed_by_user:
                raise OSError(errno.EIO, "Input/output error")
            return super().write(text)

    window = Window()
    with ProgressDisplay(LABELS, Console(file=window, force_terminal=True, width=120)) as view:
        window.closed_by_user = True
        for event in ("started", "done"):
            view.on_event(CellEvent(0, event))
        view.on_activity("decoding images", 1, 2)
        view.on_activity("decoding images", 2, 2)
    assert view.finished == 1


def test_count_and_rest_are_shown_whatever_the_names_and_losses(clock):
    name = "starflow blocks=[2,2,2,2] width=112 head=28 noise=0.3 net=transformer(layers=12) on cifar10, seed 12"
    logs = (("loss", 0.123456), ("a long name of a loss", 123456.0), ("ess", 1.0))
    steps = [CellEvent(0, "step", k, 400_000, logs) for k in (100_000, 200_000)]
    events = [CellEvent(0, "started", ensemble=(0, 1, 2)), CellEvent(1, "started"), *steps]
    lines = shown(events, terminal=True, labels=[name, "cfm"], clock=clock, moments=3600, width=80).strip().splitlines()
    assert re.search(r"an ensemble.*… .* 200000/400000 +(\d+:)?\d+:\d\d:\d\d .*27\.78 steps/s", lines[-2])
    assert max(map(len, lines)) <= 80


def test_long_work_besides_steps_is_shown(clock):
    lines = "decoding images: 300 of 900\nmeasuring w2\n"
    for terminal, said in ((True, r"decoding images .*/900 [\s\S]*measuring w2"), (False, lines)):
        out = io.StringIO()
        with ProgressDisplay(LABELS[:1], Console(file=out, force_terminal=terminal, width=120)) as view:
            for what, *counts in (("decoding images", 300, 900), ("decoding images", 301, 900), ("measuring w2",)):
                activity.report(what, *counts)
                clock[0] += 6
            view.bars.refresh()
        activity.report("measuring after the end")
        printed = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())
        assert re.search(said, printed)
        assert "after the end" not in printed


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (72_000, "400,000 steps take about 20 h"),
        (9e5, "about 10 days"),
        (800, "about 13 min on this machine\n"),
        (40, None),
    ],
)
def test_a_long_training_says_so_before_and_how_to_look_sooner(clock, rest, said):
    out = io.StringIO()
    with ProgressDisplay(LABELS[:1], Console(file=out, width=120)) as view:
        for step in (1, 3, 20):
            clock[0] = 1000 + step * rest / 400_000
            view.on_event(CellEvent(0, "step", step, 400_000))
    printed = out.getvalue()
    assert printed.count("on this machine") == (said is not None)
    assert said is None or said in printed
    quick = re.search(r"--set plan.steps=(\d+)", printed)
    assert (quick is not None) == (rest > 900)
    assert quick is None or 60 < int(quick[1]) * rest / 400_000 <= 180
