"""torch.futures: results that come later, for threads of a program to wait for each other."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition
from typing import Any


class Future:
    """A result, or an error, that is set once and waited for."""

    def __init__(self, *, devices: Any = None) -> None:
        self._ready, self._set = Condition(), False
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future], Any]] = []

    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._set

    def wait(self) -> Any:
        """The result, as soon as there is one; raises the error instead."""
        with self._ready:
            self._ready.wait_for(self.done)
        return self.value()

    def value(self) -> Any:
        """The result, which must be there; raises the error instead."""
        if not self._set:
            raise RuntimeError("the future is not completed; wait() for it")
        if self._error is not None:
            raise self._error
        return self._value

    def set_result(self, result: Any) -> None:
        """Complete it with a result."""
        self._complete(result, None)

    def set_exception(self, result: BaseException) -> None:
        """Complete it with an error."""
        if not isinstance(result, Exception):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._complete(None, result)

    def _complete(self, value: Any, error: BaseException | None) -> None:
        with self._ready:
            if self._set:
                raise RuntimeError("Attempting to mark a completed Future as complete again. Note "
                                   "that a Future can only be marked completed once.")  # fmt: skip
            self._value, self._error, self._set = value, error, True
            callbacks, self._callbacks = self._callbacks, []
            self._ready.notify_all()
        for callback in callbacks:
            callback(self)

    def add_done_callback(self, callback: Callable[[Future], Any]) -> None:
        """Call callback(self) when it is completed; at once if it is."""
        with self._ready:
            if not self._set:
                self._callbacks.append(callback)
                return
        callback(self)

    def then(self, callback: Callable[[Future], Any]) -> Future:
        """The future of what callback(self) gives."""
        follower = Future()

        def follow(future: Future) -> None:
            try:
                result = callback(future)
            except Exception as error:
                follower.set_exception(RuntimeError(
                    "Got the following error when running the callback: "
                    f"{type(error).__name__}: {error}"
                ))  # fmt: skip
            else:
                follower.set_result(result)

        self.add_done_callback(follow)
        return follower


def collect_all(futures: list[Future]) -> Future:
    """The future of all futures, completed when each of them is."""
    whole, left = Future(), [len(futures)]
    counting = Condition()

    def count(_: Future) -> None:
        with counting:
            left[0] -= 1
            last = not left[0]
        if last:
            whole.set_result(futures)

    for future in futures:
        future.add_done_callback(count)
    if not futures:
        whole.set_result(futures)
    return whole


def wait_all(futures: list[Future]) -> list[Any]:
    """The results of all, when each is there; raises the first error."""
    return [future.wait() for future in collect_all(futures).wait()]


__all__ = ["Future", "collect_all", "wait_all"]
