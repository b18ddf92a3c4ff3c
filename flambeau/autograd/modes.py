"""no_grad, enable_grad, set_grad_enabled, inference_mode: whether calls record gradients.

Each is a context manager and a decorator (of generator functions as well: it covers their body).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from flambeau.trace import flush
from flambeau.trace.modes import Mode, switch
from flambeau.trace.trie import here

_switched: dict[Mode, Mode] = {}  # the same mode with gradients the other way


def set_mode(*, grad: bool) -> None:
    """Whether gradients are recorded from now on, in this thread.

    Where parameters were updated after a backward, a training step written by hand is over: a good
    place to run it.
    """
    stretch = here.stretch
    mode = stretch.mode
    if mode.grad is not grad:
        new = _switched.get(mode)
        if new is None:
            new = _switched[mode] = switch(mode, grad=grad)
        here.stretch.mode = new  # another thread may have ended the stretch by now
        if grad and stretch.updated and stretch.backward_done and stretch is here.stretch:
            flush.end_step()


class _Switch:
    """A context manager that is a decorator too."""

    def __call__(self, function: Any) -> Any:
        if inspect.isclass(function):
            function.__init__ = self(function.__init__)  # type: ignore[method-assign]
            return function
        if inspect.isgeneratorfunction(function):
            return around_generator(self._again, function)

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return inside

    def _again(self) -> Any:
        """Another context manager like this one."""
        return type(self)()

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *_: object) -> Any:
        raise NotImplementedError


def around_generator(context: Callable[[], Any], function: Any) -> Any:
    """A generator function whose body runs inside a context, but not who iterates over it."""

    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        resume: Any = functools.partial(next, generator)
        while True:
            try:
                with context():
                    value = resume()
            except StopIteration as stop:
                return stop.value
            try:
                sent = yield value
                resume = functools.partial(generator.send, sent)
            except GeneratorExit:
                with context():
                    generator.close()
                raise
            except BaseException as error:
                resume = functools.partial(generator.throw, error)

    return inside


class no_grad(_Switch):
    """Calls inside record no gradients."""

    grad = False

    def __new__(cls, function: Any = None) -> Any:
        return object.__new__(cls) if function is None else cls()(function)

    def __enter__(self) -> None:
        self.before = here.stretch.mode.grad
        if self.before is not self.grad:
            set_mode(grad=self.grad)

    def __exit__(self, *_: object) -> None:
        if self.before is not self.grad or here.stretch.mode.grad is not self.before:
            set_mode(grad=self.before)


class enable_grad(no_grad):
    """Calls inside record gradients again."""

    grad = True


class set_grad_enabled(_Switch):
    """Whether calls record gradients: from now on, or inside a `with` block."""

    def __init__(self, mode: bool) -> None:
        self.before, self.mode = here.stretch.mode.grad, mode
        set_mode(grad=bool(mode))

    def __call__(self, function: Any) -> Any:
        set_mode(grad=self.before)
        return super().__call__(function)

    def _again(self) -> Any:
        return type(self)(self.mode)

    def __enter__(self) -> None:
        set_mode(grad=bool(self.mode))

    def __exit__(self, *_: object) -> None:
        set_mode(grad=self.before)


class inference_mode(_Switch):
    """no_grad for code whose results never meet a gradient."""

    def __new__(cls, mode: Any = True) -> Any:
        if isinstance(mode, bool):
            return super().__new__(cls)
        return cls()(mode)

    def __init__(self, mode: bool = True) -> None:
        self.mode = mode

    def _again(self) -> Any:
        return type(self)(self.mode)

    def __enter__(self) -> None:
        self.before = here.stretch.mode
        if self.mode:
            here.stretch.mode = switch(self.before, grad=False, inference=True)
        elif self.before.inference:
            here.stretch.mode = switch(self.before, grad=True, inference=False)

    def __exit__(self, *_: object) -> None:
        mode = here.stretch.mode
        here.stretch.mode = switch(mode, grad=self.before.grad, inference=self.before.inference)


def is_grad_enabled() -> bool:
    """Whether calls record gradients now."""
    return here.stretch.mode.grad


def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on."""
    return here.stretch.mode.inference
