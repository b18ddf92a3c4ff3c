"""torch.jit: everything runs compiled as it is, so these give back what they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from flambeau.nn.modules.module import Module


def script(obj: Any, *_: Any, **__: Any) -> Any:
    """The function or module itself."""
    return obj


def trace(func: Any, example_inputs: Any = None, *_: Any, **__: Any) -> Any:
    """The function or module itself: what it does may go on to depend on its inputs."""
    return func


def trace_module(mod: Any, inputs: Any, *_: Any, **__: Any) -> Any:
    """The module itself."""
    return mod


def script_if_tracing(fn: Any) -> Any:
    return fn


def script_method(fn: Any) -> Any:
    return fn


def interface(obj: Any) -> Any:
    return obj


def export(fn: Any) -> Any:
    return fn


def unused(fn: Any) -> Any:
    return fn


def ignore(drop: Any = False, **_: Any) -> Any:
    """The function itself; works as a decorator with and without arguments."""
    return drop if callable(drop) else lambda function: function


def freeze(mod: Any, preserved_attrs: Any = None, optimize_numerics: bool = True) -> Any:
    """The module itself."""
    return mod


def optimize_for_inference(mod: Any, other_methods: Any = None) -> Any:
    """The module itself."""
    return mod


def is_scripting() -> bool:
    """False: programs run as Python."""
    return False


def is_tracing() -> bool:
    """False: nothing is fixed by an example."""
    return False


def annotate(the_type: Any, the_value: Any) -> Any:
    """The value."""
    return the_value


def isinstance(obj: Any, target_type: Any) -> bool:
    """Python's own, for classes."""
    import builtins

    return builtins.isinstance(obj, target_type)


def fork(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The result of a call, to be waited for; it is made at once."""
    return _Done(func(*args, **kwargs))


def wait(future: Any) -> Any:
    """The result of a fork."""
    return future.wait()


class _Done:
    def __init__(self, value: Any) -> None:
        self._value = value

    def wait(self) -> Any:
        return self._value

    value = wait

    def done(self) -> bool:
        return True


Future = _Done


class ScriptModule(Module):
    """A module; written for TorchScript, it runs as any other."""


class ScriptFunction:
    """What script() gives in PyTorch; here it gives the function itself."""


RecursiveScriptModule = TracedModule = TopLevelTracedModule = ScriptModule
Attribute = annotate


class Error(RuntimeError):
    """An error of a script; never raised."""


class TracerWarning(Warning):
    """A warning of the tracer; never given."""


def _no_files(*_: Any, **__: Any) -> Any:
    raise NotImplementedError("TorchScript files are neither written nor read; save the module's "
                              "state_dict() with torch.save instead")  # fmt: skip


save = load = jit_module_from_flatbuffer = save_jit_module_to_flatbuffer = _no_files


@contextmanager
def optimized_execution(should_optimize: bool) -> Iterator[None]:
    """Nothing to switch."""
    yield


@contextmanager
def strict_fusion() -> Iterator[None]:
    """Nothing to switch."""
    yield


def set_fusion_strategy(strategy: Any) -> Any:
    """Nothing to switch."""
    return strategy


def enable_onednn_fusion(enabled: bool) -> None:
    """Nothing to switch."""


__all__ = ["Final", "ScriptFunction", "ScriptModule", "script", "trace"]
