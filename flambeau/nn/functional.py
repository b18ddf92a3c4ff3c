"""torch.nn.functional: the rows of the table that belong there, and what wraps them."""

import warnings
from importlib import import_module

from flambeau.ops.declare import TABLE
from flambeau.tensor import FUNCTIONS

for _name, _op in TABLE.items():
    if "nn.functional" in _op.public and _name in FUNCTIONS:
        for _public in (_name, *_op.aliases):
            globals()[_public] = FUNCTIONS[_name]


def __getattr__(name):
    """Functions that live in a front module under the same name."""
    if name in BORROWED:
        for module in ("functions", "selecting", "arranging", "attention"):
            found = getattr(import_module(f"flambeau.{module}"), name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module 'torch.nn.functional' has no attribute '{name}'")


BORROWED = frozenset(
    """linear bilinear cross_entropy nll_loss binary_cross_entropy
    binary_cross_entropy_with_logits mse_loss l1_loss smooth_l1_loss huber_loss kl_div
    one_hot pad gelu softplus logsigmoid softsign tanhshrink softshrink hardshrink glu prelu
    normalize cosine_similarity multi_head_attention_forward
    scaled_dot_product_attention""".split()
)


# ------------------------------------------------------------------ activations


def _with_inplace(name, *settings):
    """F.name(input, *settings, inplace=False) from the Tensor methods name and name_."""
    plain = FUNCTIONS.get(name)
    usual = dict(settings)
    names = ["input", *usual]

    def function(*args, inplace=False, **given):
        if len(args) > len(names):
            *args, inplace = args
        bound = usual | dict(zip(names, args)) | given
        input = bound.pop("input")
        if inplace:
            return getattr(input, name + "_")(**bound)
        return (plain or FUNCTIONS[name])(input, **bound)

    function.__name__ = name
    function.__doc__ = f"{name} of every element; `inplace` overwrites the input."
    return function


def relu(input, inplace=False):
    """max(x, 0)."""
    return input.relu_() if inplace else input.relu()


def relu_(input):
    """relu, over the input."""
    return input.relu_()


def sigmoid(input):
    """1 / (1 + exp(-x))."""
    return input.sigmoid()


def tanh(input):
    """The hyperbolic tangent."""
    return input.tanh()


leaky_relu = _with_inplace("leaky_relu", ("negative_slope", 0.01))
silu = _with_inplace("silu")
elu = _with_inplace("elu", ("alpha", 1.0))
celu = _with_inplace("celu", ("alpha", 1.0))
selu = _with_inplace("selu")
mish = _with_inplace("mish")
relu6 = _with_inplace("relu6")
hardtanh = _with_inplace("hardtanh", ("min_val", -1.0), ("max_val", 1.0))
hardswish = _with_inplace("hardswish")
hardsigmoid = _with_inplace("hardsigmoid")
threshold = _with_inplace("threshold", ("threshold", None), ("value", None))


def _dim_of_old(name, ndim, stacklevel):
    """The dim that softmax without `dim` means."""
    warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Change the call to "
                  "include dim=X as an argument.", stacklevel=stacklevel)  # fmt: skip
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input, dim=None, _stacklevel=3, dtype=None):
    """exp(x) / sum(exp(x)) along dim."""
    dim = _dim_of_old("softmax", input.ndim, _stacklevel) if dim is None else dim
    return input.softmax(dim, dtype=dtype)


def softmin(input, dim=None, _stacklevel=3, dtype=None):
    """softmax(-x) along dim."""
    dim = _dim_of_old("softmin", input.ndim, _stacklevel) if dim is None else dim
    return (-input).softmax(dim, dtype=dtype)


def log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """log(softmax(x)) along dim."""
    dim = _dim_of_old("log_softmax", input.ndim, _stacklevel) if dim is None else dim
    return input.log_softmax(dim, dtype=dtype)


# ------------------------------------------------------------------ embedding


def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0,
              scale_grad_by_freq=False, sparse=False):  # fmt: skip
    """Rows of `weight`, by index."""
    rows = weight.shape[0]
    if padding_idx is None:
        padding_idx = -1
    elif not -rows <= padding_idx < rows:
        raise AssertionError("Padding_idx must be within num_embeddings")
    elif padding_idx < 0:
        padding_idx += rows
    if max_norm is not None:
        raise NotImplementedError("embedding with max_norm is not supported; scale the rows of "
                                  "weight yourself before the call")  # fmt: skip
    if sparse:
        raise NotImplementedError("sparse gradients are not supported; use sparse=False")
    return FUNCTIONS["embedding"](weight, input, padding_idx, bool(scale_grad_by_freq), False)


# ------------------------------------------------------------------ dropout


def dropout(input, p=0.5, training=True, inplace=False):
    """Zero elements with probability p and scale the others by 1 / (1 - p)."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0 or input.spec.numel == 0:
        return input
    if p == 1:
        mask = FUNCTIONS["full"]((), 0, dtype=input.spec.dtype)
    else:
        mask = dropout_mask(input, p)
    return input.mul_(mask) if inplace else input * mask


def dropout_mask(input, p):
    """What dropout multiplies by: 0, or 1 / (1 - p)."""
    import flambeau as fl

    return fl.empty_like(input, requires_grad=False).bernoulli_(1 - p).div_(1 - p)


# ------------------------------------------------------------------ normalisation


def _last_dims(input, shape):
    """The dims that are normalised, which must be the input's last."""
    shape = tuple(shape)
    if tuple(input.shape[input.ndim - len(shape) :]) != shape or len(shape) > input.ndim:
        given = ", ".join(map(str, shape))
        raise RuntimeError(f"Given normalized_shape=[{given}], expected input with shape [*, "
                           f"{given}], "
                           f"but got input of size{list(input.shape)}")  # fmt: skip
    return tuple(range(-len(shape), 0))


def _in_float32(input):
    """float16 and bfloat16 are normalised in float32."""
    import flambeau as fl

    return input.float() if input.dtype in (fl.float16, fl.bfloat16) else input


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Mean 0 and variance 1 over the last dims, then weight and bias."""
    dims = _last_dims(input, normalized_shape)
    x = _in_float32(input)
    centred = x - x.mean(dims, keepdim=True)
    out = centred * ((centred * centred).mean(dims, keepdim=True) + eps).rsqrt()
    out = out.to(input.dtype)
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """Root mean square 1 over the last dims, then weight."""
    import flambeau as fl

    dims = _last_dims(input, normalized_shape)
    x = _in_float32(input)
    eps = fl.finfo(x.dtype).eps if eps is None else eps
    out = (x * ((x * x).mean(dims, keepdim=True) + eps).rsqrt()).to(input.dtype)
    return out if weight is None else out * weight


# ------------------------------------------------------------------ losses


def legacy_reduction(size_average, reduce, emit_warning=True):
    """What the old arguments `size_average` and `reduce` mean."""
    size_average = True if size_average is None else size_average
    reduce = True if reduce is None else reduce
    meant = ("mean" if size_average else "sum") if reduce else "none"
    if emit_warning:
        warnings.warn("size_average and reduce args will be deprecated, please use "
                      f"reduction='{meant}' instead.", stacklevel=4)  # fmt: skip
    return meant
