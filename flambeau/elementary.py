"""Functions of one or two numbers that pick a row by their arguments, or are made of other rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flambeau.filling import fill, named, results
from flambeau.ir import dtype as dt
from flambeau.ir.dtype import category
from flambeau.ops.declare import TABLE
from flambeau.ops.functions import inplace_of
from flambeau.ops.rules import promoted
from flambeau.tensor import FUNCTIONS as row
from flambeau.tensor import Tensor
from flambeau.trace.recorder import record_write
from flambeau.trace.trie import here

results("frexp", "mantissa", "exponent")


def positive(input: Any) -> Any:
    """The tensor itself; truth values have no sign."""
    if input.dtype is dt.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def frexp(input: Any, *, out: Any = None) -> Any:
    """mantissa · 2^exponent, |mantissa| in [0.5, 1)."""
    if out is not None and out[1].dtype is not dt.int32:
        raise RuntimeError("torch.frexp() expects exponent to have int dtype but got "
                           f"{out[1].dtype.legacy.lower()}")  # fmt: skip
    return named("frexp", row["_frexp"](input), out)


# ------------------------------------------------------------------ log-odds


def odds_bounds(input: Any, eps: float | None) -> tuple[float | None, float | None]:
    """eps and 1 - eps, rounded to the type of the result."""
    if eps is None:
        return None, None
    if not isinstance(input, Tensor):
        raise TypeError(f"logit(): argument 'input' must be Tensor, not {type(input).__name__}")
    dtype = kept(input)

    def rounded(x: float) -> float:
        array = np.asarray(x, dt.compute_dtype(dtype).numpy)
        return float(dt.widen(dt.narrow(array, dtype), dtype))

    return rounded(eps), rounded(1 - eps)


def logit(input: Any, eps: float | None = None, *, out: Any = None) -> Any:
    """log(x / (1 - x)), with x between eps and 1 - eps where that is given."""
    return row["_logit"](input, *odds_bounds(input, eps), out=out)


def logit_(input: Any, eps: float | None = None) -> Any:
    """logit, over the input."""
    return record_write(TABLE["_logit"], input, input, *odds_bounds(input, eps))


# ------------------------------------------------------------------ neighbours


def digits(input: Any, other: Any) -> int | None:
    """The explicit bits of the common type's mantissa, where that is a narrow one."""
    for name, x in (("input", input), ("other", other)):
        if not isinstance(x, Tensor):
            raise TypeError(f"nextafter(): argument '{name}' must be Tensor, not "
                            f"{type(x).__name__}")  # fmt: skip
    return {dt.float16: 10, dt.bfloat16: 7}.get(
        promoted(here.stretch.mode, input._spec, other._spec)
    )


def nextafter(input: Any, other: Any, *, out: Any = None) -> Any:
    """The next number after input in the direction of other."""
    return row["_nextafter"](input, other, digits(input, other), out=out)


def nextafter_(input: Any, other: Any) -> Any:
    """nextafter, over the input."""
    return record_write(TABLE["_nextafter"], input, input, other, digits(input, other))


# ------------------------------------------------------------------ float64 powers


def power_dtype(input: Any, exponent: Any) -> Any:
    """complex128 where an operand is complex, else float64."""
    kinds = [x.dtype.kind == "c" if isinstance(x, Tensor) else isinstance(x, complex)
             for x in (input, exponent)]  # fmt: skip
    if not any(isinstance(x, Tensor) for x in (input, exponent)):
        raise TypeError("float_power() received an invalid combination of arguments - got "
                        f"({type(input).__name__}, {type(exponent).__name__})")  # fmt: skip
    return dt.complex128 if any(kinds) else dt.float64


