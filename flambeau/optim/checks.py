"""Settings that every optimizer checks alike."""

from flambeau.tensor import Tensor


def check_lr(lr, foreach=None, capturable=True):
    """A learning rate is a number that is not negative, or a tensor of one element."""
    check_one_element(lr)
    if isinstance(lr, Tensor) and foreach and not capturable:
        raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
    if not 0.0 <= lr:
        raise ValueError(f"Invalid learning rate: {lr}")


def check_one_element(lr):
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")


def check_not_negative(**settings):
    """Refuse settings below 0 (and NaN)."""
    for name, value in settings.items():
        if not 0.0 <= value:
            raise ValueError(f"Invalid {'epsilon' if name == 'eps' else name} value: {value}")


def check_betas(betas):
    """Weights of running means lie in [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def check_modes(foreach, fused, differentiable):
    """foreach and fused choose an implementation in PyTorch; here there is one, which is fused."""
    if fused:
        if differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")
        if foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
