"""Functions that draw while training: the dropouts of channels, alpha dropout, rrelu, Gumbel."""

from __future__ import annotations

import math
import warnings
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.tensor import FUNCTIONS as row

# ------------------------------------------------------------------ dropout


def check_probability(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def empty_like(input: Any) -> Any:
    """Memory for draws, laid out like the input."""
    import flambeau as fl

    return fl.empty_like(input, requires_grad=False)


def kept(input: Any, p: float, features: bool) -> Any:
    """1 with probability 1 - p, else 0: for each element, or for each channel."""
    if features:
        if input.ndim < 2:
            raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
        size = (*input.shape[:2], *(1,) * (input.ndim - 2))
        return input.new_empty(size).bernoulli_(1 - p)
    return empty_like(input).bernoulli_(1 - p)


def over(input: Any, result: Any, inplace: bool) -> Any:
    """The result, or the input with the result in it."""
    return input.copy_(result) if inplace else result


def of_channels(input: Any, p: float, training: bool, inplace: bool) -> Any:
    """Zero whole channels, dims 0 and 1, with probability p, and scale the others."""
    if not training or p == 0 or not input.numel():
        return input
    if p == 1:
        mask = row["full"]((), 0, dtype=input.dtype)
    else:
        mask = kept(input, p, True).div_(1 - p)
    return input.mul_(mask) if inplace else input * mask


def unbatched(input: Any, p: float, training: bool, inplace: bool) -> Any:
    """The same for one sample."""
    if inplace:
        of_channels(input.unsqueeze(0), p, training, True)
        return input
    return of_channels(input.unsqueeze(0), p, training, False).squeeze(0)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero whole channels of (N, C, L) or (C, L)."""
    check_probability(p)
    if input.dim() not in (2, 3):
        raise RuntimeError(f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D "
                           "input. Note that dropout1d exists to provide channel-wise dropout on "
                           "inputs with 1 spatial dimension, a channel dimension, and an optional "
                           "batch dimension (i.e. 2D or 3D inputs).")  # fmt: skip
    return (of_channels if input.dim() == 3 else unbatched)(input, p, training, inplace)


def old_dims(name: str, dims: int, spatial: int) -> None:
    """A warning about inputs that have another number of dims than they should."""
    warnings.warn(f"{name}: Received a {dims}-D input to {name}, which is deprecated and will "
                  "result in an error in a future release. To retain the behavior and silence this "
                  f"warning, please use dropout instead. Note that {name} exists to provide "
                  f"channel-wise dropout on inputs with {spatial} spatial dimensions, a channel "
                  f"dimension, and an optional batch dimension (i.e. {spatial + 1}D or "
                  f"{spatial + 2}D inputs).", stacklevel=3)  # fmt: skip


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero whole channels of (N, C, H, W); three dims count as (N, C, L), with a warning."""
    check_probability(p)
    if input.dim() not in (3, 4):
        old_dims("dropout2d", input.dim(), 2)
    if input.dim() == 3:
        warnings.warn("dropout2d: Received a 3D input to dropout2d and assuming that channel-wise "
                      "1D dropout behavior is desired - input is interpreted as shape (N, C, L), "
                      "where C is the channel dim. This behavior will change in a future release "
                      "to interpret the input as one without a batch dimension, i.e. shape (C, H, "
                      "W). To maintain the 1D channel-wise dropout behavior, please switch to "
                      "using dropout1d instead.", stacklevel=2)  # fmt: skip
    return of_channels(input, p, training, inplace)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    check_probability(p)
    if input.dim() not in (4, 5):
        old_dims("dropout3d", input.dim(), 3)
    return (of_channels if input.dim() == 5 else unbatched)(input, p, training, inplace)


SATURATION = 1.7580993408473766  # -SELU(-∞): what dropped elements become, before scaling


def alpha_dropped(input: Any, p: float, training: bool, inplace: bool, features: bool) -> Any:
    """Dropout that keeps mean and variance of SELU's outputs (G. Klambauer et al., 2017)."""
    check_probability(p)
    if not training or p == 0 or not input.numel():
        return input
    if p == 1:
        return over(input, input * row["full"]((), 0, dtype=input.dtype), inplace)
    scale = 1 / math.sqrt((SATURATION**2 * p + 1) * (1 - p))
    mask = kept(input, p, features)
    shift = (mask - 1) * (SATURATION * scale) + SATURATION * scale * p
    return over(input, input * (mask * scale) + shift, inplace)


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Set elements to SELU's limit with probability p; mean and variance stay."""
    return alpha_dropped(input, p, training, inplace, False)


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False,
                          inplace: bool = False) -> Any:  # fmt: skip
    """Set whole channels to SELU's limit with probability p; mean and variance stay."""
    return alpha_dropped(input, p, training, inplace, True)


# ------------------------------------------------------------------ activations


def slopes(input: Any, lower: float, upper: float, training: bool) -> Any:
    """1 where the input is positive; elsewhere a slope, drawn while training.

    How many are drawn depends on the input, which is therefore looked at.
    """
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if input.dtype.kind != "f":
        raise NotImplementedError(
            f"\"rrelu_with_noise_out_cpu\" not implemented for '{input.dtype.legacy}'"
        )
    negative = input.detach() <= 0
    one = input.new_ones(())
    if not training:
        return row["where"](negative, one * ((lower + upper) / 2), one)
    drawn = input.new_empty((int(negative.sum()),), dtype=dt.float64).uniform_(lower, upper)
    noise = one.expand(input.shape).clone()
    noise[negative] = drawn.to(input.dtype)
    return noise


def rrelu(input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
          inplace: bool = False) -> Any:  # fmt: skip
    """x where x > 0, else x times a slope drawn from [lower, upper), or their mean."""
    result = row["_rrelu_with_noise"](input, slopes(input, lower, upper, training))
    return over(input, result, inplace)


def rrelu_(input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Any:
    """rrelu, over the input."""
    return rrelu(input, lower, upper, training, True)


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10,
                   dim: int = -1) -> Any:  # fmt: skip
    """A sample of classes that has a gradient (E. Jang et al., 2016); hard: one-hot."""
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    noise = -empty_like(logits).exponential_().log()
    soft = ((logits + noise) / tau).softmax(dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    one_hot = empty_like(logits).zero_().scatter_(dim, index, 1.0)
    return one_hot - soft.detach() + soft


PUBLIC = "alpha_dropout feature_alpha_dropout rrelu rrelu_".split()
