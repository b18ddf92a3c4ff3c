"""The same lines of code under PyTorch and under Flambeau, and whether they give the same.

`same("x = torch.arange(6).view(2, 3)", "x.t()")` runs the lines with `torch` bound to each, and
compares what the last one gives: value, dtype, shape, stride, offset, requires_grad, grad_fn's
name; of an
error its class and first words.
"""

from __future__ import annotations

import ast
import warnings
from typing import Any

import numpy as np
import pytest

import flambeau

oracle = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")


def run(torch: Any, lines: tuple[str, ...]) -> Any:
    """What the last line gives; an error is given back, not raised."""
    scope: dict[str, Any] = {"torch": torch, "np": np}
    torch.manual_seed(0)
    tree = ast.parse("\n".join(lines))
    *body, last = tree.body
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(ast.Module(body, []), "<lines>", "exec"), scope)
            if isinstance(last, ast.Expr):
                return facts(eval(compile(ast.Expression(last.value), "<last>", "eval"), scope))
            exec(compile(ast.Module([last], []), "<last>", "exec"), scope)
    except Exception as error:
        return error
    return None


def facts(x: Any) -> Any:
    """Anything as plain Python that can be compared."""
    if isinstance(x, (flambeau.Tensor, oracle.Tensor)):
        node = x.grad_fn
        name = None if node is None else node.name()
        values = x.detach().double().tolist() if x.is_floating_point() else x.tolist()
        return {
            "values": values,
            "dtype": str(x.dtype),
            "shape": tuple(x.shape),
            "stride": tuple(x.stride()),
            "offset": x.storage_offset(),
            "requires_grad": x.requires_grad,
            "grad_fn": name,
        }
    if isinstance(x, np.ndarray):
        return {"array": x.tolist(), "dtype": str(x.dtype), "strides": x.strides}
    if isinstance(x, (tuple, list)):
        return [facts(y) for y in x]
    if isinstance(x, (int, float, str, bool, type(None))):
        return x
    return repr(x)


def difference(a: Any, b: Any, tolerance: float, at: str = "") -> str | None:
    """Where two results differ first: floats within a tolerance, NaN equal to NaN."""
    if isinstance(a, float) and isinstance(b, float):
        equal = a == b or a != a and b != b or abs(a - b) <= tolerance * max(1.0, abs(b))
        return None if equal else f"{at}: {a} for {b}"
    if type(a) is not type(b) or isinstance(a, (list, dict)) and len(a) != len(b):
        return f"{at}: {a} for {b}"
    if isinstance(a, list):
        return first(
            difference(x, y, tolerance, f"{at}[{i}]") for i, (x, y) in enumerate(zip(a, b))
        )
    if isinstance(a, dict):
        return first(difference(a[k], b[k], tolerance, f"{at}.{k}") for k in a)
    return None if a == b else f"{at}: {a!r} for {b!r}"


def first(found: Any) -> str | None:
    """The first that is something."""
    return next((f for f in found if f), None)


def same(*lines: str, tolerance: float = 1e-6, words: int = 5) -> None:
    """Both give the same; of errors the class and the first words (0: the class alone)."""
    theirs, ours = run(oracle, lines), run(flambeau, lines)
    if isinstance(theirs, Exception) or isinstance(ours, Exception):
        expected, given = describe(theirs, words), describe(ours, words)
        if expected != given and isinstance(ours, Exception):
            raise AssertionError(f"expected {expected}, got {given}") from ours
        assert given == expected
        return
    found = difference(ours, theirs, tolerance)
    assert found is None, f"Flambeau{found}\nFlambeau: {ours}\nPyTorch:  {theirs}"


def describe(result: Any, words: int) -> Any:
    if isinstance(result, Exception):
        return type(result).__name__, str(result).split()[:words]
    return result
