"""Rows of draws that reject: gamma, Dirichlet, Poisson, binomial (runtime/rejection.py)."""

from __future__ import annotations

from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec, broadcast_sizes
from flambeau.ops.declare import effect, structured
from flambeau.ops.functions import function_of
from flambeau.ops.rules import zeros
from flambeau.ops.samples import no_samples
from flambeau.trace.modes import Mode


def shaped(mode: Mode, state: Spec, input: Spec, *rest: Any) -> Any:
    return ((input.size, rest[-1]),)


def by_rejection(name: str, parameters: str, kind: str, **more: Any) -> Any:
    """A row for a function of runtime/rejection.py; its parameters are tensors of one size."""

    def meaning(state: Any, *rest: Any) -> None:
        from flambeau.runtime import rejection

        *given, dtype, out = rest
        out[...] = getattr(rejection, kind)(state, *given, dtype)

    signature = f"{name}(state, {parameters}, dtype)"
    return effect(
        signature, public="", shape=shaped, numpy=meaning, writes=("state",), **more
    )  # fmt: skip


def gamma_slope_numpy(alpha: Any, drawn: Any) -> Any:
    from flambeau.runtime import implicit

    return implicit.gamma_grad(alpha, drawn).astype(drawn.dtype)


def beta_slope_numpy(drawn: Any, a: Any, total: Any) -> Any:
    from flambeau.runtime import implicit

    return implicit.beta_grad(drawn, a, total).astype(drawn.dtype)


def one_type(mode: Mode, *facts: Spec) -> Any:
    """float32 or float64, the same in all."""
    first = facts[0].dtype
    for fact in facts:
        if fact.dtype is not first:
            raise RuntimeError(f"Found dtype {fact.dtype.legacy} but expected {first.legacy}")
    if first not in (dt.float32, dt.float64):
        raise NotImplementedError(f"\"_standard_gamma_grad\" not implemented for '{first.legacy}'")
    return ((broadcast_sizes([f.size for f in facts]), first),)


gamma_slope = structured(  # of a gamma draw (target) by its shape parameter (input)
    "_gamma_slope(input, target)",
    public="",
    shape=one_type,
    numpy=gamma_slope_numpy,
    samples=no_samples,  # PyTorch's are approximations; tests/distributions has its tests
)
beta_slope = structured(  # of a beta draw by a, over 1 - draw; target: a + b
    "_beta_slope(input, other, target)",
    public="",
    shape=one_type,
    numpy=beta_slope_numpy,
    samples=no_samples,
)
slope = function_of(gamma_slope)

standard_gamma = by_rejection(
    "_gamma_draw",
    "input",
    "gamma",
    grad=dict(input=lambda g, input, out: g * slope(input, out)),
    node="StandardGammaBackward0",
)
sample_dirichlet = by_rejection("_dirichlet_draw", "input", "dirichlet")
poisson = by_rejection(
    "_poisson_draw",
    "input",
    "poisson",
    grad=dict(input=zeros),
    node="PoissonBackward0",
    may_fail=True,
)
binomial = by_rejection("_binomial_draw", "input, other", "binomial")
