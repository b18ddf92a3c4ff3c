"""Random rows: each reads and writes `state`, the block of memory that a generator is.

So the order of draws and the stream's position follow from data flow like everything else, and a
draw whose result nobody wants still advances the stream. What is drawn is said in runtime/draws.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec
from flambeau.ops.declare import effect, elementwise
from flambeau.ops.rules import keep, zeros
from flambeau.ops.samples import no_samples
from flambeau.runtime import draws
from flambeau.trace.modes import Mode


def draw(name: str, parameters: str, numbers: Sequence[str], fill: Callable[..., Any]) -> Any:
    """A row that fills a fresh tensor of `size`; fill: (state, n, dtype, *parameters)."""

    def meaning(state: Any, size: Any, dtype: dt.DType, *rest: Any) -> None:
        *given, out = rest
        out[...] = fill(state, out.size, dtype, *given).reshape(out.shape)

    signature = f"{name}(state, size, dtype{parameters and ', ' + parameters})"
    return effect(
        signature, public="", numbers=numbers, shape=shape, numpy=meaning, writes=("state",)
    )


def shape(mode: Mode, state: Spec, size: Any, dtype: dt.DType, *rest: Any) -> Any:
    return ((size, dtype),)


uniform = draw("_uniform", "low, high", ("low", "high"), draws.uniform)
normal = draw("_normal", "mean, std, contiguous", ("mean", "std"), draws.normal)
log_normal = draw("_log_normal", "mean, std", ("mean", "std"), draws.log_normal)
exponential = draw("_exponential", "rate", ("rate",), draws.exponential)
cauchy = draw("_cauchy", "median, sigma", ("median", "sigma"), draws.cauchy)
geometric = draw("_geometric", "p", ("p",), draws.geometric)
bernoulli = draw("_bernoulli", "p", ("p",), draws.bernoulli)
dropout_mask = draw("_dropout_mask", "p", ("p",), draws.dropout_mask)
random = draw("_random", "", (), draws.random_)
random_from = draw(
    "_random_from",
    "low",
    ("low",),
    lambda state, n, dtype, low: draws.integers(state, n, draws.span_from(low, dtype), dtype),
)
randint = draw(
    "_randint",
    "low, high",
    ("low", "high"),
    lambda state, n, dtype, low, high: draws.randint(state, n, low, high, dtype),
)
randperm = draw("_randperm", "", (), draws.randperm)


def of_tensor(state: Any, input: Any, dtype: dt.DType, p_dtype: dt.DType, out: Any) -> None:
    out[...] = draws.bernoulli_tensor(state, np.ascontiguousarray(input), p_dtype, dtype).reshape(
        out.shape
    )


def drawn(name: str) -> Any:
    """A draw as a function of the parameters that it was drawn by: its derivative is zero."""
    return elementwise(
        f"_{name}_drawn(input, tensor1, tensor2=None)",
        public="",
        node=f"{name.capitalize()}Backward0",
        dtype=keep,
        numpy=lambda x, *parameters: x,
        scalar=lambda k, x, *parameters: x,
        grad=dict(tensor1=lambda g: zeros(g), tensor2=lambda g: zeros(g)),
        samples=no_samples,
    )


normal_drawn, bernoulli_drawn = drawn("normal"), drawn("bernoulli")
bernoulli_tensor = effect(  # chances from a tensor, whose own dtype is told beside it
    "_bernoulli_tensor(state, input, dtype, p_dtype)",
    public="",
    shape=lambda mode, state, input, dtype, p_dtype: ((input.size, dtype),),
    numpy=of_tensor,
    writes=("state",),
    may_fail=True,
)


def indices_of(
    state: Any, input: Any, n: int, replacement: bool, dtype: dt.DType, out: Any
) -> None:
    out[...] = draws.multinomial(state, input, dtype, n, replacement)


multinomial = effect(
    "_multinomial(state, input, n, replacement, dtype)",
    public="",
    shape=lambda mode, state, input, n, replacement, dtype: (((*input.size[:-1], n), dt.int64),),
    numpy=indices_of,
    writes=("state",),
    may_fail=True,
)
