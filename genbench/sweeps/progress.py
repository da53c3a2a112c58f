"""Progress of runs and sweeps on stderr: bars on a terminal, a few lines elsewhere."""

import time
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from genbench import activity
from genbench.sweeps.cells import CellEvent
from genbench.sweeps.durations import Duration, TimeLeft

LINES = 10
"""Number of lines that a quick run or sweep prints without a terminal."""

SECONDS_PER_LINE = 60.0
"""Seconds after which a sweep prints another line without a terminal."""

SECONDS_PER_ACTIVITY = 10.0
"""Seconds after which an activity prints another line without a terminal."""

LONG = 900.0
"""Seconds of training above which a quick look is suggested, and seconds that the quick look takes."""
QUICK = 180.0


class _Count(TextColumn):
    """Shows how many of how many are done; empty while that is not known."""

    def render(self, task: Task) -> Text:
        return Text("" if task.total is None else f"{task.completed:.0f}/{task.total:.0f}")


def _cut(share: int) -> Column:
    """Return a column that shrinks on narrow terminals, with this share of the width that other columns leave."""
    return Column(ratio=share, no_wrap=True, overflow="ellipsis")


class _Left(TimeRemainingColumn):
    """Shows the time left: the estimate of a task that has one, or by the speed of its steps."""

    def render(self, task: Task) -> Text:
        if "left" not in task.fields:
            return super().render(task)
        return Text("" if task.fields["left"] is None else duration(task.fields["left"]))


class Bars(Progress):
    """Bars that go on if they cannot be drawn: the window of a terminal may have been closed."""

    def refresh(self) -> None:
        """Draw the bars."""
        with suppress(OSError):
            super().refresh()


