"""no_grad, enable_grad, set_grad_enabled, inference_mode."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from flambeau.trace.modes import Mode, switch
from flambeau.trace.trie import here

_switched: dict[tuple[Mode, bool], Mode] = {}


def set_mode(*, grad: bool) -> None:
    """Whether gradients are recorded from now on, in this thread."""
    stretch = here.stretch
    mode = stretch.mode
    if mode.grad is not grad:
        new = _switched.get((mode, grad))
        if new is None:
            new = _switched[mode, grad] = switch(mode, grad=grad)
        stretch.mode = new


class _Switch:
    """A context manager that is a decorator too (of generators as well)."""

    def __call__(self, function: Any) -> Any:
        if inspect.isgeneratorfunction(function):
            return self._around_generator(function)

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return inside

    def _around_generator(self, function: Any) -> Any:
        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            generator = function(*args, **kwargs)
            send: Any = None
            while True:
                try:
                    with self._again():
                        value = generator.send(send)
                except StopIteration as stop:
                    return stop.value
                send = yield value

        return inside

    def _again(self) -> Any:
        return type(self)()


class no_grad(_Switch):
    """Calls inside record no gradients. Usable as a context manager and as a decorator."""

    def __new__(cls, function: Any = None) -> Any:
        self = super().__new__(cls)
        return self if function is None else self(function)

    def __enter__(self) -> None:
        self.before = here.stretch.mode.grad
        set_mode(grad=False)

    def __exit__(self, *_: object) -> None:
        set_mode(grad=self.before)


class enable_grad(no_grad):
    """Calls inside record gradients again."""

    def __enter__(self) -> None:
        self.before = here.stretch.mode.grad
        set_mode(grad=True)


def is_grad_enabled() -> bool:
    """Whether calls record gradients now."""
    return here.stretch.mode.grad
