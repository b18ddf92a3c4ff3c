"""torch._foreach_*: an operation on each tensor of a list; optimizers are written with them.

Each is a loop of ordinary calls, which the compiler puts together. Imported when one is first
asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.tensor import Tensor

UNARY = """abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p
    log2 neg reciprocal round rsqrt sigmoid sign sin sinh sqrt tan tanh trunc""".split()
BINARY = "add clamp_max clamp_min div maximum minimum mul pow sub".split()
TERNARY = "addcdiv addcmul".split()
NUMBERS = (int, float, complex)
LIMITS = {"maximum": "clamp_min", "minimum": "clamp_max"}  # the same with a number


def tensors(name: str, given: Any) -> Sequence[Any]:
    """A list or tuple of tensors, of at least one."""
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"{name}() received an invalid combination of arguments - expected a tuple "
                        f"of Tensors, got {type(given).__name__}")  # fmt: skip
    if not given:
        raise RuntimeError("Tensor list must have at least one tensor.")
    return given


def spread(name: str, other: Any, count: int) -> Sequence[Any]:
    """One operand for each tensor: those of a list, or the same number or tensor for all."""
    if not isinstance(other, (list, tuple)):
        return [other] * count
    if len(other) != count:
        raise RuntimeError("Tensor lists must have the same number of tensors, got "
                           f"{count} and {len(other)}")  # fmt: skip
    return other


def several(name: str, method: str, inplace: bool) -> Callable[..., Any]:
    """The function over lists whose element is done by a method; operands are spread."""

    def function(self: Any, *others: Any, **options: Any) -> Any:
        lists = tensors(name, self)
        columns = [spread(name, other, len(lists)) for other in others]
        done = [one(method, inplace, x, *rest, **options) for x, *rest in zip(lists, *columns)]
        return self if inplace else tuple(done)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{method} of each tensor{', over it' if inplace else ''}."
    return function


def one(method: str, inplace: bool, x: Any, *rest: Any, **options: Any) -> Any:
    """One tensor's method; maximum and minimum take numbers, too."""
    if method in LIMITS and isinstance(rest[0], NUMBERS):
        method = LIMITS[method]
    elif method in LIMITS and inplace:
        return x.copy_(getattr(x, method)(*rest))
    return getattr(x, method + "_" * inplace)(*rest, **options)


def with_alpha(name: str, method: str, inplace: bool) -> Callable[..., Any]:
    """add and sub: alpha · other, for lists and tensors."""
    plain = several(name, method, inplace)

    def function(self: Any, other: Any, *, alpha: Any = 1) -> Any:
        return plain(self, other) if alpha == 1 else plain(self, other, alpha=alpha)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = plain.__doc__
    return function


def with_value(name: str, method: str, inplace: bool) -> Callable[..., Any]:
    """addcmul and addcdiv: a number for all, or one for each in a list or a tensor."""

    def function(self: Any, tensor1: Any, tensor2: Any, value: Any = 1, *,
                 scalars: Any = None) -> Any:  # fmt: skip
        lists = tensors(name, self)
        value = value if scalars is None else scalars
        value = value.tolist() if isinstance(value, Tensor) else value
        columns = (spread(name, other, len(lists)) for other in (tensor1, tensor2, value))
        done = [one(method, inplace, x, a, b, value=v) for x, a, b, v in zip(lists, *columns)]
        return self if inplace else tuple(done)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{method} of each tensor{', over it' if inplace else ''}."
    return function


def power(self: Any, exponent: Any) -> Any:
    """pow of each tensor, or of one number to the power of each."""
    if isinstance(self, NUMBERS):
        return tuple(self**x for x in tensors("_foreach_pow", exponent))
    return several("_foreach_pow", "pow", False)(self, exponent)


def norm(self: Any, ord: Any = 2, dtype: Any = None) -> tuple[Any, ...]:
    """The norm of each tensor's elements."""
    from flambeau.linalg import vector_norm

    return tuple(vector_norm(x, ord, dtype=dtype) for x in tensors("_foreach_norm", self))


def powsum(self: Any, ord: Any = 2, dtype: Any = None) -> tuple[Any, ...]:
    """The sum of |x|^ord over each tensor."""
    return tuple(x.abs().pow(ord).sum(dtype=dtype) for x in tensors("_foreach_powsum", self))


def maximum_of_all(self: Any) -> tuple[Any, ...]:
    """The largest element of each tensor."""
    return tuple(x.max() for x in tensors("_foreach_max", self))


def copy(self: Any, src: Any, non_blocking: bool = False) -> Any:
    """Copy each tensor of the second list over that of the first."""
    return several("_foreach_copy_", "copy", True)(self, src)


def table() -> dict[str, Callable[..., Any]]:
    """Every function by its public name."""
    found: dict[str, Callable[..., Any]] = {
        "_foreach_copy_": copy,
        "_foreach_max": maximum_of_all,
        "_foreach_norm": norm,
        "_foreach_powsum": powsum,
    }
    for inplace in (False, True):
        for methods, make in ((UNARY + BINARY + ["lerp"], several), (TERNARY, with_value),
                              (["add", "sub"], with_alpha)):  # fmt: skip
            for method in methods:
                name = f"_foreach_{method}{'_' * inplace}"
                found[name] = make(name, method, inplace)
    for method, inplace in (("zero", True), ("clone", False), ("mm", False)):
        name = f"_foreach_{method}{'_' * inplace}"
        found[name] = several(name, method, inplace)
    return {**found, "_foreach_pow": power}


globals().update(table())
