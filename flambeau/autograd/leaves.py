"""What may be the gradient of a leaf, and what may become a leaf."""

from __future__ import annotations

from typing import Any

from flambeau.trace.storage import Storage
from flambeau.trace.tensor import Recorded
from flambeau.trace.trie import here


def check_grad(tensor: Recorded, grad: Any) -> None:
    """Whether something can be a tensor's `.grad`."""
    if not isinstance(grad, Recorded):
        raise TypeError(
            f"assigned grad expected to be a Tensor or None but got grad of type "
            f"{type(grad).__name__}"
        )
    if grad is tensor:
        raise RuntimeError("can't assign Variable as its own grad")
    if grad._spec.dtype.plain is not tensor._spec.dtype.plain:
        raise RuntimeError(
            f"attempting to assign a gradient with dtype '{grad._spec.dtype.legacy.lower()}' to a "
            f"tensor with grad_dtype '{tensor._spec.dtype.legacy}'. The gradient must match the "
            "tensor's grad_dtype (defaults to the tensor's dtype)."
        )
    if grad._spec.size != tensor._spec.size:
        raise RuntimeError(
            f"attempting to assign a gradient of size '{list(grad._spec.size)}' to a tensor of "
            f"size '{list(tensor._spec.size)}'. Please ensure that the gradient and the tensor are "
            "the same size"
        )


def refuse_inference(storage: Storage) -> None:
    """Memory of inference mode may not begin to require gradients elsewhere."""
    if storage.inference and not here.stretch.mode.inference:
        raise RuntimeError(
            "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed."
        )
