"""Progress of runs and sweeps on stderr: bars on a terminal, a few lines elsewhere."""

import time
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from genbench.sweeps.jobs import JobEvent

LINES = 10
"""Number of lines that a quick run or sweep prints where there is no terminal."""

SECONDS_PER_LINE = 60.0
"""Seconds after which a sweep, or one of its cells, prints another line where there is no terminal."""


class ProgressDisplay:
    """Shows the progress of a run or a sweep.

    Args:
        console: where to print; stderr by default.
        skipped: number of cells of the sweep that are done already, and not among these.
    """

    def __init__(self, labels: Sequence[str], console: Console | None = None, skipped: int = 0) -> None:
        self.labels = labels
        self.skipped = skipped
        self.console = console or Console(stderr=True)
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.bar_of: dict[int, TaskID] = {}
        self.began: dict[int, tuple[float, int]] = {}
        self.last_line: dict[int, float] = {}
        self.postponed: set[tuple[int, str]] = set()
        self.finished = self.failed = 0
        self.start = self.last_count = time.monotonic()
        self.total: TaskID | None = None

    def __enter__(self) -> "ProgressDisplay":
        self.bars.start()
        if len(self.labels) > 1:
            self.total = self.bars.add_task("cells", total=len(self.labels), note=self._counts())
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # as for lines
            self.bars.stop()

    def on_event(self, event: JobEvent) -> None:
        """Show one event of a sweep."""
        if event.kind == "started":
            self._show_start(event.cell)
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
        self._show_step(JobEvent(0, "step", step, steps, tuple(logs.items())))

    def _show_start(self, cell: int) -> None:
        if cell in self.bar_of:
            return  # it was trained in its ensemble, and is measured now
        self.began.pop(cell, None)
        self.bar_of[cell] = self.bars.add_task(self.labels[cell], total=None, note="")

    def _show_step(self, event: JobEvent) -> None:
        """Show how far a run has come, its speed and its latest scalars."""
        cell, step, steps, now = event.cell, event.step, event.steps, time.monotonic()
        since, first = self.began.setdefault(cell, (now, step))
        rate = (step - first) / (now - since) if step > first else 0.0
        notes = [f"{rate:.4g} steps/s" if rate else "", *(f"{k} {v:.4g}" for k, v in event.logs)]
        notes = [*(["measuring"] if step >= steps else []), *filter(None, notes)]
        if cell not in self.bar_of:
            self.bar_of[cell] = self.bars.add_task(self.labels[cell], total=steps, note="")
        self.bars.update(self.bar_of[cell], completed=step, total=steps, note=" ".join(notes))
        estimate = (steps - step) / rate if rate else 0.0
        if step == first + 19 and estimate > 60 and len(self.labels) == 1:
            self._print(f"{self.labels[cell]}: about {duration(estimate)} of training left")
        if not self.console.is_terminal and self._line_is_due(event, now):
            left = [f"{duration(estimate)} left"] if step < steps else []
            self._print(", ".join([f"{self.labels[cell]}: step {step} of {steps}", *left, *notes]))

    def _line_is_due(self, event: JobEvent, now: float) -> bool:
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
        with suppress(OSError):  # progress that cannot be written, as to a full disk, stops no run
            self.console.print(clock + text, style=style, soft_wrap=True, highlight=False, markup=False)

    def _counts(self) -> str:
        counts = {"failed": self.failed, "skipped": self.skipped}
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)

    def _show_postponed(self, event: JobEvent) -> None:
        """Show, once for each reason, that a cell is tried again later."""
        if event.cell in self.bar_of:
            self.bars.remove_task(self.bar_of.pop(event.cell))
        if (event.cell, event.message) not in self.postponed:
            self.postponed.add((event.cell, event.message))
            self._print(f"later: {self.labels[event.cell]}: {event.message}")

    def _show_end(self, event: JobEvent) -> None:
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
        """Print how many cells are done: at each tenth of them, and after a minute."""
        count, now = len(self.labels), time.monotonic()
        tenth = self.finished * LINES // count > (self.finished - 1) * LINES // count
        if tenth or now - self.last_count >= SECONDS_PER_LINE:
            self.last_count, rate = now, (now - self.start) / self.finished
            left = f", about {duration(rate * (count - self.finished))} left" if self.finished < count else ""
            failed = f", {self.failed} failed" if self.failed else ""
            self._print(f"{self.finished} of {count} done{failed}{left}")


def duration(seconds: float) -> str:
    """Return a duration in readable units.

    >>> duration(42), duration(600), duration(7300)
    ('42 s', '10 min', '2 h 2 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
