"""Initial values of parameters; every function changes its tensor and returns it."""

import math
import warnings

import numpy as np

from flambeau.autograd.modes import no_grad

GAINS = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
ONE = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
       "conv_transpose3d", "sigmoid")  # fmt: skip


def calculate_gain(nonlinearity, param=None):
    """The factor that keeps variances through a nonlinearity."""
    if nonlinearity in ONE:
        return 1
    if nonlinearity == "leaky_relu":
        if param is None:
            slope = 0.01
        elif isinstance(param, (int, float)) and not isinstance(param, bool):
            slope = param
        else:
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return GAINS[nonlinearity]


# ------------------------------------------------------------------ given distributions


def uniform_(tensor, a=0.0, b=1.0, generator=None):
    """Draw from [a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor, mean=0.0, std=1.0, generator=None):
    """Draw from the normal distribution."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, generator=None):
    """Draw from the normal distribution cut off at a and b, by rejection."""
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn("mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
                      "The distribution of values may be incorrect.", stacklevel=2)  # fmt: skip
    low, high = (math.erf((end - mean) / std / math.sqrt(2)) / 2 for end in (a, b))
    with no_grad():
        if high - low > LIKELY:
            return redraw_normals(tensor, mean, std, a, b, generator)
        return draw_under_density(tensor, mean, std, a, b, generator)


LIKELY = 0.3  # from this share on, normals that fall outside are drawn again


def redraw_normals(tensor, mean, std, a, b, generator):
    """Normals; those outside are drawn again (all are drawn, and those needed are taken)."""
    values = as_array(tensor.normal_(mean, std, generator=generator))
    outside = (values < a) | (values > b)
    while outside.any():
        again = as_array(tensor.normal_(mean, std, generator=generator))
        values = np.where(outside, again, values)
        outside = (values < a) | (values > b)
    return set_values(tensor, values)


def draw_under_density(tensor, mean, std, a, b, generator):
    """Uniform numbers, each kept with a probability that is its density over the highest."""
    peak = -0.5 * ((min(max(mean, a), b) - mean) / std) ** 2
    values = np.zeros(tensor.shape)
    wanted = np.ones(tensor.shape, bool)
    while wanted.any():
        drawn = as_array(tensor.uniform_(a, b, generator=generator))
        with np.errstate(divide="ignore"):
            limit = np.log(as_array(tensor.uniform_(generator=generator)))
        kept = wanted & (-0.5 * ((drawn - mean) / std) ** 2 - peak > limit)
        values[kept] = drawn[kept]
        wanted &= ~kept
    return set_values(tensor, values)


def constant_(tensor, val):
    """One value everywhere."""
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor):
    """Ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor):
    """Zeros."""
    with no_grad():
        return tensor.zero_()


def eye_(tensor):
    """The identity, for a matrix."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return set_values(tensor, np.eye(*tensor.shape))


def dirac_(tensor, groups=1):
    """The kernel of a convolution that returns its input, for as many channels as there are."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    out, channels, *taps = tensor.shape
    if out % groups:
        raise ValueError("dim 0 must be divisible by groups")
    per_group = out // groups
    values = np.zeros(tensor.shape)
    middle = tuple(n // 2 for n in taps)
    for group in range(groups):
        for d in range(min(per_group, channels)):
            values[(group * per_group + d, d, *middle)] = 1
    return set_values(tensor, values)


# ------------------------------------------------------------------ scaled to the layer


def _calculate_fan_in_and_fan_out(tensor):
    """How many inputs an output of the layer has, and how many outputs an input."""
    if tensor.dim() < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _calculate_correct_fan(tensor, mode):
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return _calculate_fan_in_and_fan_out(tensor)[mode == "fan_out"]


def xavier_uniform_(tensor, gain=1.0, generator=None):
    """Uniform, scaled by fan in and fan out (X. Glorot, Y. Bengio, 2010)."""
    std = gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor, gain=1.0, generator=None):
    """Normal, scaled by fan in and fan out (X. Glorot, Y. Bengio, 2010)."""
    std = gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return normal_(tensor, 0.0, std, generator)


def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """Uniform, scaled by one fan and the nonlinearity's gain (K. He et al., 2015)."""
    if 0 in tensor.shape:
        return no_elements(tensor)
    fan = _calculate_correct_fan(tensor, mode)
    bound = math.sqrt(3.0) * (calculate_gain(nonlinearity, a) / math.sqrt(fan))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """Normal, scaled by one fan and the nonlinearity's gain (K. He et al., 2015)."""
    if 0 in tensor.shape:
        return no_elements(tensor)
    fan = _calculate_correct_fan(tensor, mode)
    return normal_(tensor, 0, calculate_gain(nonlinearity, a) / math.sqrt(fan), generator)


def no_elements(tensor):
    """There is nothing to draw."""
    warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
    return tensor


def orthogonal_(tensor, gain=1, generator=None):
    """A random (semi-)orthogonal matrix (A. Saxe et al., 2013)."""
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    columns = tensor.numel() // rows
    drawn = as_array(normal_(tensor.new_empty((rows, columns)), 0, 1, generator))
    q, r = np.linalg.qr(drawn.T if rows < columns else drawn)
    q = q * np.sign(np.diag(r))
    return set_values(tensor, (q.T if rows < columns else q).reshape(tensor.shape) * gain)


def sparse_(tensor, sparsity, std=0.01, generator=None):
    """Normal, with a share of every column zero (J. Martens, 2010)."""
    from flambeau import randperm

    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    values = as_array(normal_(tensor, 0, std, generator)).copy()
    for column in range(columns):
        values[randperm(rows).tolist()[:zeros], column] = 0
    return set_values(tensor, values)


def as_array(tensor):
    """The values as a NumPy array of their own."""
    from flambeau.ir.dtype import widen

    return np.array(widen(tensor.detach()._memory(), tensor.dtype))


def set_values(tensor, values):
    """Overwrite a tensor with an array."""
    import flambeau

    with no_grad():
        return tensor.copy_(flambeau.tensor(values, dtype=tensor.dtype))


# ------------------------------------------------------------------ names of old


def _make_deprecate(function):
    new, old = function.__name__, function.__name__[:-1]

    def deprecated(*args, **kwargs):
        warnings.warn(f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.",
                      FutureWarning, stacklevel=2)  # fmt: skip
        return function(*args, **kwargs)

    deprecated.__name__ = old
    deprecated.__doc__ = f"The old name of {new}."
    return deprecated


uniform = _make_deprecate(uniform_)
normal = _make_deprecate(normal_)
constant = _make_deprecate(constant_)
eye = _make_deprecate(eye_)
dirac = _make_deprecate(dirac_)
xavier_uniform = _make_deprecate(xavier_uniform_)
xavier_normal = _make_deprecate(xavier_normal_)
kaiming_uniform = _make_deprecate(kaiming_uniform_)
kaiming_normal = _make_deprecate(kaiming_normal_)
orthogonal = _make_deprecate(orthogonal_)
sparse = _make_deprecate(sparse_)
