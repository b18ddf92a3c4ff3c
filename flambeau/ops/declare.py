"""elementwise(), reduction(), structured(), composite(), effect(), view(): how ops are declared.

A declaration is one call with keyword arguments. What is missing fails at import. From the row
follow the function `torch.name`, the methods `name` and `name_`, `out=`, argument errors, stubs and
tests.

Common arguments
    signature   PyTorch's own argument names: "add(input, other, *, alpha=1)"
    numpy       the meaning; takes the arguments in the signature's order, arrays for tensors
    grad        parameter → derivative; its parameter names say what it reads: g, an input, out
                (out1 … for further results), call (specs and static arguments by name)
    samples     makes test cases (ops/samples.py)
    public      namespaces: "torch", "Tensor", "nn.functional", "special"
    clean       (facts) → facts: static arguments in one form; facts are Specs, Numbers and statics
    numbers     parameters whose Python numbers are run-time inputs
    bounds      (facts) → a Bound for each index tensor: what it may hold, checked at the call
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from flambeau.ir.layout import (
    Ints,
    Spec,
    broadcast_sizes,
    broadcast_strides,
    is_contiguous,
    result_strides,
)
from flambeau.ir.op import Formula, Op, Param
from flambeau.ops.unsigned import refusing
from flambeau.trace.expansion import expand_call
from flambeau.trace.modes import Mode

# The names that hold tensors in PyTorch's signatures.
TENSORS = frozenset("""input other weight bias mat1 mat2 mat vec vec2 batch1 batch2 tensor index
    target mask source src self grad end tensor1 tensor2 value_tensor indices boundaries state
    values running_mean running_var norm query key value attn_mask min max pos_weight
    condition grid""".split())
LISTS = frozenset("""tensors params grads momenta exp_avgs exp_avg_sqs max_exp_avg_sqs steps
    square_sums square_avgs acc_deltas grad_avgs exp_infs averages prevs step_sizes row_vars
    col_vars variances changes moves ratios""".split())

TABLE: dict[str, Op] = {}  # every row, by name


def parse(
    signature: str, numbers: Sequence[str], statics: Sequence[str]
) -> tuple[str, tuple[Param, ...]]:
    """ "add(input, other, *, alpha=1)" → its name and parameters."""
    name, _, rest = signature.partition("(")
    keyword, params = False, []
    for text in between_commas(rest.removesuffix(")")):
        if text == "*":
            keyword = True
        else:
            params.append(parameter(text, keyword, tuple(numbers), tuple(statics)))
    return name, tuple(params)


def between_commas(text: str) -> list[str]:
    """The parameters of a signature; commas in a tuple that is a default part nothing."""
    pieces: list[str] = []
    inside = False
    for piece in text.split(",") if text else ():
        if inside:
            pieces[-1] += "," + piece
        else:
            pieces.append(piece.strip())
        inside = "(" in pieces[-1] and pieces[-1].count("(") > pieces[-1].count(")")
    return pieces


@cache
def parameter(
    text: str, keyword: bool, numbers: tuple[str, ...], statics: tuple[str, ...]
) -> Param:
    """One parameter as a signature has it; rows share what is the same.

    Raises TypeError for what is no name.
    """
    name, has_default, default = text.partition("=")
    if not name.isidentifier():
        raise TypeError(f"{text!r} is no parameter")
    kind = "number" if name in numbers else "static" if name in statics else (
        "tensors" if name in LISTS else "tensor" if name in TENSORS else "static")  # fmt: skip
    value = eval(default, {}) if has_default else None
    return Param(name, kind, value, not has_default, keyword)


def formulas(grad: Mapping[str, Callable[..., Any]] | None) -> dict[str, Formula]:
    """Derivatives with the names that they read."""
    found = {}
    for name, call in (grad or {}).items():
        found[name] = Formula(call, call.__code__.co_varnames[: call.__code__.co_argcount])
    return found


def declare(kind: str, signature: str, *, numbers: Sequence[str] = (), statics: Sequence[str] = (),
            grad: Mapping[str, Callable[..., Any]] | None = None,
            public: str = "torch Tensor", aliases: str = "", node: str | None = None,
            **fields: Any) -> Op:  # fmt: skip
    """Make the row and put it into the table."""
    name, params = parse(signature, numbers, statics)
    fields["infer"] = refusing(name, fields["infer"], fields.get("compute"))
    op = Op(name, kind, params, grad=formulas(grad), public=tuple(public.split()),
            aliases=tuple(aliases.split()), node=node or default_node(name), **fields)  # fmt: skip
    known = {p.name for p in params}
    readable = known | {"g", "call"}
    if unknown := set(op.grad) - known:
        raise TypeError(f"{name}: derivative for {unknown}, which are no parameters")
    for formula in op.grad.values():
        for read in formula.reads:
            if read not in readable and not read.startswith("out"):
                raise TypeError(f"{name}: a derivative reads {read!r}, which is no parameter")
    if name in TABLE:
        raise TypeError(f"{name} is declared twice")
    TABLE[name] = op
    return op


def default_node(name: str) -> str:
    """add → AddBackward0, log_softmax → LogSoftmaxBackward0."""
    return "".join(part.capitalize() for part in name.strip("_").split("_")) + "Backward0"


# ------------------------------------------------------------------ the kinds


def elementwise(signature: str, *, dtype: Callable[..., Any], numpy: Callable[..., Any],
                scalar: Callable[..., Any] | None, samples: Callable[..., Any],
                inplace: bool = True, numbers: Sequence[str] = (), **more: Any) -> Op:  # fmt: skip
    """One element in, one out, with broadcasting.

    dtype: (mode, *facts) → (the type to compute in, the type of the result). Both `numpy` and
    `scalar(k, ...)` get their operands cast to the former (float16 and bfloat16 as float32).
    """

    conditional = signature.startswith(("where", "put_where"))  # conditions are not cast

    def infer(mode: Mode, *facts: Any) -> tuple[Any, ...]:
        computed, result = dtype(mode, *facts)
        return (elementwise_result(facts, result, None if conditional else computed),)

    def compute(mode: Mode, *facts: Any) -> Any:
        return dtype(mode, *facts)[0]

    return declare("elementwise", signature, infer=infer, compute=compute, numpy=numpy,
                   scalar=scalar, samples=samples, inplace=inplace, numbers=numbers,
                   **more)  # fmt: skip


def elementwise_result(facts: Sequence[Any], dtype: Any, computed: Any = None) -> tuple[Any, ...]:
    """Size, type and strides of an elementwise result.

    `computed`: the type that operands of other types are cast to before, which lays those out anew
    that have gaps or overlap.
    """
    specs = [f for f in facts if isinstance(f, Spec)]
    first = specs[0].size
    if all(s.size == first and s.contiguous for s in specs):
        return first, dtype
    size = broadcast_sizes([s.size for s in specs])
    strides = [broadcast_strides(s.size, cast_strides(s, computed), size) for s in specs]
    if all(is_contiguous(size, s) for s in strides):
        return size, dtype
    return size, dtype, result_strides(size, strides)


def cast_strides(spec: Spec, dtype: Any) -> Ints:
    """The strides of an operand once it is cast."""
    as_it_is = dtype is None or spec.dtype is dtype
    return spec.stride if as_it_is else result_strides(spec.size, [spec.stride])


def reduction(signature: str, *, dtype: Callable[..., Any], numpy: Callable[..., Any], reduce: str,
              samples: Callable[..., Any], shape: Callable[..., Any],
              prepare: Callable[..., Any] | None = None, scalar: Callable[..., Any] | None = None,
              **more: Any) -> Op:  # fmt: skip
    """A reduction along `dim`.

    reduce: which step the kernels repeat: sum, prod, max, min, any, all, argmax, argmin.
    dtype: (mode, *facts) → (the type to accumulate in, the type of the result).
    prepare: (k, x) applied to each element before the step; scalar: (k, total, count) at the end.
    shape: (*facts) → (the dims that go, the result's size).
    """

    def infer(mode: Mode, *facts: Any) -> tuple[Any, ...]:
        return ((shape(*facts)[1], dtype(mode, *facts)[1]),)

    def compute(mode: Mode, *facts: Any) -> Any:
        return dtype(mode, *facts)[0]

    return declare("reduction", signature, infer=infer, compute=compute, numpy=numpy, reduce=reduce,
                   prepare=prepare, scalar=scalar, samples=samples, dims=shape, **more)  # fmt: skip


def structured(signature: str, *, shape: Callable[..., Any], numpy: Callable[..., Any],
               samples: Callable[..., Any], kernel: Callable[..., Any] | None = None,
               **more: Any) -> Op:  # fmt: skip
    """An op with a kernel of its own. shape: (mode, *facts) → ((size, dtype), …) a result each."""
    return declare("structured", signature, infer=shape, numpy=numpy, kernel=kernel,
                   samples=samples, **more)  # fmt: skip


def composite(signature: str, *, expand: Callable[..., Any], shape: Callable[..., Any],
              samples: Callable[..., Any], **more: Any) -> Op:  # fmt: skip
    """Recorded as one call, and expanded to others by the compiler and the interpreter."""

    def expansion(call: Any) -> Any:
        return expand_call(expand, call)

    return declare("composite", signature, infer=shape, expand=expansion, samples=samples, **more)


def effect(signature: str, *, shape: Callable[..., Any], numpy: Callable[..., Any],
           writes: Sequence[str], kernel: Callable[..., Any] | None = None,
           **more: Any) -> Op:  # fmt: skip
    """A call that changes some of its arguments: it runs even where nobody wants its results.

    numpy: (*arguments as they lie in memory, *results) changes them in place and returns nothing.
    """
    return declare("effect", signature, infer=shape, numpy=numpy, writes=tuple(writes),
                   kernel=kernel, samples=more.pop("samples", None), **more)  # fmt: skip


def view(signature: str, *, shape: Callable[..., Any], samples: Callable[..., Any],
         **more: Any) -> Op:  # fmt: skip
    """The same memory under another size and stride: shape(mode, spec, *statics) names both."""
    return declare("view", signature, infer=shape, samples=samples, **more)
