"""gradcheck and gradgradcheck: derivatives against differences.

Each element of each input is moved a little to either side; what changes in the outputs is
compared with what backward says. Meant for float64.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau.autograd.calls import grad
from flambeau.autograd.modes import no_grad
from flambeau.trace.tensor import Recorded

Function = Callable[..., Any]
ROUNDING = 1e-10  # a repeated program may run in the other tier, which rounds differently


class GradcheckError(RuntimeError):
    """Derivative and differences disagree."""


def gradcheck(func: Function, inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5,
              rtol: float = 1e-3, raise_exception: bool = True, nondet_tol: float = 0.0,
              check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
              check_batched_grad: bool = False, check_batched_forward_grad: bool = False,
              check_forward_ad: bool = False, check_backward_ad: bool = True,
              fast_mode: bool = False, masked: bool | None = None) -> bool:  # fmt: skip
    """Whether the derivatives of `func` at `inputs` agree with differences."""
    if check_forward_ad or check_batched_grad or check_batched_forward_grad:
        raise NotImplementedError("gradcheck of forward-mode or batched derivatives is not "
                                  "supported; "
                                  "leave check_forward_ad and check_batched_… out")  # fmt: skip
    try:
        check(*in_pairs(func, listed(inputs)), eps, atol, rtol, nondet_tol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(func: Function, inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6,
                  atol: float = 1e-5, rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False,
                  raise_exception: bool = True, nondet_tol: float = 0.0,
                  check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
                  check_batched_grad: bool = False, check_fwd_over_rev: bool = False,
                  check_rev_over_rev: bool = True, fast_mode: bool = False,
                  masked: bool | None = None) -> bool:  # fmt: skip
    """Whether the second derivatives of `func` at `inputs` agree with differences of the first."""
    arguments = listed(inputs)
    outputs = differentiable(func(*arguments))
    given = random_like(outputs) if grad_outputs is None else listed(grad_outputs)
    count = len(given)

    def first_derivative(*args: Any) -> Any:
        args, weights = args[:-count], args[-count:]
        wanted = [a for a in args if needs_grad(a)]
        results = differentiable(func(*args))
        return grad(results, wanted, weights, create_graph=True, allow_unused=True,
                    materialize_grads=True)  # fmt: skip

    return gradcheck(first_derivative, (*arguments, *given), eps=eps, atol=atol, rtol=rtol,
                     raise_exception=raise_exception, nondet_tol=nondet_tol)  # fmt: skip


def in_pairs(func: Function, inputs: list[Any]) -> tuple[Function, list[Any]]:
    """The same function of real numbers: each complex one is a pair, before and after."""
    pairs = [x.detach().view_as_real().requires_grad_(x.requires_grad) if is_complex(x) else x
             for x in inputs]  # fmt: skip

    def of_pairs(*args: Any) -> Any:
        args = tuple(a.view_as_complex() if is_complex(x) else a for a, x in zip(args, inputs))
        outputs = listed(func(*args))
        return [o.resolve_conj().view_as_real() if is_complex(o) else o for o in outputs]

    return of_pairs, pairs


def is_complex(x: Any) -> bool:
    return isinstance(x, Recorded) and x._spec.dtype.kind == "c"


def check(func: Function, inputs: list[Any], eps: float, atol: float, rtol: float,
          nondet_tol: float) -> None:  # fmt: skip
    """Compare every block of the Jacobian, or raise."""
    wanted = [x for x in inputs if needs_grad(x)]
    if not wanted:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, "
                         "but none of "
                         "the them have requires_grad=True.")  # fmt: skip
    for number, x in enumerate(inputs):
        if needs_grad(x) and x._spec.dtype.name not in ("float64", "complex128"):
            warnings.warn(f"Input #{number} requires gradient and is not a double precision "
                          "floating "
                          "point or complex. This check will likely fail if all the inputs "
                          "are not of "
                          "double precision floating point or complex. ", stacklevel=4)  # fmt: skip
    outputs = differentiable(func(*inputs))
    if not outputs:
        expect_constant(func, inputs, wanted, eps)
        return
    analytical = [jacobian_rows(out, wanted) for out in outputs]
    again = [jacobian_rows(out, wanted) for out in differentiable(func(*inputs))]
    numerical = [differences(func, inputs, x, eps, len(outputs)) for x in wanted]
    for o in range(len(outputs)):
        for i in range(len(wanted)):
            compare(o, i, numerical[i][o], analytical[o][i], atol, rtol)
            if not np.allclose(analytical[o][i], again[o][i], ROUNDING, nondet_tol + ROUNDING):
                raise GradcheckError("Backward is not reentrant, i.e., running backward with same "
                                     "input and grad_output multiple times gives different values, "
                                     "although analytical gradient matches numerical gradient. The "
                                     f"tolerance for nondeterminism was {nondet_tol}.")  # fmt: skip


def compare(out: int, arg: int, numerical: Any, analytical: Any, atol: float, rtol: float) -> None:
    """One block of the Jacobian: rows are elements of the input."""
    if not np.allclose(analytical, numerical, rtol, atol):
        raise GradcheckError(f"Jacobian mismatch for output {out} with respect to input {arg},\n"
                             f"numerical:{numerical}\nanalytical:{analytical}\n")  # fmt: skip


def jacobian_rows(out: Any, wanted: Sequence[Any]) -> list[np.ndarray]:
    """What backward says: for each input a matrix (its elements × the output's)."""
    blocks = [np.zeros((x._spec.numel, out._spec.numel)) for x in wanted]
    for column in range(out._spec.numel):
        unit = np.zeros(out._spec.numel)
        unit[column] = 1
        found = grad(out, wanted, tensor_of(unit.reshape(out._spec.size), out), retain_graph=True,
                     allow_unused=True)  # fmt: skip
        for block, g in zip(blocks, found):
            if g is not None:
                block[:, column] = values(g).reshape(-1)
    return blocks


def differences(
    func: Function, inputs: list[Any], x: Any, eps: float, count: int
) -> list[np.ndarray]:
    """What differences say: for each output a matrix (elements of x × the output's)."""
    start = values(x).copy()
    rows: list[list[np.ndarray]] = [[] for _ in range(count)]
    for place in range(start.size):
        ends = []
        for step in (-eps, eps):
            moved = start.copy()
            moved.reshape(-1)[place] += step
            set_values(x, moved)
            ends.append([values(out).reshape(-1).copy() for out in differentiable(func(*inputs))])
        for row, low, high in zip(rows, *ends):
            row.append((high - low) / (2 * eps))
    set_values(x, start)
    sizes = [out._spec.numel for out in differentiable(func(*inputs))]
    return [np.array(row).reshape(start.size, n) for row, n in zip(rows, sizes)]


def expect_constant(func: Function, inputs: list[Any], wanted: list[Any], eps: float) -> None:
    """Outputs without a gradient must not depend on the inputs."""
    outs = [
        o for o in listed(func(*inputs)) if isinstance(o, Recorded) and o._spec.dtype.kind == "f"
    ]
    for x in wanted if outs else ():
        start = values(x).copy()
        before = [values(o).copy() for o in outs]
        set_values(x, start + eps)
        after = [values(o) for o in listed(func(*inputs)) if isinstance(o, Recorded)]
        set_values(x, start)
        if any(np.abs(a - b).max(initial=0.0) > 0 for a, b in zip(before, after)):
            raise GradcheckError("Numerical gradient for function expected to be zero")


# ------------------------------------------------------------------ tensors


def listed(given: Any) -> list[Any]:
    """One argument or several as a list."""
    return list(given) if isinstance(given, (tuple, list)) else [given]


def needs_grad(x: Any) -> bool:
    return isinstance(x, Recorded) and x._spec.requires_grad


def differentiable(outputs: Any) -> list[Any]:
    """The outputs that have a gradient."""
    return [out for out in listed(outputs) if needs_grad(out)]


def values(x: Any) -> np.ndarray:
    """The elements as an array, which may change with the tensor."""
    from flambeau.ir.dtype import widen

    return np.array(widen(x.detach()._memory(), x._spec.dtype), dtype=np.float64)


def tensor_of(array: np.ndarray, like: Any) -> Any:
    """A tensor with an array's elements and another tensor's type."""
    import flambeau

    make: Any = flambeau.tensor  # the function, which hides the module of that name
    return make(array, dtype=like._spec.dtype)


def set_values(x: Any, array: np.ndarray) -> None:
    """Overwrite a tensor unseen by its history."""
    with no_grad():
        x.data.copy_(tensor_of(array, x))


def random_like(outputs: list[Any]) -> list[Any]:
    """Weights for the outputs, which require gradients too."""
    import flambeau

    return [flambeau.randn(o._spec.size, dtype=o._spec.dtype).requires_grad_() for o in outputs]
