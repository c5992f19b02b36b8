"""Signals that stop a command: Ctrl-C, SIGTERM and SIGHUP end it in the same way."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stops() -> Iterator[Callable[[], int]]:
    """Let SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt. Yields a function that returns the exit status.

    The status is 0 before a signal. After it, the block may raise another exception: a library was interrupted, or the
    terminal is gone. A signal that was ignored before, as under nohup, stays ignored.
    """
    status = 0

    def stop(number: int, _: object) -> None:
        nonlocal status
        status = 128 + number
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    handled = [number for number, handler in before.items() if handler in (signal.SIG_DFL, signal.default_int_handler)]
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        handled = []
    for number in handled:
        signal.signal(number, stop)
    try:
        yield lambda: status
    finally:
        for number in handled:
            signal.signal(number, before[number])
