"""SparseAdam: there are no sparse gradients here, so it can be made, but takes no step."""

from flambeau.optim.checks import check_betas, check_lr
from flambeau.optim.stepping import Stepping


class SparseAdam(Stepping):
    """Adam for sparse gradients. All gradients are dense here, which it refuses, as in PyTorch."""

    flags, choices = ("maximize",), ()

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        check_lr(lr)
        if not 0.0 < eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def update(self, group, params, grads):
        raise RuntimeError(
            "SparseAdam does not support dense gradients, please consider Adam instead"
        )
