"""Settings that every optimizer checks alike."""

from flambeau.tensor import Tensor


def check_lr(lr, foreach=None, capturable=True):
    """A learning rate is a number that is not negative, or a tensor of one element."""
    if isinstance(lr, Tensor):
        if foreach and not capturable:
            raise ValueError(
                "lr as a Tensor is not supported for capturable=False and foreach=True"
            )
        if lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
    if lr < 0.0:
        raise ValueError(f"Invalid learning rate: {lr}")


def check_modes(foreach, fused, differentiable):
    """foreach and fused choose an implementation in PyTorch; here there is one, which is fused."""
    if fused:
        if differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")
        if foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    if differentiable:
        raise NotImplementedError("differentiable=True is not supported; write the update with "
                                  "tensor operations to differentiate through it")  # fmt: skip
