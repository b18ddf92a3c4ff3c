"""Draws whose parameters are tensors: poisson, binomial, gamma and Dirichlet numbers."""

from __future__ import annotations

from typing import Any

from flambeau.arranging import broadcast_tensors
from flambeau.ir import dtype as dt
from flambeau.random import state_of
from flambeau.tensor import FUNCTIONS as row


def check(input: Any, name: str, dtypes: Any = (dt.float32, dt.float64)) -> None:
    if input.dtype not in dtypes:
        raise NotImplementedError(f"\"{name}\" not implemented for '{input.dtype.legacy}'")


def poisson(input: Any, generator: Any = None) -> Any:
    """Poisson numbers of the rates in `input` (W. Hörmann, 1993, from 10 on)."""
    check(input, "poisson_cpu", (dt.float16, dt.bfloat16, dt.float32, dt.float64))
    made = row["_poisson_draw"](state_of(generator), input, input.dtype)
    made.detach()._memory()  # a rate below zero is refused here
    return made


def binomial(count: Any, prob: Any, generator: Any = None) -> Any:
    """How many of `count` trials succeed, each with the chance `prob` (W. Hörmann, 1993)."""
    if count.dtype.kind != "f":
        raise ValueError("binomial only supports floating-point dtypes for count, got: "
                         f"{count.dtype.legacy}")  # fmt: skip
    if prob.dtype.kind != "f":
        raise ValueError("binomial only supports floating-point dtypes for prob, got: "
                         f"{prob.dtype.legacy}")  # fmt: skip
    check(count, "binomial_cpu")
    if prob.dtype is not count.dtype:
        raise RuntimeError(f"Found dtype {prob.dtype.legacy} but expected {count.dtype.legacy}")
    count, prob = broadcast_tensors(count.detach(), prob.detach())
    return row["_binomial_draw"](state_of(generator), count, prob, count.dtype)


def _standard_gamma(input: Any, generator: Any = None) -> Any:
    """Gamma numbers of rate 1 (G. Marsaglia and W. Tsang, 2000), with a derivative by the shape."""
    check(input, "gamma_cpu")
    return row["_gamma_draw"](state_of(generator), input, input.dtype)


def _standard_gamma_grad(input: Any, output: Any) -> Any:
    """The derivative of gamma numbers by their shape (M. Figurnov et al., 2018)."""
    return row["_gamma_slope"](input, output)


def _sample_dirichlet(input: Any, generator: Any = None) -> Any:
    """Rows of numbers that add up to 1: gamma numbers over their sum."""
    check(input, "dirichlet")
    return row["_dirichlet_draw"](state_of(generator), input.detach(), input.dtype)


def _dirichlet_grad(x: Any, alpha: Any, total: Any) -> Any:
    """The derivative of beta numbers x by alpha, over 1 - x; alpha + beta = total."""
    return row["_beta_slope"](x, alpha, total)
