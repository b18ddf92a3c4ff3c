"""Anomaly detection: says which line of the program made the node whose derivative failed."""

from __future__ import annotations

import warnings
from typing import Any

from flambeau.autograd.formulas import node_name

enabled = False
check_nan = True


class set_detect_anomaly:
    """Switch anomaly detection on or off; usable as a context manager."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        global enabled
        self.before = enabled, globals()["check_nan"]
        enabled = mode
        globals()["check_nan"] = check_nan

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        global enabled
        enabled, globals()["check_nan"] = self.before


class detect_anomaly:
    """Check every derivative for NaN inside a `with` block, and name the forward line of errors."""

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan
        warnings.warn("Anomaly Detection has been enabled. This mode will increase the runtime and "
                      "should only be enabled for debugging.", stacklevel=2)  # fmt: skip

    def __enter__(self) -> None:
        self.inner = set_detect_anomaly(True, self.check_nan)

    def __exit__(self, *error: object) -> None:
        self.inner.__exit__(*error)


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return enabled


def set_anomaly_enabled(enabled: bool, check_nan: bool = True) -> None:
    """Switch anomaly detection on or off."""
    set_detect_anomaly(enabled, check_nan)


def is_anomaly_check_nan_enabled() -> bool:
    """Whether it looks for NaN."""
    return check_nan


def checked(node: Any, grads: list[Any]) -> list[Any]:
    """The gradients, after a look for NaN."""
    for number, grad in enumerate(grads):
        if check_nan and grad is not None and bool((grad != grad).any()):
            raise RuntimeError(
                f"Function '{node_name(node)}' returned nan values in its {number}th output."
            )
    return grads


def report(node: Any) -> None:
    """Warn with the line that made a node."""
    event = getattr(node.state, "event", None)
    source = getattr(event, "source", None)
    where = f"  {source}" if source is not None else "  (the line is not known)"
    warnings.warn(f"Error detected in {node_name(node)}. Traceback of forward call that caused the "
                  f"error:\n{where}", stacklevel=2)  # fmt: skip
