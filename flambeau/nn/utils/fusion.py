"""A batch norm of evaluation folded into the layer before it."""

import copy

from flambeau.nn.parameter import Parameter


def fuse_conv_bn_eval(conv, bn, transpose=False):
    """One convolution that does what a convolution and a batch norm do in evaluation."""
    check_eval(conv, bn)
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        transpose,
    )  # fmt: skip
    return fused


def fuse_conv_bn_weights(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, transpose=False):
    """Weight and bias of that convolution."""
    dims = [1] * conv_w.dim()
    dims[1 if transpose else 0] = -1
    return fused_weights(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, dims)


def fuse_linear_bn_eval(linear, bn):
    """One linear layer that does what a linear layer and a batch norm do in evaluation."""
    check_eval(linear, bn)
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError("To fuse, linear.out_features == bn.num_features or "
                             "bn.num_features == 1")  # fmt: skip
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b):
    """Weight and bias of that layer."""
    return fused_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, [-1, 1])


def fused_weights(weight, bias, mean, var, eps, scale, shift, dims):
    """(w x + b - mean) · scale / √(var + eps) + shift, as one weight and one bias."""
    needs_grad = weight.requires_grad, bias.requires_grad if bias is not None else (
        weight.requires_grad)  # fmt: skip
    bias = mean.new_zeros(mean.shape) if bias is None else bias
    factor = (var + eps).rsqrt()
    factor = factor if scale is None else factor * scale
    shift = 0 if shift is None else shift
    fused = (weight * factor.reshape(dims)).to(weight.dtype)
    moved = ((bias - mean) * factor + shift).to(weight.dtype)
    return (Parameter(fused.detach(), needs_grad[0]), Parameter(moved.detach(), needs_grad[1]))


def check_eval(layer, bn):
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")


__all__ = [
    "fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights",
]  # fmt: skip
