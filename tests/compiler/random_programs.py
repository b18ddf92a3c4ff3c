"""Random programs as plain data, and what they mean: the same lines for PyTorch and for Flambeau.

A program is a list of steps (name, i, j, k); a step picks its operands and parameters by these
numbers, so that every list of steps is a program and a shorter one is a simpler one. `run` answers
what can be seen of it: looks on the way, errors by class, every surviving tensor, gradients.

The steps are in random_steps.py, random_layers.py, random_picks.py and random_exact.py. Programs
that were found to go wrong are kept by their numbers: new leaves and steps are entered at the end.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Step = tuple[str, int, int, int]
Act = Callable[[Any, list[Any], int, int, int], Any]
MOST = 14  # variables alive at once; the oldest goes
BIG = 4096  # elements above which nothing is broadcast any further
ACTS: dict[str, Act] = {}

LEAVES = [
    ((3, 4), "float32"), ((4,), "float32"), ((2, 3, 4), "float32"), ((), "float32"),
    ((4, 3), "float32"), ((0, 4), "float32"), ((3, 1), "float64"), ((3, 4), "int64"),
    ((4,), "bool"), ((17, 5), "float32"), ((4,), "int32"), ((), "int64"), ((40,), "float32"),
    ((3, 4), "uint8"),
]  # fmt: skip

# Of low precision; a number from FIRST_HALF on, twice as many: with and without requires_grad.
HALVES = [
    ((3, 4), "bfloat16"), ((4,), "bfloat16"), ((2, 3, 4), "bfloat16"), ((17, 5), "bfloat16"),
    ((3, 4), "float32"), ((40,), "bfloat16"), ((), "bfloat16"), ((3, 4), "float16"),
]  # fmt: skip

# With values at the edges of their types; a number from FIRST_EDGE on.
EDGES = [
    ((3, 4), "float32"), ((24,), "float32"), ((2, 3, 4), "float64"), ((3, 4), "bfloat16"),
    ((4,), "float16"), ((3, 4), "int64"), ((24,), "int32"), ((4,), "int8"), ((3, 4), "uint8"),
    ((3, 4), "bool"), ((), "float32"), ((0, 4), "float32"), ((), "int64"), ((37,), "float32"),
    ((2, 3, 4), "int16"), ((37,), "int64"),
]  # fmt: skip

FIRST_HALF = 2 * len(LEAVES)
FIRST_EDGE = FIRST_HALF + 2 * len(HALVES)
PAST_EDGES = FIRST_EDGE + len(EDGES)
SPECIAL = (np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-40, -3e-42, 1.5e-45, 1e-38, 0.25, -1.0, 7.5)


def act(function: Act) -> Act:
    """Enter a step into the table, under its function's name."""
    ACTS[function.__name__.strip("_")] = function
    return function


def leaf(torch: Any, number: int, salt: int) -> Any:
    """One of the program's inputs: quarters between -4 and 4, which add up without rounding."""
    random = np.random.default_rng(1000 * salt + number)
    if number >= FIRST_EDGE:
        size, dtype = EDGES[number - FIRST_EDGE]
        return made(torch, edge_values(random, size, dtype), dtype)
    table, first = (LEAVES, 0) if number < FIRST_HALF else (HALVES, FIRST_HALF)
    again, number = divmod(number - first, len(table))
    size, dtype = table[number]
    values = random.integers(-16, 16, size) / 4
    x = made(torch, np.abs(values) if dtype == "uint8" else values, dtype)
    return x.requires_grad_() if again and x.is_floating_point() else x


def edge_values(random: np.random.Generator, size: tuple[int, ...], dtype: str) -> Any:
    """NaN, infinities, zeros of both signs and denormals; the ends of integers."""
    if dtype == "bool":
        return random.integers(0, 2, size)
    if dtype.startswith(("float", "bfloat")):
        plain = random.integers(-16, 16, size) / 4
        return np.where(random.random(size) < 0.4, random.choice(SPECIAL, size), plain)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    ends = random.choice(np.array([low, low + 1, high, high - 1, 0, 1], dtype), size)
    return np.where(random.random(size) < 0.4, ends, random.integers(0, 16, size).astype(dtype))


def made(torch: Any, values: Any, dtype: str) -> Any:
    """A tensor whose values Python hands over one by one."""
    array = np.asarray(values)
    array = array.astype(np.float64 if "float" in dtype else dtype)
    flat = torch.tensor(array.reshape(-1).tolist(), dtype=getattr(torch, dtype))
    return flat.reshape(array.shape).clone()


# ------------------------------------------------------------------ choices


def pick(env: list[Any], i: int) -> Any:
    return env[i % len(env)]


