"""torch.nn.functional: the rows of the table that belong there, and what wraps them."""

import warnings
from importlib import import_module

from flambeau.ops.declare import TABLE
from flambeau.tensor import FUNCTIONS, Tensor

for _name, _op in TABLE.items():
    if "nn.functional" in _op.public and _name in FUNCTIONS:
        for _public in (_name, *_op.aliases):
            globals()[_public] = FUNCTIONS[_name]


def __getattr__(name):
    """Functions that live in a front module under the same name."""
    if name in HOMES:
        globals()[name] = found = getattr(import_module(f"flambeau.{HOMES[name]}"), name)
        return found
    raise AttributeError(f"module 'torch.nn.functional' has no attribute '{name}'")


# Functions of the front modules that are imported when they are first asked for.
HOMES = {
    name: module
    for module, names in {
        "noise": """alpha_dropout dropout1d dropout2d dropout3d feature_alpha_dropout gumbel_softmax
            rrelu rrelu_""",
        "products": "bilinear linear",
        "losses": """binary_cross_entropy binary_cross_entropy_with_logits cross_entropy huber_loss
            kl_div l1_loss mse_loss nll_loss smooth_l1_loss""",
        "margins": """cosine_embedding_loss hinge_embedding_loss margin_ranking_loss
            multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss soft_margin_loss
            triplet_margin_loss triplet_margin_with_distance_loss""",
        "functions": """cosine_similarity gelu glu hardshrink logsigmoid normalize prelu softplus
            softshrink softsign tanhshrink""",
        "likelihoods": "ctc_loss gaussian_nll_loss linear_cross_entropy poisson_nll_loss",
        "embeddings": "embedding embedding_bag",
        "attention": "multi_head_attention_forward scaled_dot_product_attention",
        "selecting": "one_hot",
        "distances": "pdist",
        "convolving": """conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
            conv_tbc unfold fold""",
        "pooling": """max_pool1d max_pool2d max_pool3d max_pool1d_with_indices
            max_pool2d_with_indices max_pool3d_with_indices avg_pool1d lp_pool1d lp_pool2d lp_pool3d
            adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
            adaptive_max_pool2d adaptive_max_pool3d adaptive_max_pool1d_with_indices
            adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices max_unpool1d
            max_unpool2d max_unpool3d""",
        "fractional": """fractional_max_pool2d fractional_max_pool3d
            fractional_max_pool2d_with_indices fractional_max_pool3d_with_indices""",
        "normalizing": """layer_norm rms_norm group_norm batch_norm instance_norm
            local_response_norm pairwise_distance""",
        "padding": "pad",
        "resizing": "interpolate upsample upsample_nearest upsample_bilinear",
        "gridding": "grid_sample affine_grid",
        "lowlevel": "native_channel_shuffle",
    }.items()
    for name in names.split()
}


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
clamped = _with_inplace("hardtanh", ("min_val", -1.0), ("max_val", 1.0))
hardswish = _with_inplace("hardswish")
hardsigmoid = _with_inplace("hardsigmoid")
threshold = _with_inplace("threshold", ("threshold", None), ("value", None))


celu_, elu_, hardtanh_, leaky_relu_, selu_, threshold_ = (
    getattr(Tensor, name + "_") for name in "celu elu hardtanh leaky_relu selu threshold".split()
)


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """x between two bounds; `inplace` overwrites the input."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return clamped(input, min_val, max_val, inplace)


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


# ------------------------------------------------------------------ dropout


def dropout(input, p=0.5, training=True, inplace=False):
    """Zero elements with probability p and scale the others by 1 / (1 - p)."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0 or input._spec.numel == 0:
        return input
    if p == 1:
        mask = FUNCTIONS["full"]((), 0, dtype=input._spec.dtype)
    else:
        mask = dropout_mask(input, p)
    return input.mul_(mask) if inplace else input * mask


def dropout_mask(input, p):
    """What dropout multiplies by: 0, or 1 / (1 - p)."""
    import flambeau as fl

    return fl.empty_like(input, requires_grad=False).bernoulli_(1 - p).div_(1 - p)


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