class ProgressDisplay:
    """Shows the progress of a run or a sweep.

    Args:
        console: where to print; stderr by default.
        skipped: number of cells of the sweep that were done before, and are not shown.
        durations: how long cells like these took.
        processes: number of cells that run at a time.
    """

    def __init__(
        self,
        labels: Sequence[str],
        console: Console | None = None,
        skipped: int = 0,
        durations: Sequence[Duration] = (),
        processes: int = 1,
    ) -> None:
        self.labels = labels
        self.skipped = skipped
        self.time_left = TimeLeft(len(labels), durations, processes)
        self.console = console or Console(stderr=True)
        self.bars = Bars(
            TextColumn("{task.description}", markup=False, table_column=_cut(1)),
            BarColumn(bar_width=12),
            _Count("", table_column=Column(no_wrap=True, justify="right")),
            _Left(elapsed_when_finished=True, table_column=Column(no_wrap=True, min_width=7)),
            TextColumn("{task.fields[note]}", markup=False, table_column=_cut(1)),
            console=self.console,
            expand=True,
            disable=not self.console.is_terminal,
        )
        self.bar_of: dict[int, TaskID] = {}
        self.began: dict[int, tuple[float, int]] = {}
        self.running: set[int] = set()
        self.postponed: set[tuple[int, str]] = set()
        self.finished = self.failed = 0
        self.warned = False
        self.last_count = time.monotonic()
        self.total: TaskID | None = None
        self.activity_bar, self.activity_line = None, 0.0
        self.listening = activity.shown_by(self.on_activity)

    def __enter__(self) -> "ProgressDisplay":
        self.bars.start()
        self.listening.__enter__()
        if len(self.labels) > 1:
            self.total = self.bars.add_task("cells", total=len(self.labels), note="", left=None)
            self._show_counts(line=self.time_left.seconds() is not None)
        return self

    def __exit__(self, *error: object) -> None:
        self.listening.__exit__(None, None, None)
        with suppress(OSError):  # as in `_print`
            self.bars.stop()

    def on_event(self, event: CellEvent) -> None:
        """Show one event of a sweep."""
        self.time_left.on_event(event)
        if event.kind == "started":
            self._show_start(event)
        elif event.kind == "step":
            self._show_step(event)
        elif event.kind == "warning":
            self._print(f"genbench: {event.message}")
        elif event.kind in ("busy", "lost"):
            self._show_postponed(event)
        else:
            self._show_end(event)
        self._show_counts()

    def on_progress(self, step: int, steps: int, logs: dict[str, float]) -> None:
        """Show the progress of a single run."""
        self._show_step(CellEvent(0, "step", step, steps, tuple(logs.items())))

    def on_activity(self, what: str, done: int, total: int) -> None:
        """Show what the run of this process does besides training steps; counted work gets its own bar."""
        now = time.monotonic()
        if self.console.is_terminal:
            if total and self.activity_bar is None:
                self.activity_bar = self.bars.add_task(what, total=total, note="")
            if total and self.activity_bar is not None:
                self.bars.update(self.activity_bar, completed=done)
            if self.activity_bar is not None and done == total:
                self.bars.remove_task(self.activity_bar)
                self.activity_bar = None
            if not total and len(self.labels) == 1:
                self._bar(0, what)
        elif len(self.labels) > 1:
            self._show_counts()
        elif now - self.activity_line > SECONDS_PER_ACTIVITY:
            self.activity_line = now
            self._print(f"{what}: {done:,} of {total:,}" if total else what)

    def _bar(self, cell: int, note: str, step: int | None = None, steps: int | None = None) -> None:
        """Show a note, and the steps, on the bar of a cell."""
        if cell not in self.bar_of:
            self.bar_of[cell] = self.bars.add_task(self.labels[cell], total=None, note="")
        self.bars.update(self.bar_of[cell], completed=step, total=steps, note=note)

    def _show_start(self, event: CellEvent) -> None:
        self.running.add(event.cell)
        self.time_left.processes = max(self.time_left.processes, len(self.running))  # a cluster may grow
        if event.cell in self.bar_of:
            return  # its ensemble trained it, and it is measured now
        self.began.pop(event.cell, None)
        self._bar(event.cell, "")
        if event.ensemble:
            ensemble = f"an ensemble of {len(event.ensemble)}: {self.labels[event.cell]}"
            self.bars.update(self.bar_of[event.cell], description=ensemble)

    def _show_step(self, event: CellEvent) -> None:
        """Show how far a run has come, its speed and its latest scalars."""
        cell, step, steps, now = event.cell, event.step, event.steps, time.monotonic()
        since, first = self.began.setdefault(cell, (now, step))
        rate = (step - first) / (now - since) if step > first else 0.0
        notes = [f"{rate:.4g} steps/s" if rate else "", *(f"{k} {v:.4g}" for k, v in event.logs)]
        notes = [*(["measuring"] if step >= steps else []), *filter(None, notes)]
        self._bar(cell, " ".join(notes), step, steps)
        estimate = (steps - step) / rate if rate else 0.0
        if step in (first + 2, first + 19) and len(self.labels) == 1 and not self.warned:
            self._warn_of_length(steps, steps - step, estimate, rate, early=step == first + 2)
        every = max(1, steps // LINES)
        due = step % every < 100 <= step or step == steps
        if not self.console.is_terminal and len(self.labels) == 1 and due:
            left = [f"{duration(estimate)} left"] if step < steps else []
            self._print(", ".join([f"{self.labels[cell]}: step {step} of {steps}", *left, *notes]))

    def _warn_of_length(self, steps: int, left: int, seconds: float, rate: float, *, early: bool) -> None:
        """Print how long a training takes, and how to get a quick look; early only if it is very long."""
        if seconds > (4 * LONG if early else 60):
            self.warned = True
            quick, resumed = max(1, round_down(rate * QUICK)), steps - left > 100
            hint = f"; for a quick look, --set plan.steps={quick}" if seconds > LONG and not resumed else ""
            which = f"{left:,} steps left" if resumed else f"{steps:,} steps"
            self._print(f"{which} take about {duration(seconds)} on this machine{hint}")

    def _print(self, text: str, style: str | None = None) -> None:
        """Print a line above the bars; brackets in it are not markup."""
        clock = time.strftime("%H:%M:%S ") if len(self.labels) > 1 and not self.console.is_terminal else ""
        with suppress(OSError):  # a run goes on if its progress cannot be written, for example to a full disk
            self.console.print(clock + text, style=style, soft_wrap=True, highlight=False, markup=False)

    def _show_counts(self, *, line: bool = False) -> None:
        """Show how many cells are done, running and failed, and the time left; without a terminal, in a line a minute.

        Args:
            line: print the line now.
        """
        if self.total is None:
            return
        counts = {"running": len(self.running), "failed": self.failed, "skipped": self.skipped}
        notes = [f"{count} {what}" for what, count in counts.items() if count]
        seconds = self.time_left.seconds()
        self.bars.update(self.total, completed=self.finished, note=", ".join(notes), left=seconds)
        now = time.monotonic()
        if not self.console.is_terminal and (line or now - self.last_count >= SECONDS_PER_LINE):
            self.last_count = now
            notes += [f"about {duration(seconds)} left"] if seconds is not None else []
            self._print(", ".join([f"{self.finished} of {len(self.labels)} done", *notes]))

    def _show_postponed(self, event: CellEvent) -> None:
        """Show, once for each reason, that a cell is tried again later."""
        self.running.discard(event.cell)
        if event.cell in self.bar_of:
            self.bars.remove_task(self.bar_of.pop(event.cell))
        if (event.cell, event.message) not in self.postponed:
            self.postponed.add((event.cell, event.message))
            self._print(f"later: {self.labels[event.cell]}: {event.message}")

    def _show_end(self, event: CellEvent) -> None:
        self.finished += 1
        self.failed += event.kind == "failed"
        self.running.discard(event.cell)
        if event.cell in self.bar_of:
            self.bars.remove_task(self.bar_of.pop(event.cell))
        if event.kind == "failed":
            self._print(f"failed {self.labels[event.cell]}: {event.message}", "red")
        count = len(self.labels)
        tenth = self.finished * LINES // count > (self.finished - 1) * LINES // count
        self._show_counts(line=tenth)


def round_down(number: float) -> int:
    """Return a number with one significant digit.

    >>> round_down(4321.0), round_down(0.3)
    (4000, 0)
    """
    power = 10 ** (len(str(int(number))) - 1)
    return int(number) // power * power


def duration(seconds: float) -> str:
    """Return a duration in readable units.

    >>> duration(42), duration(600), duration(7300), duration(800_000)
    ('42 s', '10 min', '2 h 2 min', '9 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes >= 48 * 60:
        return f"{round(minutes / 60 / 24)} days"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
