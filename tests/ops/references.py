"""Which function of PyTorch each row is measured against."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

# Rows that PyTorch has under another name or with its arguments in another order.
OTHERS: dict[str, Callable[..., Callable[..., Any]]] = {
    "pow_number": lambda torch: torch.pow,
    "pow_tensor": lambda torch: torch.pow,
    "clamp_number": lambda torch: torch.clamp,
    "clamp_tensor": lambda torch: torch.clamp,
    "polygamma": lambda torch: lambda x, n: torch.polygamma(n, x),
    "div_floor": lambda torch: lambda x, y: torch.div(x, y, rounding_mode="floor"),
    "div_trunc": lambda torch: lambda x, y: torch.div(x, y, rounding_mode="trunc"),
    "convolution": lambda torch: convolved(torch),
    "im2col": lambda torch: torch.nn.functional.unfold,
    "col2im": lambda torch: torch.nn.functional.fold,
    "_layer_norm": lambda torch: layers(torch.native_layer_norm),
    "_group_norm": lambda torch: groups(torch.native_group_norm),
    "_batch_norm": lambda torch: batches(torch),
    "isclose_float": lambda torch: torch.isclose,
    "sum_all": lambda torch: torch.sum,
    "mean_all": lambda torch: torch.mean,
    "prod_all": lambda torch: torch.prod,
    "max_all": lambda torch: torch.max,
    "min_all": lambda torch: torch.min,
    "max_dim": lambda torch: torch.max,
    "min_dim": lambda torch: torch.min,
    "true_divide": lambda torch: torch.div,
    "var": lambda torch: spread(torch.var),
    "std": lambda torch: spread(torch.std),
    "var_mean": lambda torch: spread(torch.var_mean),
    "std_mean": lambda torch: spread(torch.std_mean),
    "vector_norm": lambda torch: torch.linalg.vector_norm,
    "elu": lambda torch: torch.ops.aten.elu,
    "celu_scaled": lambda torch: torch.ops.aten.elu,
    "mse_loss": lambda torch: pair(torch.nn.functional.mse_loss),
    "smooth_l1_loss": lambda torch: pair(torch.nn.functional.smooth_l1_loss),
    "huber_loss": lambda torch: pair(torch.nn.functional.huber_loss),
    "nll_loss": lambda torch: classes(torch.nn.functional.nll_loss),
    "nll_loss2d": lambda torch: classes(torch.nn.functional.nll_loss),
    "soft_margin_loss": lambda torch: pair(torch.nn.functional.soft_margin_loss),
    "multilabel_margin_loss": lambda torch: pair(torch.nn.functional.multilabel_margin_loss),
    "multi_margin_loss": lambda torch: lambda x, t, w, reduction, p, margin: (
        torch.nn.functional.multi_margin_loss(x, t, p, margin, w, reduction=reduction)
    ),
    "_cdist": lambda torch: lambda x, y, p, product: torch.cdist(x, y, p),
    "_glu": lambda torch: torch.nn.functional.glu,
    "_prelu_kernel": lambda torch: torch.ops.aten._prelu_kernel,
    "_rrelu_with_noise": lambda torch: torch.mul,
    "_lstm_gates": lambda torch: lstm_gates,
    "_gru_gates": lambda torch: gru_gates,
    "_pack_padded": lambda torch: lambda x, index: x.index_select(0, index),
    "binary_cross_entropy": lambda torch: binary(torch.nn.functional.binary_cross_entropy),
    "binary_cross_entropy_with_logits": lambda torch: logits(
        torch.nn.functional.binary_cross_entropy_with_logits
    ),
}


def lstm_gates(gates: Any, cell: Any) -> Any:
    i, f, g, o = gates.chunk(4, 1)
    new = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * new.tanh(), new


def gru_gates(x: Any, h: Any, state: Any) -> Any:
    (xr, xz, xn), (hr, hz, hn) = x.chunk(3, 1), h.chunk(3, 1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    n = (xn + r * hn).tanh()
    return n + z * (state - n)


def convolved(torch: Any) -> Any:
    """torch.convolution, for complex numbers too."""

    def function(x, w, bias, stride, padding, dilation, transposed, output_padding, groups):
        name = f"conv{'_transpose' * transposed}{x.ndim - 2}d"
        more = (output_padding, groups, dilation) if transposed else (dilation, groups)
        return getattr(torch.nn.functional, name)(x, w, bias, stride, padding, *more)

    return function


def layers(function: Any) -> Any:
    return lambda x, shape, weight=None, bias=None, eps=1e-5: function(x, shape, weight, bias, eps)


def groups(function: Any) -> Any:
    def call(x, count, weight=None, bias=None, eps=1e-5):
        n, c, *rest = x.shape
        if c % count:
            raise RuntimeError("native_group_norm divides by it")
        size = math.prod(rest)
        return function(x.contiguous(), weight, bias, n, c, size, count, eps)

    return call


def widened(torch: Any, x: Any) -> Any:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def batches(torch: Any) -> Any:
    """native_batch_norm with statistics that are kept wide, and the biased variance as well."""

    def call(x, weight=None, bias=None, eps=1e-5):
        if not x.dtype.is_floating_point:
            return torch.native_batch_norm(x, weight, bias, None, None, True, 0.1, eps)
        w, b = (p if p is None else widened(torch, p) for p in (weight, bias))
        y = widened(torch, x)
        out, mean, rstd = torch.native_batch_norm(y, w, b, None, None, True, 0.1, eps)
        variance = y.detach().var((0, *range(2, x.ndim)), correction=0)
        nothing = y.flatten()[:0].sum()  # statistics have a derivative in the row, which is 0
        return out.to(x.dtype), *(s + nothing for s in (mean, rstd, variance))

    return call


def spread(function: Any) -> Any:
    return lambda x, dim, correction, keepdim: function(
        x, dim, correction=correction, keepdim=keepdim
    )


def pair(function: Any) -> Any:
    return lambda x, y, reduction, **numbers: function(x, y, reduction=reduction, **numbers)


def classes(function: Any) -> Any:
    return lambda x, target, weight, reduction, ignore_index=-100: function(
        x, target, weight, ignore_index=ignore_index, reduction=reduction
    )


def binary(function: Any) -> Any:
    return lambda x, target, weight, reduction: function(x, target, weight, reduction=reduction)


def logits(function: Any) -> Any:
    return lambda x, target, weight, pos_weight, reduction: function(
        x, target, weight, pos_weight=pos_weight, reduction=reduction
    )


def reference(op: Any, torch: Any) -> Callable[..., Any]:
    """PyTorch's function for a row."""
    if op.name in OTHERS:
        return OTHERS[op.name](torch)
    name = op.name.removeprefix("special_")
    for place in (torch, torch.nn.functional, torch.Tensor, torch.special, torch.linalg):
        if hasattr(place, name):
            return getattr(place, name)
    raise LookupError(f"which function of PyTorch is {op.name}? Add it to references.py")
