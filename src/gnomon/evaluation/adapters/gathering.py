"""Requests that many callers make at about the same time, answered together."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Given = TypeVar("Given")


class Gathering(Generic[Asked, Given]):
    """One thread that answers in lots of at most `most`: what waits when the lot before is done, and what
    comes no later than `patience` seconds after the one before it."""

    def __init__(
        self, answer: Callable[[Sequence[Asked]], Sequence[Given]], most: int, patience: float = 0.02
    ) -> None:
        self._answer, self._most, self._patience = answer, most, patience
        self._waiting: SimpleQueue[tuple[Asked, Future[Given]] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name="gnomon-gathering", daemon=True)
        self._thread.start()

    def ask(self, asked: Asked) -> Future[Given]:
        """The answer when it is there, or what went wrong with its lot."""
        future: Future[Given] = Future()
        self._waiting.put((asked, future))
        return future

    def close(self) -> None:
        """Answer what waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while lot := self._lot():
            self._settle([(asked, future) for asked, future in lot if future.set_running_or_notify_cancel()])

    def _lot(self) -> list[tuple[Asked, Future[Given]]]:
        lot: list[tuple[Asked, Future[Given]]] = []
        wait = None  # the first may take as long as it likes
        while len(lot) < self._most:
            try:
                one = self._waiting.get(timeout=wait)
            except Empty:
                break
            if one is None:
                self._waiting.put(None)  # the end, once this lot is answered
                break
            lot.append(one)
            wait = self._patience
        return lot

    def _settle(self, lot: Sequence[tuple[Asked, Future[Given]]]) -> None:
        if not lot:
            return
        try:
            given = self._answer([asked for asked, _ in lot])
        except Exception as problem:  # whatever it is, it is those who asked that must hear of it
            for _, future in lot:
                future.set_exception(problem)
            return
        for (_, future), own in zip(lot, given, strict=True):
            future.set_result(own)
