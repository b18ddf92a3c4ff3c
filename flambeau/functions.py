"""Front functions with overloads: each looks at its arguments and calls a row of the table.

`methods.py` makes methods of those in METHODS and NAMED, and `torch.name` of those in PUBLIC.
Products of matrices are in products.py, losses in losses.py; nothing is computed here.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from flambeau import losses, products, return_types
from flambeau.filling import named, results
from flambeau.info import finfo
from flambeau.ir.layout import is_dense
from flambeau.ops.declare import TABLE
from flambeau.ops.functions import inplace_of
from flambeau.ops.rules import promoted
from flambeau.tensor import FUNCTIONS
from flambeau.trace.recorder import record_write
from flambeau.trace.tensor import Recorded

row = FUNCTIONS  # op's name → the function that records it


# ------------------------------------------------------------------ reductions


def renamed(dim: Any, keepdim: Any, axis: Any, keepdims: Any) -> tuple[Any, Any]:
    """PyTorch takes NumPy's names for these two."""
    return (dim if axis is None else axis), (keepdim if keepdims is None else keepdims)


def _over(name: str) -> Any:
    """sum and mean: over everything, or along dims."""
    along, everything = row[name], row[f"{name}_all"]

    def function(input, dim=None, keepdim=False, *, dtype=None, out=None, axis=None, keepdims=None):
        if axis is not None or keepdims is not None:
            dim, keepdim = renamed(dim, keepdim, axis, keepdims)
        if dim is None and not keepdim:
            return everything(input, dtype=dtype, out=out)
        if out is None:
            return along(input, dim, keepdim, dtype=dtype)
        return along(input, dim, keepdim, dtype=dtype, out=out)

    function.__name__ = function.__qualname__ = name
    return function


sum, mean = _over("sum"), _over("mean")


def prod(input, dim=None, keepdim=False, *, dtype=None, out=None, axis=None, keepdims=None):
    """The product of everything, or along one dim."""
    dim, keepdim = renamed(dim, keepdim, axis, keepdims)
    if dim is None:
        return row["prod_all"](input, dtype=dtype, out=out)
    if isinstance(dim, (tuple, list)):
        raise TypeError("prod(): argument 'dim' must be int, not tuple")
    return row["prod"](input, dim, keepdim, dtype=dtype, out=out)


def _best(name: str, pairwise: str) -> Any:
    """max and min: of everything, along a dim with the places, or of two tensors."""
    everything, along, two = row[f"{name}_all"], row[f"{name}_dim"], row[pairwise]
    classes = getattr(return_types, name), getattr(return_types, f"{name}_out")

    def function(input, dim=None, keepdim=False, *, out=None, other=None, axis=None, keepdims=None):
        other = dim if isinstance(dim, Recorded) else other
        if other is not None:
            return two(input, other, out=out)
        if axis is not None or keepdims is not None:
            dim, keepdim = renamed(dim, keepdim, axis, keepdims)
        if dim is None:
            return everything(input, out=out)
        return classes[out is not None](along(input, dim, keepdim, out=out))

    function.__name__ = function.__qualname__ = name
    return function


max, min = _best("max", "maximum"), _best("min", "minimum")


def sum_to_size(input, *size):
    """The sum over dims so that the result has a size that broadcasts to the input's."""
    size = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    if not size:
        return input.sum()
    old, lead = input._spec.size, len(input._spec.size) - len(size)
    fits = lead >= 0 and all(n in (1, m) for n, m in zip(size, old[lead:]))
    if not fits:
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size {{{list(old)}}}.")
    dims = (*range(lead), *[d + lead for d, n in enumerate(size) if n == 1 and old[d + lead] != 1])
    if not dims:
        return input
    out = row["sum"](input, dims, True)
    return out.view(size) if lead else out


def aminmax(input, *, dim=None, keepdim=False, out=None):
    """The smallest and the largest."""
    dims = () if dim is None else dim
    return named("aminmax", (input.amin(dims, keepdim), input.amax(dims, keepdim)), out)


results("aminmax", "min", "max")


TOO_FEW = ("(): degrees of freedom is <= 0. Correction should be strictly less than the reduction "
           "factor (input numel divided by output numel).")  # fmt: skip


