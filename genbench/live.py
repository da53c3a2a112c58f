"""Live views: progress bars on a terminal, one line an event elsewhere. Everything goes to stderr."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from genbench.cells import News

LINES_A_RUN = 10
"""How often a run reports where there is no terminal."""


class Live:
    """Shows what a run or a sweep does.

    Args:
        labels: what each cell is called.
        console: where to; stderr by default.
    """

    def __init__(self, labels: Sequence[str], console: Console | None = None) -> None:
        self.labels = [escape(label) for label in labels]  # [flip] is no markup
        self.console = console or Console(stderr=True)
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.tasks: dict[int, TaskID] = {}
        self.began: dict[int, tuple[float, int]] = {}
        self.put_off: set[tuple[int, str]] = set()
        self.finished = self.failed = 0
        self.all: TaskID | None = None

    def __enter__(self) -> "Live":
        self.bars.start()
        if len(self.labels) > 1:
            self.all = self.bars.add_task("cells", total=len(self.labels), note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def tell(self, news: News) -> None:
        """Show one event of a sweep."""
        if news.kind == "started":
            if news.cell in self.tasks:  # a stack is trained first, and then measured
                return
            self.tasks[news.cell] = self.bars.add_task(self.labels[news.cell], total=None, note="")
        elif news.kind == "step":
            self.step(news.cell, news.step, news.steps, dict(news.logs))
        elif news.kind == "said":
            self.console.print(f"genbench: {escape(news.reason)}", soft_wrap=True, highlight=False)
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
            self.console.print(f"{self.labels[cell]}: about {duration(estimate)} of training left")
        every = max(1, steps // LINES_A_RUN)
        if not self.console.is_terminal and len(self.labels) == 1 and (step % every < 100 <= step or step == steps):
            left = f", {duration(estimate)} left" if step < steps else ""
            self.console.print(f"{self.labels[cell]}: step {step} of {steps}{left}  {note}", soft_wrap=True)

    def _put_off(self, news: News) -> None:
        """Say once of a cell that it will be looked at again later."""
        if news.cell in self.tasks:
            self.bars.remove_task(self.tasks.pop(news.cell))
        if (news.cell, news.reason) not in self.put_off:
            self.put_off.add((news.cell, news.reason))
            self.console.print(
                f"later: {self.labels[news.cell]}: {escape(news.reason)}", soft_wrap=True, highlight=False
            )

    def _ended(self, news: News) -> None:
        self.finished += 1
        self.failed += news.kind == "failed"
        if news.cell in self.tasks:
            self.bars.remove_task(self.tasks.pop(news.cell))
        if self.all is not None:
            self.bars.update(self.all, completed=self.finished, note=f"{self.failed} failed" if self.failed else "")
        if news.kind == "failed":
            self.console.print(f"[red]failed[/red] {self.labels[news.cell]}: {escape(news.reason)}", soft_wrap=True)
        elif not self.console.is_terminal:
            self.console.print(f"done {self.finished} of {len(self.labels)}: {self.labels[news.cell]}", soft_wrap=True)


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(42), duration(600), duration(7300)
    ('42 s', '10 min', '2 h 2 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
