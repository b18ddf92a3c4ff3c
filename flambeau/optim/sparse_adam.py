"""SparseAdam: Adam for embeddings of which a step uses a few rows."""

import math

from flambeau.optim.checks import check_betas, check_lr
from flambeau.optim.state import zeros_for
from flambeau.optim.stepping import Stepping, number


class SparseAdam(Stepping):
    """Adam (Kingma and Ba, 2015) where the gradient has elements; all else stays as it is.

    Raises RuntimeError in `step` for dense gradients, as PyTorch does.
    """

    flags, choices = ("maximize",), ()

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        check_lr(lr)
        if not 0.0 < eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        if sparse := self.places(lambda param: param.is_sparse):
            raise ValueError(f"Sparse params at indices {sparse}: SparseAdam requires dense "
                             "parameter tensors")  # fmt: skip
        if complex_ones := self.places(lambda param: param.is_complex()):
            raise ValueError(f"Complex params at indices {complex_ones}: SparseAdam does not "
                             "support complex parameters")  # fmt: skip

    def places(self, wrong):
        """The parameters of which something is true: group and number in it."""
        return [[i, j] for i, group in enumerate(self.param_groups)
                for j, param in enumerate(group["params"]) if wrong(param)]  # fmt: skip

    def update(self, group, params, grads):
        raise RuntimeError(
            "SparseAdam does not support dense gradients, please consider Adam instead"
        )

    def update_sparse(self, group, params, grads):
        for param, grad in zip(params, grads):
            own = self.state[param]
            if not own:
                own.update(step=0, exp_avg=zeros_for(param), exp_avg_sq=zeros_for(param))
            self.stepped.append((param, (own["step"],)))
            own["step"] += 1
            self.move(group, own, param, (-grad if group["maximize"] else grad).coalesce())

    def move(self, group, own, param, grad):
        """Update the averages and the parameter where the gradient has elements."""
        if not grad._values().numel():
            return
        places, values, step = tuple(grad._indices().unbind(0)), grad._values(), own["step"]
        first, second = group["betas"]
        mean, square = own["exp_avg"][places], own["exp_avg_sq"][places]
        to_mean = (values - mean) * (1 - first)
        to_square = (values * values - square) * (1 - second)
        own["exp_avg"].index_put_(places, to_mean, accumulate=True)
        own["exp_avg_sq"].index_put_(places, to_square, accumulate=True)
        rate = number(group["lr"]) * math.sqrt(1 - second**step) / (1 - first**step)
        direction = (mean + to_mean) / ((square + to_square).sqrt() + group["eps"])
        param.index_put_(places, direction * -rate, accumulate=True)
