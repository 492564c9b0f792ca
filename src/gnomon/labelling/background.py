"""What the server does beside answering requests: by threads that look for work, again and again."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

GRACE = 15.0
"""Seconds for which what is under way at the end is waited for; what is not finished then is done again."""


@contextmanager
def in_background(work: Callable[[], bool], threads: int, look: float) -> Iterator[None]:
    """Let threads do what there is, until the block ends; what is under way is finished.

    `work` says whether there was any; where there was none, or it failed, the next look is `look` seconds on.
    """
    stop = Event()

    def busy() -> None:
        while not stop.is_set():
            try:
                found = work()
            except Exception:  # a full disk or a database that restarts is no reason never to look again
                logging.getLogger(work.__module__).exception("work in the background failed")
                found = False
            if not found:
                stop.wait(look)

    # daemons: a server that is told twice to stop does not wait for them, and what they do is kept elsewhere
    running = [Thread(target=busy, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in running:
            thread.join(GRACE)
