"""autograd.grad(is_grads_batched=True): a walk for each row of grad_outputs."""

from __future__ import annotations

from typing import Any

from flambeau.autograd.calls import check_inputs, grad, listed, root_grads, zeros_like
from flambeau.ops.declare import TABLE
from flambeau.trace import recorder


def grad_rows(outputs: Any, inputs: Any, grad_outputs: Any, *, retain_graph: bool | None,
              create_graph: bool, allow_unused: bool | None,
              materialize_grads: bool) -> tuple[Any, ...]:  # fmt: skip
    """The gradients for each row of `grad_outputs`, stacked along a new first dim."""
    roots = listed(outputs)
    rows = [None] * len(roots) if grad_outputs is None else listed(grad_outputs)
    count = rows_of(roots, rows)
    if count is None:
        root_grads(roots, None)  # says what is missing
        return grad(outputs, inputs, None, retain_graph, create_graph, allow_unused=allow_unused,
                    materialize_grads=materialize_grads)  # fmt: skip
    if not count:
        wanted = listed(inputs)
        check_inputs(wanted)
        return tuple(x.new_zeros((0, *x._spec.size)) for x in wanted)
    unused = allow_unused or materialize_grads
    retain = create_graph if retain_graph is None else retain_graph
    found = []
    for n in range(count):
        row = [None if g is None else g.select(0, n) for g in rows]
        keep = bool(retain) or n + 1 < count
        found.append(grad(roots, inputs, row, keep, create_graph, allow_unused=unused))
    joint = [None if column[0] is None else recorder.record(TABLE["stack"], column, 0)
             for column in zip(*found)]  # fmt: skip
    if materialize_grads:
        joint = [zeros_like(x) if g is None else g for g, x in zip(joint, listed(inputs))]
    return tuple(joint)


def rows_of(roots: list[Any], grads: list[Any]) -> int | None:
    """How many rows there are: as many in each; None where no gradients are given."""
    sizes = []
    for n, (root, g) in enumerate(zip(roots, grads)):
        if g is None:
            continue
        if g._spec.size[1:] != root._spec.size or not g._spec.size:
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output "
                "as the batch dimension. The sizes of the remaining dimensions are expected to "
                "match the shape of corresponding output, but a mismatch was detected: "
                f"grad_output[{n}] has a shape of {g.shape} and output[{n}] has a shape of "
                f"{root.shape}. If you only want some tensors in `grad_output` to be considered "
                "batched, consider using vmap.")  # fmt: skip
        sizes.append(g._spec.size[0])
    if len(set(sizes)) > 1:
        raise ValueError("vmap: Expected all tensors to have the same size in the mapped "
                         f"dimension, got sizes {sizes} for the mapped dimension")  # fmt: skip
    return sizes[0] if sizes else None
