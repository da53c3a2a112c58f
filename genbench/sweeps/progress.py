"""Live views: progress bars on a terminal, one line an event elsewhere. Everything goes to stderr."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from genbench.sweeps.jobs import News

LINES_A_RUN = 10
"""How often a single run reports where there is no terminal."""

PAUSE = 60.0
"""Seconds between two reports of one cell of a sweep where there is no terminal."""


class Live:
    """Shows what a run or a sweep does.

    Args:
        labels: what each cell is called.
        console: where to; stderr by default.
        skipped: cells of the sweep that are done already, and not among these.
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
        self.tasks: dict[int, TaskID] = {}
        self.began: dict[int, tuple[float, int]] = {}
        self.spoke: dict[int, float] = {}
        self.put_off: set[tuple[int, str]] = set()
        self.finished = self.failed = 0
        self.all: TaskID | None = None

    def __enter__(self) -> "Live":
        self.bars.start()
        if len(self.labels) > 1:
            self.all = self.bars.add_task("cells", total=len(self.labels), note=self._counts())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def tell(self, news: News) -> None:
        """Show one event of a sweep."""
        if news.kind == "started" and news.cell in self.tasks:
            return  # trained with its stack, it is measured now
        if news.kind == "started":
            self.began.pop(news.cell, None)
            self.tasks[news.cell] = self.bars.add_task(self.labels[news.cell], total=None, note="")
            if not self.console.is_terminal and (news.cell, "") not in self.put_off:
                self._say(f"started {self.labels[news.cell]}")
        elif news.kind == "step":
            self.step(news.cell, news.step, news.steps, dict(news.logs))
        elif news.kind == "said":
            self._say(f"genbench: {news.reason}")
        elif news.kind in ("busy", "lost"):
            self._put_off(news)
        else:
            self._ended(news)

    def watch(self, cell: int = 0) -> Callable[[int, int, dict[str, float]], None]:
        """Return a progress function for a single run."""
        return lambda step, steps, logs: self.step(cell, step, steps, logs)

    def step(self, cell: int, step: int, steps: int, logs: dict[str, float]) -> None:
        """Show how far a run has come, its speed and its latest scalars."""
        now = time.monotonic()
        if cell not in self.began:
            self.began[cell] = (now, step)
        since, first = self.began[cell]
        rate = (step - first) / (now - since) if step > first else 0.0
        note = " ".join([f"{rate:.4g} steps/s" if rate else "", *(f"{k} {v:.4g}" for k, v in logs.items())]).strip()
        if step >= steps:
            note += "  measuring"
        if cell not in self.tasks:
            self.tasks[cell] = self.bars.add_task(self.labels[cell], total=steps, note="")
        self.bars.update(self.tasks[cell], completed=step, total=steps, note=note)
        estimate = (steps - step) / rate if rate else 0.0
        if step == first + 19 and estimate > 60 and len(self.labels) == 1:
            self._say(f"{self.labels[cell]}: about {duration(estimate)} of training left")
        if not self.console.is_terminal and self._due(cell, step, steps, now):
            left = f", {duration(estimate)} left" if step < steps else ""
            self._say(f"{self.labels[cell]}: step {step} of {steps}{left}  {note}")

    def _due(self, cell: int, step: int, steps: int, now: float) -> bool:
        """Return whether a line on a run is due: ten a run, or for each cell of a sweep one a minute."""
        if len(self.labels) == 1:
            return step % max(1, steps // LINES_A_RUN) < 100 <= step or step == steps
        if now - self.spoke.setdefault(cell, now) < PAUSE:
            return False
        self.spoke[cell] = now
        return True

    def _say(self, text: str, style: str | None = None) -> None:
        """Print a line above the bars; what is in brackets is no markup."""
        clock = time.strftime("%H:%M:%S ") if len(self.labels) > 1 and not self.console.is_terminal else ""
        self.console.print(clock + text, style=style, soft_wrap=True, highlight=False, markup=False)

    def _counts(self) -> str:
        counts = {"failed": self.failed, "skipped": self.skipped}
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)

    def _put_off(self, news: News) -> None:
        """Say once of a cell that it will be looked at again later."""
        if news.cell in self.tasks:
            self.bars.remove_task(self.tasks.pop(news.cell))
        if (news.cell, news.reason) not in self.put_off:
            self.put_off |= {(news.cell, news.reason), (news.cell, "")}
            self._say(f"later: {self.labels[news.cell]}: {news.reason}")

    def _ended(self, news: News) -> None:
        self.finished += 1
        self.failed += news.kind == "failed"
        if news.cell in self.tasks:
            self.bars.remove_task(self.tasks.pop(news.cell))
        if self.all is not None:
            self.bars.update(self.all, completed=self.finished, note=self._counts())
        if news.kind == "failed":
            self._say(f"failed {self.labels[news.cell]}: {news.reason}", "red")
        elif not self.console.is_terminal:
            self._say(f"done {self.finished} of {len(self.labels)}: {self.labels[news.cell]}")


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(42), duration(600), duration(7300)
    ('42 s', '10 min', '2 h 2 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