def _spread(name: str) -> Any:
    """var, std and their forms with the mean; `unbiased` is the old name of correction=1."""
    record = row[name]

    def function(input, dim=None, unbiased=None, keepdim=False, *, correction=None, out=None,
                 axis=None, keepdims=None):  # fmt: skip
        dim, keepdim = renamed(dim, keepdim, axis, keepdims)
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if unbiased is not None:
            correction = int(unbiased)
        correction = 1 if correction is None else correction
        result = record(input, dim, correction, keepdim, out=out)
        results = (result[0] if isinstance(result, tuple) else result)._spec.numel
        if (input._spec.numel // results if results else 0) <= correction:
            warnings.warn(name + TOO_FEW, UserWarning, stacklevel=2)
        return result

    function.__name__ = function.__qualname__ = name
    return function


var, std, var_mean, std_mean = map(_spread, ("var", "std", "var_mean", "std_mean"))


def norm(input, p="fro", dim=None, keepdim=False, out=None, dtype=None):
    """The p-norm of all elements, or along dims."""
    if isinstance(p, str) and p != "fro":
        from flambeau.norms import matrix_norm

        dim = (-2, -1) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
        return matrix_norm(input, p, dim, keepdim, dtype=dtype, out=out)
    p = 2 if p is None or p == "fro" else p
    return row["vector_norm"](input, p, dim, keepdim, dtype=dtype, out=out)


# ------------------------------------------------------------------ arithmetic


def pow(input, exponent, *, out=None):
    """input to the power exponent; a Python number as exponent is part of the program."""
    if out is None and (exponent.__class__ is int or exponent.__class__ is float):
        return row["pow_number"](input, exponent)
    if isinstance(exponent, Recorded):
        return row["pow_tensor"](input, exponent, out=out)
    return row["pow_number"](input, plain(exponent), out=out)


def plain(number: Any) -> Any:
    """A Python number, also from NumPy's."""
    if hasattr(number, "item"):
        number = number.item()
    if not isinstance(number, (bool, int, float, complex)):
        raise TypeError(f"pow() received an invalid combination of arguments - got exponent of "
                        f"type {type(number).__name__}")  # fmt: skip
    return number


def pow_(input, exponent):
    """pow, over the input."""
    if isinstance(exponent, Recorded):
        return record_write(TABLE["pow_tensor"], input, input, exponent)
    return record_write(TABLE["pow_number"], input, input, plain(exponent))


def square(input, *, out=None):
    """input times itself."""
    return row["pow_number"](input, 2, out=out)


def square_(input):
    """square, over the input."""
    return pow_(input, 2)


ROUNDINGS = {None: "true_divide", "floor": "div_floor", "trunc": "div_trunc"}


def rounded(rounding_mode: Any) -> str:
    """The row that divides and rounds in this way."""
    if rounding_mode not in ROUNDINGS:
        raise RuntimeError("div expected rounding_mode to be one of None, 'trunc', or 'floor' but "
                           f"found '{rounding_mode}'")  # fmt: skip
    return ROUNDINGS[rounding_mode]


def div(input, other, *, rounding_mode=None, out=None):
    """input / other, rounded down or towards zero where that is asked for."""
    return row[rounded(rounding_mode)](input, other, out=out)


def div_(input, other, *, rounding_mode=None):
    """div, over the input."""
    return record_write(TABLE[rounded(rounding_mode)], input, input, other)


def clamp_name(low: Any, high: Any) -> str:
    return (
        "clamp_tensor"
        if isinstance(low, Recorded) or isinstance(high, Recorded)
        else "clamp_number"
    )


def clamp(input, min=None, max=None, *, out=None):
    """input between two bounds, each a number, a tensor or None."""
    return row[clamp_name(min, max)](input, min, max, out=out)


def clamp_(input, min=None, max=None):
    """clamp, over the input."""
    return record_write(TABLE[clamp_name(min, max)], input, input, min, max)


# ------------------------------------------------------------------ choices and comparisons


def where(condition, input=None, other=None, *, out=None):
    """input where the condition holds, else other; alone, the indices where it holds."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    return row["where"](condition, input, other, out=out)


def where_method(input, condition, other):
    """Tensor.where: this tensor where the condition holds, else other."""
    return row["where"](condition, input, other)


def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether elements are apart by no more than atol + rtol · |other|."""
    if rtol < 0 or atol < 0:
        which = "rtol" if rtol < 0 else "atol"
        raise RuntimeError(f"{which} must be greater than or equal to zero, but got "
                           f"{rtol if rtol < 0 else atol}")  # fmt: skip
    return row["isclose_float"](input, other, float(rtol), float(atol), equal_nan)


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether all elements are close; looks at the values."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


def equal(input, other):
    """Whether size and all elements are the same; looks at the values."""
    if input._spec.size != other._spec.size:
        return False
    return bool(input.eq(other).all().item())


def result_type(tensor1, tensor2):
    """The type that two operands become together."""
    from flambeau.ir.program import Number
    from flambeau.trace.trie import here

    facts = [t._spec if isinstance(t, Recorded) else Number(0, type(t)) for t in (tensor1, tensor2)]
    return promoted(here.stretch.mode, *facts)


# ------------------------------------------------------------------ activations

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def selu(input):
    """The self-normalizing ELU."""
    return row["elu"](input, SELU_ALPHA, SELU_SCALE)


def celu(input, alpha=1.0):
    """max(x, 0) + min(alpha (exp(x / alpha) - 1), 0)."""
    return row["celu_scaled"](input, float(alpha), 1.0, 1 / alpha)


def relu6(input):
    """x between 0 and 6."""
    return row["hardtanh"](input, 0.0, 6.0)


def selu_(input):
    """selu, over the input."""
    return record_write(TABLE["elu"], input, input, SELU_ALPHA, SELU_SCALE, 1.0)


def celu_(input, alpha=1.0):
    """celu, over the input."""
    return record_write(TABLE["celu_scaled"], input, input, float(alpha), 1.0, 1 / alpha)


def relu6_(input):
    """relu6, over the input."""
    return record_write(TABLE["hardtanh"], input, input, 0.0, 6.0)


def softsign(input):
    """x / (1 + |x|)."""
    return input / (input.abs() + 1)


def tanhshrink(input):
    """x - tanh x."""
    return input - input.tanh()


def softshrink(input, lambd=0.5, *, out=None):
    """x moved towards 0 by lambd, and 0 where it would pass it."""
    if lambd < 0:
        dtype = input._spec.dtype
        raise RuntimeError(f"lambda must be in range [0, {finfo(dtype).max:g}] for input dtype "
                           f"{dtype.legacy}, but found {lambd:g}")  # fmt: skip
    return row["softshrink"](input, lambd, out=out)


hardshrink = row["hardshrink"]


def prelu(input, weight):
    """max(x, 0) + weight · min(x, 0), one weight for all or one for each channel."""
    if weight.ndim > 1:
        raise RuntimeError("prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = "
                           f"{weight.ndim}")  # fmt: skip
    if not input.ndim and weight.numel() != 1:
        raise RuntimeError("Not allow zero-dim input tensor.")
    channels = 1 if input.ndim < 2 else input._spec.size[1]
    if weight.numel() not in (1, channels):
        raise RuntimeError("Mismatch of parameter numbers and input channel size. Found parameter "
                           f"numbers = {weight.numel()} and channel size = "
                           f"{channels}.")  # fmt: skip
    if weight.dtype is not input.dtype:
        raise RuntimeError("prelu: Type promoting not supported. Got "
                           f"{input.dtype.legacy} and {weight.dtype.legacy}")  # fmt: skip
    if weight.numel() == 1:
        weight = weight.reshape((1,) * input.ndim)
    else:
        weight = weight.reshape((-1, *(1,) * (input.ndim - 2)))
    return row["_prelu_kernel"](input, weight)


def glu(input, dim=-1):
    """The first half along dim, times the sigmoid of the second."""
    return row["_glu"](input if is_dense(input._spec.size, input._spec.stride)
                       else input.contiguous(), dim)  # fmt: skip


def normalize(input, p=2.0, dim=1, eps=1e-12, out=None):
    """input / max(norm along dim, eps)."""
    length = input.norm(p, dim, keepdim=True).clamp_min(eps).expand(input.shape)
    return div(input, length, out=out)


def broadcast(x1, x2):
    """Both in their common size and type."""
    from flambeau.arranging import broadcast_tensors

    dtype = result_type(x1, x2)
    if dtype.kind not in "fc":
        raise RuntimeError("expected common dtype to be floating point, yet common dtype is "
                           f"{dtype.legacy}")  # fmt: skip
    return broadcast_tensors(x1.to(dtype), x2.to(dtype))


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """The cosine of the angle between vectors along dim."""
    x1, x2 = broadcast(x1, x2)
    lengths = [x.norm(2, dim, keepdim=True).clamp_min(eps) for x in (x1, x2)]
    return ((x1 / lengths[0]) * (x2 / lengths[1])).sum(dim)


FUNCTIONS.update(selu=selu, celu=celu, relu6=relu6)

# ------------------------------------------------------------------ what methods.py reads

METHODS = """sum mean prod max min var std norm pow pow_ square square_ div div_
    clamp clamp_ isclose allclose equal aminmax
    sum_to_size""".split()
METHODS += products.METHODS
NAMED = {
    "where": where_method, "clip": clamp, "clip_": clamp_, "divide": div, "divide_": div_,
    "true_divide": row["true_divide"], "true_divide_": inplace_of(TABLE["true_divide"]),
    "selu_": selu_, "celu_": celu_, "relu6_": relu6_,
    **{f"{name}_": inplace_of(TABLE[name]) for name in
       "leaky_relu elu hardtanh silu mish hardswish hardsigmoid threshold".split()},
}  # fmt: skip
clip, divide, true_divide, gelu = clamp, div, row["true_divide"], row["gelu"]
softplus, logsigmoid, sigmoid, tanh = (row[n] for n in "softplus logsigmoid sigmoid tanh".split())
PUBLIC = """sum mean prod max min var std var_mean std_mean norm pow square square_ div
    clamp clamp_ where isclose allclose equal result_type clip divide
    true_divide selu celu selu_ celu_ prelu aminmax cosine_similarity""".split()
PUBLIC += products.PUBLIC
for _module, _names in ((products, products.PUBLIC + products.METHODS), (losses, losses.NAMES)):
    globals().update({name: getattr(_module, name) for name in _names})
linear, bilinear = products.linear, products.bilinear
pi, inf, nan, e = math.pi, math.inf, math.nan, math.e
