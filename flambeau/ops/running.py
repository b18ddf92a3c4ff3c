"""Rows that run along a dim: running extremes with their places, running log-sum-exp."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec
from flambeau.ops.declare import structured
from flambeau.ops.functions import function_of
from flambeau.ops.pairs import logaddexp_numpy
from flambeau.ops.rules import lacks, one_dim, refuse_complex
from flambeau.ops.samples import no_samples
from flambeau.ops.scan import along_one_dim


def running_extreme(name: str, step: Any) -> Any:
    """cummax and cummin: of equal ones the last, and NaN once there was one."""

    def clean(input: Spec, dim: Any) -> tuple[Any, ...]:
        refuse_complex(input, lacks(f"{name}_cpu"), NotImplementedError)
        return input, one_dim(dim, input.ndim)

    def numpy(x: Any, dim: int) -> Any:
        if not x.ndim:
            return x, np.zeros((), np.int64)
        best = step.accumulate(x, dim)
        numbers = np.arange(x.shape[dim]).reshape((-1,) + (1,) * (x.ndim - dim - 1))
        return best, np.maximum.accumulate(np.where((x == best) | (x != x), numbers, 0), dim)

    return structured(
        f"_{name}(input, dim)",
        public="",
        node=f"{name.capitalize()}Backward0",
        clean=clean,
        shape=lambda mode, input, dim: ((input.size, input.dtype), (input.size, dt.int64)),
        numpy=numpy,
        grad=dict(
            input=lambda g, out1, call: (
                g[0].new_zeros(call.input.size).scatter_add(call.dim, out1, g[0])
            )
        ),
        samples=no_samples,
    )


cummax = running_extreme("cummax", np.maximum)
cummin = running_extreme("cummin", np.minimum)


# ------------------------------------------------------------------ logarithms of running sums


def clean_float(input: Spec, dim: Any) -> tuple[Any, ...]:
    dim = one_dim(dim, input.ndim)
    if input.dtype.kind not in "fc":
        raise NotImplementedError(lacks("logcumsumexp_out_cpu").format(input.dtype.legacy))
    return input, dim


def running_log(x: Any, dim: int) -> Any:
    if not x.ndim or not x.size:
        return x
    if x.dtype.kind == "f":
        return np.logaddexp.accumulate(x, dim, np.float64)
    out = np.array(np.moveaxis(x, dim, 0))
    for k in range(1, out.shape[0]):
        out[k] = logaddexp_numpy(out[k - 1], out[k])
    return np.moveaxis(out, 0, dim)


def running_log_grad(g: Any, input: Any, out: Any, call: Any) -> Any:
    """exp(x) times the sum of g exp(-out) from here on, in logarithms: nothing overflows."""
    if not (input._spec.numel and input._spec.size):
        return g
    if input.is_complex():
        return later_logs(g.log() - out, call.dim, input)
    negative, none = g.lt(0), -float("inf")
    logs = g.abs().log() - out
    up = later_logs(logs.masked_fill(g.le(0), none), call.dim, input)
    return up - later_logs(logs.masked_fill(negative.logical_not(), none), call.dim, input)


def later_logs(logs: Any, dim: int, input: Any) -> Any:
    """exp(x + log Σ exp(logs)) over this element and all behind it."""
    return (LOGS(logs.flip((dim,)), dim).flip((dim,)) + input).exp()


logcumsumexp = structured(
    "logcumsumexp(input, dim)",
    clean=clean_float,
    shape=lambda mode, input, dim: ((input.size, input.dtype),),
    numpy=running_log,
    grad=dict(input=running_log_grad),
    samples=along_one_dim(),
)
LOGS: Any = function_of(logcumsumexp)
