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

LINES = 10
"""Number of lines that a quick run or sweep prints without a terminal."""

SECONDS_PER_LINE = 60.0
"""Seconds after which a sweep, or one of its cells, prints another line without a terminal."""


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
    """

    def __init__(self, labels: Sequence[str], console: Console | None = None, skipped: int = 0) -> None:
        self.labels = labels
        self.skipped = skipped
        self.console = console or Console(stderr=True)
        self.bars = Bars(
            TextColumn("{task.description}", markup=False, table_column=_cut(1)),
            BarColumn(bar_width=12),
            _Count("", table_column=Column(no_wrap=True, justify="right")),
            TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(no_wrap=True, min_width=7)),
            TextColumn("{task.fields[note]}", markup=False, table_column=_cut(1)),
            console=self.console,
            expand=True,
            disable=not self.console.is_terminal,
        )
        self.latest = 0
        self.bar_of: dict[int, TaskID] = {}
        self.began: dict[int, tuple[float, int]] = {}
        self.last_line: dict[int, float] = {}
        self.postponed: set[tuple[int, str]] = set()
        self.finished = self.failed = 0
        self.warned = False
        self.start = self.last_count = time.monotonic()
        self.total: TaskID | None = None
        self.activity_bar, self.activity_line = None, 0.0
        self.listening = activity.shown_by(self.on_activity)

    def __enter__(self) -> "ProgressDisplay":
        self.bars.start()
        self.listening.__enter__()
        if len(self.labels) > 1:
            self.total = self.bars.add_task("cells", total=len(self.labels), note=self._counts())
        return self

    def __exit__(self, *error: object) -> None:
        self.listening.__exit__(None, None, None)
        with suppress(OSError):  # as in `_print`
            self.bars.stop()

    def on_event(self, event: CellEvent) -> None:
        """Show one event of a sweep."""
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
        elif now - self.activity_line > SECONDS_PER_ACTIVITY:
            of_all = f": {done:,} of {total:,}" if total else ""
            self.activity_line = now
            cell = f"{self.labels[self.latest]}: " if len(self.labels) > 1 else ""
            self._print(f"{cell}{what}{of_all}")

    def _bar(self, cell: int, note: str, step: int | None = None, steps: int | None = None) -> None:
        """Show a note, and the steps, on the bar of a cell."""
        if cell not in self.bar_of:
            self.bar_of[cell] = self.bars.add_task(self.labels[cell], total=None, note="")
        self.bars.update(self.bar_of[cell], completed=step, total=steps, note=note)

    def _show_start(self, event: CellEvent) -> None:
        self.latest = event.cell
        if event.cell in self.bar_of:
            return  # its ensemble trained it, and it is measured now
        self.began.pop(event.cell, None)
        self._bar(event.cell, "")
        if event.message:
            self.bars.update(self.bar_of[event.cell], description=f"{event.message}: {self.labels[event.cell]}")

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
        if not self.console.is_terminal and self._line_is_due(event, now):
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

    def _line_is_due(self, event: CellEvent, now: float) -> bool:
        if len(self.labels) == 1:
            every = max(1, event.steps // LINES)
            return event.step % every < 100 <= event.step or event.step == event.steps
        if now - self.last_line.setdefault(event.cell, now) < SECONDS_PER_LINE:
            return False
        self.last_line[event.cell] = now
        return True

    def _print(self, text: str, style: str | None = None) -> None:
        """Print a line above the bars; brackets in it are not markup."""
        clock = time.strftime("%H:%M:%S ") if len(self.labels) > 1 and not self.console.is_terminal else ""
        with suppress(OSError):  # a run goes on if its progress cannot be written, for example to a full disk
            self.console.print(clock + text, style=style, soft_wrap=True, highlight=False, markup=False)

    def _counts(self) -> str:
        counts = {"failed": self.failed, "skipped": self.skipped}
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)

    def _show_postponed(self, event: CellEvent) -> None:
        """Show, once for each reason, that a cell is tried again later."""
        if event.cell in self.bar_of:
            self.bars.remove_task(self.bar_of.pop(event.cell))
        if (event.cell, event.message) not in self.postponed:
            self.postponed.add((event.cell, event.message))
            self._print(f"later: {self.labels[event.cell]}: {event.message}")

    def _show_end(self, event: CellEvent) -> None:
        self.finished += 1
        self.failed += event.kind == "failed"
        if event.cell in self.bar_of:
            self.bars.remove_task(self.bar_of.pop(event.cell))
        if self.total is not None:
            self.bars.update(self.total, completed=self.finished, note=self._counts())
        if event.kind == "failed":
            self._print(f"failed {self.labels[event.cell]}: {event.message}", "red")
        if not self.console.is_terminal:
            self._print_count()

    def _print_count(self) -> None:
        """Print how many cells are done: after each tenth of them, and each minute."""
        count, now = len(self.labels), time.monotonic()
        tenth = self.finished * LINES // count > (self.finished - 1) * LINES // count
        if tenth or now - self.last_count >= SECONDS_PER_LINE:
            self.last_count, rate = now, (now - self.start) / self.finished
            left = f", about {duration(rate * (count - self.finished))} left" if self.finished < count else ""
            failed = f", {self.failed} failed" if self.failed else ""
            self._print(f"{self.finished} of {count} done{failed}{left}")


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
