"""What convolutions accept: settings in one form, PyTorch's checks, and sizes."""

from __future__ import annotations

from typing import Any

from flambeau.ir.layout import Ints, Spec


def spatial(name: str, given: Any, dims: int) -> Ints:
    """One int for each spatial dim, from one for all or as many."""
    many = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    if len(many) not in (1, dims):
        raise RuntimeError(f"expected {name} to be a single integer value or a list of {dims} "
                           f"values to match the convolution dimensions, but got {name}="
                           f"{list(many)}")  # fmt: skip
    for n in many:
        if isinstance(n, bool) or not hasattr(n, "__index__"):
            raise TypeError(f"convolution(): argument '{name}' must be tuple of ints, but found "
                            f"element of type {type(n).__name__}")  # fmt: skip
    return tuple(int(n) for n in (many if len(many) == dims else many * dims))


def conv_arguments(input: Spec, weight: Spec, bias: Spec | None, stride: Any, padding: Any,
                   dilation: Any, transposed: Any, output_padding: Any,
                   groups: Any) -> tuple[Any, ...]:  # fmt: skip
    """Settings in one form, after PyTorch's checks in PyTorch's order."""
    dims = weight.ndim - 2
    stride, padding, dilation, output_padding = (
        spatial(name, given, dims)
        for name, given in (("stride", stride), ("padding", padding), ("dilation", dilation),
                            ("output_padding", output_padding))
    )  # fmt: skip
    check_settings(stride, padding, dilation, output_padding, groups)
    check_weight(input, weight, bias, bool(transposed), groups)
    check_places(input, weight, padding, dilation, bool(transposed))
    if transposed:
        check_output_padding(output_padding, stride, dilation)
    if bias is not None and bias.dtype is not input.dtype:
        raise RuntimeError(f"Input type ({input.dtype.legacy.lower()}) and bias type "
                           f"({bias.dtype.legacy.lower()}) should be the same")  # fmt: skip
    if weight.dtype is not input.dtype:
        raise RuntimeError(
            f"expected scalar type {input.dtype.legacy} but found {weight.dtype.legacy}"
        )
    if input.size[0] and input.size[1]:
        check_dtype(input, dilation, bool(transposed))
    return (input, weight, bias, stride, padding, dilation, bool(transposed), output_padding,
            int(groups))  # fmt: skip


def check_dtype(input: Spec, dilation: Ints, transposed: bool) -> None:
    """Integers convolve in the plainest form only, and bool never."""
    kind, dims = input.dtype.kind, max(len(dilation), 2)
    small = kind in "iu" and input.dtype.itemsize < 8
    if kind != "b" and not (small and (transposed or max(dilation) > 1)):
        return
    kernel = (f"slow_conv_transpose{dims}d_out_cpu" if transposed else
              "slow_conv_dilated<>" if max(dilation) > 1 else f"slow_conv{dims}d_cpu")  # fmt: skip
    raise NotImplementedError(f"\"{kernel}\" not implemented for '{input.dtype.legacy}'")


def check_settings(stride: Ints, padding: Ints, dilation: Ints, output_padding: Ints,
                   groups: int) -> None:  # fmt: skip
    """Signs."""
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if min(padding, default=0) < 0:
        raise RuntimeError("negative padding is not supported")
    if min(output_padding, default=0) < 0:
        raise RuntimeError("negative output_padding is not supported")
    if min(stride, default=1) <= 0:
        raise RuntimeError("non-positive stride is not supported")
    if min(dilation, default=1) <= 0:
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")


def check_weight(input: Spec, weight: Spec, bias: Spec | None, transposed: bool,
                 groups: int) -> None:  # fmt: skip
    """Ranks and channels."""
    size = list(weight.size)
    if weight.ndim < 3:
        raise RuntimeError(f"weight should have at least three dimensions, but got {weight.ndim}")
    if input.ndim != weight.ndim:
        raise RuntimeError(f"Expected {weight.ndim}-dimensional input for {weight.ndim}-dimensional"
                           f" weight {size}, but got {input.ndim}-dimensional input of size "
                           f"{list(input.size)} instead")  # fmt: skip
    if size[0] < groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be at least {groups} at "
                           f"dimension 0, but got weight of size {size} instead")  # fmt: skip
    if size[0] % groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be divisible by {groups} at "
                           f"dimension 0, but got weight of size [{size}] instead")  # fmt: skip
    given = f"transposed={int(transposed)}" if transposed else f"groups={groups}"
    expected = size[0] if transposed else size[1] * groups
    if input.size[1] != expected:
        raise RuntimeError(f"Given {given}, weight of size {size}, expected "
                           f"input{list(input.size)} to have {expected} channels, but got "
                           f"{input.size[1]} channels instead")  # fmt: skip
    out = size[1] * groups if transposed else size[0]
    if bias is not None and bias.size != (out,):
        given = "transposed=1, " if transposed else ""
        raise RuntimeError(f"Given {given}weight of size {size}, expected bias to be 1-dimensional "
                           f"with {out} elements, but got bias of size {list(bias.size)} "
                           "instead")  # fmt: skip


def check_places(input: Spec, weight: Spec, padding: Ints, dilation: Ints,
                 transposed: bool) -> None:  # fmt: skip
    """The kernel must fit into the padded input somewhere."""
    taps = weight.size[2:]
    if 0 in taps:
        raise RuntimeError(f"a kernel of size {list(taps)} has no elements")
    reach = [d * (k - 1) + 1 for k, d in zip(taps, dilation)]
    padded = [n + 2 * p for n, p in zip(input.size[2:], padding)]
    if not transposed and any(n < k for n, k in zip(padded, reach)):
        size, kernel = (" x ".join(map(str, ns)) for ns in (padded, reach))
        raise RuntimeError(f"Calculated padded input size per channel: ({size}). Kernel size: "
                           f"({kernel}). Kernel size can't be greater than actual input "
                           "size")  # fmt: skip
    if 0 in input.size[2:]:
        raise RuntimeError("Only zero batch or zero channel inputs are supported, but got input "
                           f"shape: {list(input.size)}")  # fmt: skip


def check_output_padding(output_padding: Ints, stride: Ints, dilation: Ints) -> None:
    if all(o < s or o < d for o, s, d in zip(output_padding, stride, dilation)):
        return
    names = ("depth", "height", "width")[-len(stride) :]
    given = [f"{what}_{name}: {n}"
             for what, numbers in (("output_padding", output_padding), ("stride", stride),
                                   ("dilation", dilation))
             for name, n in zip(names, numbers)]  # fmt: skip
    raise RuntimeError("output padding must be smaller than either stride or dilation, but got "
                       + " ".join(given))  # fmt: skip


# ------------------------------------------------------------------ sizes


def places_of(size: Ints, taps: Ints, stride: Ints, dilation: Ints) -> Ints:
    """How many places a kernel has along each dim of a padded input."""
    return tuple((n - d * (k - 1) - 1) // s + 1
                 for n, k, s, d in zip(size, taps, stride, dilation))  # fmt: skip


def conv_size(input: Ints, taps: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Ints:
    """The spatial size of a convolution."""
    padded = tuple(n + 2 * p for n, p in zip(input, padding))
    return places_of(padded, taps, stride, dilation)


def transposed_size(input: Ints, taps: Ints, stride: Ints, padding: Ints, dilation: Ints,
                    output_padding: Ints) -> Ints:  # fmt: skip
    """The spatial size of a transposed convolution."""
    return tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 + o for n, k, s, p, d, o in
                 zip(input, taps, stride, padding, dilation, output_padding))  # fmt: skip
