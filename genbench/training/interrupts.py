"""Signals that stop a training wait for the end of a step, so that its checkpoint is complete."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupts:
    """The signals of this process while it trains: the first signal stops the training; this class ignores later ones.

    The command line ends at a second signal.

    Args:
        together: whether the processes of a group stop after the same step: a signal then only sets `asked`. Otherwise
            a signal raises KeyboardInterrupt, at once or after an uninterrupted block.
    """

    def __init__(self, together: bool) -> None:
        self.together, self.busy = together, False
        self.number: int | None = None

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self.number is not None

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals of a block, and pass the first one on to the previous handler afterwards.

        Only the main thread can handle signals. A signal that the process ignores, such as SIGINT in a worker of a
        sweep, stays ignored.
        """
        before = {}
        if threading.current_thread() is threading.main_thread():
            before = {number: signal.getsignal(number) for number in STOPPING}
            before = {number: known for number, known in before.items() if known not in (signal.SIG_IGN, None)}
        for number in before:
            signal.signal(number, self._stop)
        try:
            yield
        finally:
            for number, known in before.items():
                signal.signal(number, known)
            if self.number is not None and callable(known := before[self.number]):
                known(self.number, None)  # raised again, it would be a second signal
            elif self.number is not None:
                signal.raise_signal(self.number)

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Let a signal wait for the end of a block; if an error ends the block halfway, `busy` stays true."""
        self.busy = True
        yield
        self.busy = False
        if self.asked and not self.together:
            raise KeyboardInterrupt

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            if not (self.busy or self.together):
                raise KeyboardInterrupt
