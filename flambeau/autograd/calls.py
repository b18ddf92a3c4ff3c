"""autograd.backward and autograd.grad: arguments, then the walk."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from flambeau.autograd import inplace
from flambeau.autograd.walk import accumulate, backward_from, ones_like, place_of
from flambeau.autograd.walk import backward as run
from flambeau.trace.tensor import Recorded


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None,
             create_graph: bool = False, grad_variables: Any = None,
             inputs: Any = None) -> None:  # fmt: skip
    """Accumulate the gradients of `tensors` into the leaves (or into `inputs`)."""
    if grad_variables is not None:
        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning,
                      stacklevel=2)  # fmt: skip
        if grad_tensors is not None:
            raise RuntimeError("`grad_tensors` and `grad_variables` (deprecated) arguments both "
                               "passed to `backward()`. Please only use "
                               "`grad_tensors`.")  # fmt: skip
        grad_tensors = grad_variables
    retain = create_graph if retain_graph is None else retain_graph
    if grad_tensors is None and inputs is None and isinstance(tensors, Recorded):
        check_root(0, tensors)
        if tensors._spec.numel != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        check_real(tensors)
        backward_from(tensors, retain, create_graph)
        return
    roots = listed(tensors)
    grads = root_grads(roots, grad_tensors)
    if inputs is None:
        run(roots, grads, retain, create_graph)
        return
    wanted = listed(inputs)
    if not wanted:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    check_inputs(wanted)
    walk = run(roots, grads, retain, create_graph, wanted)
    for tensor in wanted:
        found = walk.found.get(place_of(tensor))
        if found is not None:
            accumulate(walk, tensor, found)


def grad(outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None,
         create_graph: bool = False, only_inputs: bool = True, allow_unused: bool | None = None,
         is_grads_batched: bool = False,
         materialize_grads: bool = False) -> tuple[Any, ...]:  # fmt: skip
    """The gradients of `outputs` with respect to `inputs`."""
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads="
                         "True, but got: allow_unused=False.")  # fmt: skip
    if is_grads_batched:
        from flambeau.autograd.batched import grad_rows

        return grad_rows(outputs, inputs, grad_outputs, retain_graph=retain_graph,
                         create_graph=create_graph, allow_unused=allow_unused,
                         materialize_grads=materialize_grads)  # fmt: skip
    if not only_inputs:
        warnings.warn("only_inputs argument is deprecated and is ignored now (defaults to "
                      "True). To "
                      "accumulate gradient for other parts of the graph, please use "
                      "torch.autograd.backward.", FutureWarning, stacklevel=2)  # fmt: skip
    roots, wanted = listed(outputs), listed(inputs)
    if not wanted:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    grads = root_grads(roots, grad_outputs)
    check_inputs(wanted)
    walk = run(roots, grads, create_graph if retain_graph is None else retain_graph, create_graph,
               wanted)  # fmt: skip
    found = [walk.found.get(place_of(tensor)) for tensor in wanted]
    if materialize_grads:
        return tuple(zeros_like(t) if g is None else g for t, g in zip(wanted, found))
    if not allow_unused and any(g is None for g in found):
        unused = next(i for i, g in enumerate(found) if g is None)
        raise RuntimeError(f"The differentiated Tensor at index {unused} appears to not have been "
                           "used in the graph. Set allow_unused=True if this is the desired "
                           "behavior.")  # fmt: skip
    return tuple(found)


def listed(tensors: Any) -> list[Any]:
    """One tensor or several as a list."""
    return [tensors] if isinstance(tensors, Recorded) else list(tensors)


def check_inputs(wanted: Sequence[Any]) -> None:
    """Gradients can be had of what requires them."""
    if not all(tensor.requires_grad for tensor in wanted):
        raise RuntimeError("One of the differentiated Tensors does not require grad")


def check_root(number: int, root: Any) -> None:
    """Gradients can come from what has a history."""
    if inplace.stale(root):
        inplace.refresh_history(root)
    if not root._spec.requires_grad:
        raise RuntimeError(f"element {number} of tensors does not require grad and does not have a "
                           "grad_fn")  # fmt: skip


def root_grads(roots: list[Any], given: Any) -> list[Any]:
    """The gradient to begin with, for each root."""
    given = [None] * len(roots) if given is None else listed(given)
    if len(given) != len(roots):
        raise RuntimeError(f"got {len(roots)} tensors and {len(given)} gradients")
    grads = [root_grad(n, root, grad) for n, (root, grad) in enumerate(zip(roots, given))]
    for number, root in enumerate(roots):
        check_root(number, root)
    return grads


def root_grad(number: int, root: Any, grad: Any) -> Any:
    """The gradient given for a root, checked, or 1."""
    if grad is None:
        if root._spec.requires_grad and root._spec.numel != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        check_real(root)
        return ones_like(root)
    if not isinstance(grad, Recorded):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(grad).__name__}")
    if grad._spec.size != root._spec.size:
        raise RuntimeError(f"Mismatch in shape: grad_output[{number}] has a shape of "
                           f"torch.Size({list(grad._spec.size)}) and output[{number}] has a "
                           "shape of "
                           f"torch.Size({list(root._spec.size)}).")  # fmt: skip
    typed: Any = grad
    if (grad._spec.dtype.kind == "c") != (root._spec.dtype.kind == "c"):
        kinds = ["complex" if t._spec.dtype.kind == "c" else "real" for t in (grad, root)]
        raise RuntimeError(
            f"For complex Tensors, both grad_output and output are required to have the same "
            f"dtype. Mismatch in dtype: grad_output[{number}] has a dtype of {grad._spec.dtype} "
            f"({kinds[0]}) and output[{number}] has a dtype of {root._spec.dtype} "
            f"({kinds[1]}).")  # fmt: skip
    wanted = root._spec.dtype.plain
    return typed if grad._spec.dtype.plain is wanted else typed.to(wanted)


def check_real(root: Any) -> None:
    """A gradient of 1 to begin with makes sense where the root is real."""
    if root._spec.dtype.kind == "c" and root._spec.requires_grad:
        raise RuntimeError("grad can be implicitly created only for real scalar outputs but got "
                           f"{root._spec.dtype}")  # fmt: skip


def zeros_like(tensor: Any) -> Any:
    """A gradient for an input that was not used."""
    return tensor.new_zeros(tensor._spec.size)