def fitting(env: list[Any], j: int, fits: Callable[[Any], bool]) -> Any:
    """The first variable from j on that will do, or None."""
    n = len(env)
    return next((env[(j + m) % n] for m in range(n) if fits(env[(j + m) % n])), None)


def broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        return int(np.prod(np.broadcast_shapes(a, b))) <= BIG
    except ValueError:
        return False


def is_float(x: Any) -> bool:
    return x.is_floating_point()


def apart(x: Any) -> Any:
    """A copy of what overlaps itself: PyTorch lets it be written to by index, and warns."""
    return x.clone() if any(s == 0 and n > 1 for s, n in zip(x.stride(), x.shape)) else x


def is_filled(x: Any) -> bool:
    return x.dim() > 0 and x.numel() > 0


def some_float(torch: Any, env: list[Any], i: int) -> Any:
    """A floating variable from i on; one is made of the first if there is none."""
    found = fitting(env, i, is_float)
    return pick(env, i).to(torch.float32) if found is None else found


def dim_of(x: Any, j: int) -> int:
    return j % max(x.dim(), 1)


# ------------------------------------------------------------------ running


def facts(x: Any) -> tuple[Any, ...]:
    """What can be seen of a tensor; the strides that lead from one element to another."""
    strides = tuple(s for s, n in zip(x.stride(), x.shape) if n > 1) if x.numel() else ()
    values = np.array(x.detach().tolist(), dtype=object).astype(
        np.float64 if x.is_floating_point() else np.int64).reshape(tuple(x.shape))  # fmt: skip
    return str(x.dtype).split(".")[-1], strides, x.requires_grad, values


def run(torch: Any, leaves: list[int], steps: list[Step], salt: int = 0) -> list[Any]:
    """Everything that can be seen of a program."""
    torch.manual_seed(salt)
    env = [leaf(torch, number, salt) for number in leaves]
    inputs, seen = list(env), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, i, j, k in steps:
            try:
                result = ACTS[name](torch, env, i, j, k + salt if name in SALTED else k)
            except NotImplementedError:
                raise
            except Exception as error:
                seen.append(said(error))
                continue
            if isinstance(result, tuple):
                seen.append(result)
            elif result is not None and result.numel() <= BIG:
                env.append(result)
                del env[:-MOST]
        result = None
        try:
            total = sum((x.sum() for x in env if x.requires_grad), torch.zeros(()))
            if total.requires_grad:
                total.backward()
        except RuntimeError as error:
            seen.append(said(error))
    seen += [facts(x) for x in env]
    seen += [None if x.grad is None else facts(x.grad) for x in inputs if x.is_leaf]
    return seen


def said(error: Exception) -> str:
    """An error by its class; PyTorch keeps more for its derivatives, and what has changed since."""
    return CHANGED if CHANGED in str(error) else type(error).__name__


CHANGED = "has been modified by an inplace operation"
SALTED = ("scalar", "exact_scalar")


# ------------------------------------------------------------------ comparing


def difference(ours: list[Any], theirs: list[Any], tolerance: float) -> str | None:
    """The first thing that differs, in words. A tolerance of 0: not even in the sign of a zero."""
    if len(ours) != len(theirs):
        errors = [[thing for thing in seen if isinstance(thing, str)] for seen in (ours, theirs)]
        return f"{len(ours)} things seen, not {len(theirs)}; errors {errors[0]} for {errors[1]}"
    for number, (a, b) in enumerate(zip(ours, theirs)):
        if isinstance(a, tuple) and isinstance(b, tuple):
            found = unlike(a, b, tolerance)
        else:
            found = None if a == b else f"{a} for {b}"
        if found is not None:
            return f"thing {number} of {len(ours)}: {found}"
    return None


def unlike(a: tuple[Any, ...], b: tuple[Any, ...], tolerance: float) -> str | None:
    """What differs between the facts of two tensors."""
    (*said, x), (*wanted, y) = a, b
    if said != wanted or x.shape != y.shape:
        return f"{(*said, x.shape)} for {(*wanted, y.shape)}"
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    if "float" in said[0] and tolerance:
        finite = np.isfinite(x) & np.isfinite(y)
        scale = max(1.0, np.abs(y[finite]).max(initial=0))
        with np.errstate(all="ignore"):
            same |= finite & (np.abs(x - y) <= tolerance * scale)
    elif "float" in said[0]:
        same &= (x != 0) | (np.signbit(x) == np.signbit(y))
    if same.all():
        return None
    return f"{said}, at {np.argwhere(~same)[:4].tolist()}: {x[~same][:4]} for {y[~same][:4]}"