def float_power(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """input to the power exponent, in float64 or complex128."""
    from flambeau.functions import pow

    dtype = power_dtype(input, exponent)
    if out is not None and out.dtype is not dtype:
        raise RuntimeError(f"the output given to float_power has dtype {out.dtype.legacy} but the "
                           f"operation's result requires dtype {dtype.legacy}")  # fmt: skip
    base, exponent = (
        x.to(dtype) if isinstance(x, Tensor) else complex(x) if dtype.kind == "c" else float(x)
        for x in (input, exponent)
    )
    return pow(base, exponent, out=out)


def float_power_(input: Any, exponent: Any) -> Any:
    """float_power, over the input, which must be of that type."""
    dtype = power_dtype(input, exponent)
    if input.dtype is not dtype:
        raise RuntimeError(f"the base given to float_power_ has dtype {input.dtype.legacy} but the "
                           f"operation's result requires dtype {dtype.legacy}")  # fmt: skip
    return input.pow_(exponent.to(dtype) if isinstance(exponent, Tensor) else exponent)


# ------------------------------------------------------------------ gamma functions


def polygamma(n: int, input: Any, *, out: Any = None) -> Any:
    """The n-th derivative of digamma."""
    return row["polygamma"](input, n, out=out)


def mvlgamma(input: Any, p: int, *, out: Any = None) -> Any:
    """log of the multivariate gamma function of dimension p: a sum of p log-gammas."""
    if input.dtype is dt.bool_:
        raise RuntimeError("The input tensor may not be a boolean tensor.")
    if input.dtype.kind == "c":
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{input.dtype.legacy}'")
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    total = input.unsqueeze(-1) - input.new_tensor([k / 2 for k in range(p)], dtype=kept(input))
    result = total.lgamma().sum(-1) + p * (p - 1) / 4 * math.log(math.pi)
    return fill("mvlgamma", result, out, exactly=False)


def kept(input: Any) -> Any:
    """The input's type, or the default float beside integers."""
    return input.dtype if input.dtype.kind == "f" else here.stretch.mode.default_dtype


def mvlgamma_(input: Any, p: int) -> Any:
    """mvlgamma, over the input."""
    result = mvlgamma(input, p)
    if category(input.dtype) < category(result.dtype):
        raise RuntimeError(f"mvlgamma: result type {input.dtype.legacy} can't be cast to the "
                           f"desired output type {result.dtype.legacy}")  # fmt: skip
    return input.copy_(result)


# ------------------------------------------------------------------ distances


def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of input - other."""
    off = input - other
    if off.dtype.kind not in "fc":
        raise RuntimeError("norm(): input dtype should be either floating point or complex. Got "
                           f"{off.dtype.legacy} instead.")  # fmt: skip
    return off.norm(p)


def renorm(input: Any, p: float, dim: int, maxnorm: float, *, out: Any = None) -> Any:
    """Parts along dim whose p-norm is larger than maxnorm, made that long."""
    from flambeau.ops.rules import one_dim

    if isinstance(p, complex):
        raise RuntimeError("renorm: p must be real-valued")
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm:g}")
    if input.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.ndim} "
                           "dimensions")  # fmt: skip
    dim = one_dim(dim, input.ndim)
    rest = tuple(d for d in range(input.ndim) if d != dim)
    norms = row["vector_norm"](input, p, rest, True)
    factor = (maxnorm / (norms + 1e-7)).masked_fill(norms <= maxnorm, 1)
    return fill("renorm", input * factor.to(input.dtype), out)


def renorm_(input: Any, p: float, dim: int, maxnorm: float) -> Any:
    """renorm, over the input."""
    return input.copy_(renorm(input.clone(), p, dim, maxnorm))


METHODS = """logit logit_ positive frexp nextafter nextafter_ float_power float_power_ mvlgamma
    mvlgamma_ dist renorm renorm_""".split()
NAMED = {"polygamma": row["polygamma"], "polygamma_": inplace_of(TABLE["polygamma"])}
PUBLIC = """logit positive frexp nextafter float_power polygamma mvlgamma dist renorm""".split()
