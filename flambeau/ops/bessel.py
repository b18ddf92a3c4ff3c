"""Elementwise rows: Bessel functions, Airy's, and orthogonal polynomials.

Those whose derivatives PyTorch lacks have none here.
"""

from __future__ import annotations

from typing import Any

from flambeau.ops.declare import elementwise
from flambeau.ops.functions import function_of
from flambeau.ops.gamma import late, wide_only
from flambeau.ops.rules import not_for, to_float
from flambeau.ops.samples import Sample, unary

# ------------------------------------------------------------------ with derivatives


def off_zero(input: Any) -> tuple[Any, Any]:
    """Where the formula would divide by 0, and arguments without 0."""
    zero = input == 0
    return zero, input.masked_fill(zero, 1)


def modified(name: str, kernel: str, function: str, grad: Any, **more: Any) -> Any:
    """I0 and I1, and the same times exp(-|x|)."""
    return elementwise(
        f"{name}(input)",
        dtype=not_for("c", kernel, to_float),
        numpy=late("bessel", function),
        scalar=None,
        grad=dict(input=grad),
        samples=unary(),
        **more,
    )


def i1_slope(input: Any, out: Any) -> Any:
    zero, x = off_zero(input)
    return (x.i0() - out / x).masked_fill(zero, 0.5)


def i1e_slope(input: Any, out: Any) -> Any:
    zero, x = off_zero(input)
    return (I0E(x) - out * (x.sgn() + x.reciprocal())).masked_fill(zero, 0.5)


i0 = modified("i0", "i0_vml_cpu", "i0", lambda g, input: g * I1(input))
i0e = modified(
    "special_i0e", "i0e_cpu", "i0e",
    lambda g, input, out: g * (I1E(input) - input.sgn() * out),
    public="", inplace=False, node="SpecialI0EBackward0",
)  # fmt: skip
i1 = modified(
    "special_i1", "i1_cpu", "i1", lambda g, input, out: g * i1_slope(input, out),
    public="", inplace=False,
)  # fmt: skip
i1e = modified(
    "special_i1e", "i1e_cpu", "i1e", lambda g, input, out: g * i1e_slope(input, out),
    public="", inplace=False, node="SpecialI1EBackward0",
)  # fmt: skip
I0E: Any = function_of(i0e)
I1: Any = function_of(i1)
I1E: Any = function_of(i1e)

# ------------------------------------------------------------------ without

for _name, _function, _argument in (
    ("airy_ai", "airy", "x"), ("bessel_j0", "j0", "input"), ("bessel_j1", "j1", "input"),
    ("bessel_y0", "y0", "input"), ("bessel_y1", "y1", "input"),
    ("modified_bessel_i0", "i0", "input"), ("modified_bessel_i1", "i1", "input"),
    ("modified_bessel_k0", "k0", "input"), ("modified_bessel_k1", "k1", "input"),
    ("scaled_modified_bessel_k0", "k0e", "x"), ("scaled_modified_bessel_k1", "k1e", "x"),
    ("spherical_bessel_j0", "spherical_j0", "x"),
):  # fmt: skip
    elementwise(
        f"special_{_name}(input)",
        public="",
        dtype=wide_only(f"{_name}_cpu"),
        inplace=False,
        numpy=late("bessel", _function),
        scalar=None,
        samples=unary(0.1, 40) if "bessel" in _name else unary(-12, 5),
    )


# ------------------------------------------------------------------ polynomials of degree n


def degrees(new: Any) -> Any:
    """x inside and outside of [-1, 1], degrees as tensors and numbers."""
    for size in ((3, 5), (), (0,), (17, 3)):
        yield Sample(new(*size, low=-1.5, high=1.5), new(*size, low=-2, high=14))
    yield Sample(new(4, 1), new(3, low=0, high=5))
    for n in (0, 1, 2, 3, 7):
        yield Sample(new(3, 4, low=-2, high=2), n)


for _name, _function in (
    ("chebyshev_polynomial_t", "chebyshev_t"), ("chebyshev_polynomial_u", "chebyshev_u"),
    ("chebyshev_polynomial_v", "chebyshev_v"), ("chebyshev_polynomial_w", "chebyshev_w"),
    ("shifted_chebyshev_polynomial_t", "shifted_t"),
    ("shifted_chebyshev_polynomial_u", "shifted_u"),
    ("shifted_chebyshev_polynomial_v", "shifted_v"),
    ("shifted_chebyshev_polynomial_w", "shifted_w"),
    ("hermite_polynomial_h", "hermite_h"), ("hermite_polynomial_he", "hermite_he"),
    ("laguerre_polynomial_l", "laguerre"), ("legendre_polynomial_p", "legendre"),
):  # fmt: skip
    elementwise(
        f"special_{_name}(input, other)",
        public="",
        dtype=wide_only(f"{_name}_cpu"),
        inplace=False,
        numpy=late("polynomials", _function),
        scalar=None,
        samples=degrees,
    )
