"""Convolutions and transposed convolutions, also those that learn their channels."""

import math

from flambeau.nn import functional as F
from flambeau.nn import init
from flambeau.nn.modules.lazy import LazyModuleMixin
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter, UninitializedParameter

MODES = {"zeros", "reflect", "replicate", "circular"}
WORDS = {"same", "valid"}


def each(x, dims):
    """A tuple with one entry a dim, from one for all or several."""
    return tuple(x) if hasattr(x, "__iter__") else (x,) * dims


class _ConvNd(Module):
    """What all convolutions have."""

    def __init__(self, in_channels, out_channels, kernel_size, stride, padding, dilation,
                 transposed, output_padding, groups, bias, padding_mode, device=None,
                 dtype=None):  # fmt: skip
        super().__init__()
        check_channels(in_channels, out_channels, groups)
        check_padding(padding, padding_mode, stride)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.transposed, self.output_padding = dilation, transposed, output_padding
        self.groups, self.padding_mode = groups, padding_mode
        self._reversed_padding_repeated_twice = self.ends()
        self.make_parameters(bias, {"device": device, "dtype": dtype})

    def ends(self):
        """The padding before and after each dim, the last dim first."""
        if not isinstance(self.padding, str):
            return tuple(p for p in reversed(self.padding) for _ in range(2))
        ends = []
        for k, d in zip(reversed(self.kernel_size), reversed(self.dilation)):
            total = d * (k - 1) if self.padding == "same" else 0
            ends += [total // 2, total - total // 2]
        return ends

    def make_parameters(self, bias, kind):
        from flambeau import empty

        first, second = self.in_channels, self.out_channels
        if not self.transposed:
            first, second = second, first
        size = (first, second // self.groups, *self.kernel_size)
        self.weight = Parameter(empty(size, **kind))
        if bias:
            self.bias = Parameter(empty(self.out_channels, **kind))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw weight and bias uniformly from ±1 / sqrt(inputs of an output)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan:
                init.uniform_(self.bias, -1 / math.sqrt(fan), 1 / math.sqrt(fan))

    def extra_repr(self):
        dims = len(self.kernel_size)
        parts = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}",
                 f"stride={self.stride}"]  # fmt: skip
        for name, usual in (("padding", (0,) * dims), ("dilation", (1,) * dims),
                            ("output_padding", (0,) * dims), ("groups", 1)):  # fmt: skip
            value = getattr(self, name)
            parts += [] if value == usual else [f"{name}={value}"]
        parts += [] if self.bias is not None else ["bias=False"]
        parts += [] if self.padding_mode == "zeros" else [f"padding_mode={self.padding_mode}"]
        return ", ".join(parts)

    def __setstate__(self, state):
        super().__setstate__(state)
        self.__dict__.setdefault("padding_mode", "zeros")


def check_channels(in_channels, out_channels, groups):
    """Groups divide both numbers of channels."""
    if groups <= 0:
        raise ValueError("groups must be a positive integer")
    if in_channels % groups:
        raise ValueError("in_channels must be divisible by groups")
    if out_channels % groups:
        raise ValueError("out_channels must be divisible by groups")


def check_padding(padding, mode, stride):
    """Words and modes that are known."""
    if isinstance(padding, str):
        if padding not in WORDS:
            raise ValueError(f"Invalid padding string {padding!r}, should be one of {WORDS}")
        if padding == "same" and any(s != 1 for s in stride):
            raise ValueError("padding='same' is not supported for strided convolutions")
    if mode not in MODES:
        raise ValueError(f"padding_mode must be one of {MODES}, but got padding_mode={mode!r}")


def _conv(dims):
    """Conv1d, Conv2d or Conv3d."""
    function = f"conv{dims}d"

    class Conv(_ConvNd):
        def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1,
                     groups=1, bias=True, padding_mode="zeros", device=None,
                     dtype=None):  # fmt: skip
            padding = padding if isinstance(padding, str) else each(padding, dims)
            super().__init__(in_channels, out_channels, each(kernel_size, dims),
                             each(stride, dims), padding, each(dilation, dims), False, (0,) * dims,
                             groups, bias, padding_mode, device, dtype)  # fmt: skip

        def forward(self, input):
            return self._conv_forward(input, self.weight, self.bias)

        def _conv_forward(self, input, weight, bias):
            padding = self.padding
            if self.padding_mode != "zeros":
                input = F.pad(input, self._reversed_padding_repeated_twice, self.padding_mode)
                padding = (0,) * dims
            return getattr(F, function)(input, weight, bias, self.stride, padding, self.dilation,
                                        self.groups)  # fmt: skip

    return named(Conv, f"Conv{dims}d", f"A convolution in {dims} dims of space.")


def named(cls, name, doc):
    """A class that was made by a function, under its own name."""
    cls.__name__ = cls.__qualname__ = name
    cls.__doc__ = doc
    return cls


Conv1d, Conv2d, Conv3d = map(_conv, (1, 2, 3))


class _ConvTransposeNd(_ConvNd):
    """What transposed convolutions share."""

    def __init__(self, in_channels, out_channels, kernel_size, stride, padding, dilation,
                 transposed, output_padding, groups, bias, padding_mode, device=None,
                 dtype=None):  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {self._get_name()}')
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation,
                         transposed, output_padding, groups, bias, padding_mode, device,
                         dtype)  # fmt: skip

    def _output_padding(self, input, output_size, stride, padding, kernel_size,
                        num_spatial_dims, dilation=None):  # fmt: skip
        """The output padding that gives a size that is asked for."""
        if output_size is None:
            return each(self.output_padding, num_spatial_dims)
        whole = num_spatial_dims + 2
        if (
            input.dim() == whole
            and len(output_size) == whole
            or (input.dim() == whole - 1 and len(output_size) == whole - 1)
        ):
            output_size = output_size[-num_spatial_dims:]
        if len(output_size) != num_spatial_dims:
            raise ValueError(
                f"ConvTranspose{num_spatial_dims}D: for {input.dim()}D input, output_size must "
                f"have {num_spatial_dims} or {input.dim()} elements (got {len(output_size)})"
            )
        dilation = dilation or (1,) * num_spatial_dims
        inside = input.shape[-num_spatial_dims:]
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in
                 zip(inside, stride, padding, dilation, kernel_size)]  # fmt: skip
        most = [n + s - 1 for n, s in zip(least, stride)]
        if any(not low <= n <= high for low, n, high in zip(least, output_size, most)):
            raise ValueError(f"requested an output size of {output_size}, but valid sizes range "
                             f"from {least} to {most} (for an input of {input.size()[2:]})"
                             )  # fmt: skip
        return tuple(n - low for n, low in zip(output_size, least))


def _conv_transpose(dims):
    """ConvTranspose1d, 2d or 3d."""
    function = f"conv_transpose{dims}d"

    class ConvTranspose(_ConvTransposeNd):
        def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0,
                     output_padding=0, groups=1, bias=True, dilation=1, padding_mode="zeros",
                     device=None, dtype=None):  # fmt: skip
            super().__init__(in_channels, out_channels, each(kernel_size, dims),
                             each(stride, dims), each(padding, dims), each(dilation, dims), True,
                             each(output_padding, dims), groups, bias, padding_mode, device,
                             dtype)  # fmt: skip

        def forward(self, input, output_size=None):
            more = self._output_padding(input, output_size, self.stride, self.padding,
                                        self.kernel_size, dims, self.dilation)  # fmt: skip
            return getattr(F, function)(input, self.weight, self.bias, self.stride, self.padding,
                                        more, self.groups, self.dilation)  # fmt: skip

    doc = f"A transposed convolution in {dims} dims of space."
    return named(ConvTranspose, f"ConvTranspose{dims}d", doc)


ConvTranspose1d, ConvTranspose2d, ConvTranspose3d = map(_conv_transpose, (1, 2, 3))

# ------------------------------------------------------------------ lazy


class _LazyConvXdMixin(LazyModuleMixin):
    """A convolution that learns its input channels from the first input."""

    def make_parameters(self, bias, kind):
        self.weight = UninitializedParameter(**kind)
        if bias:
            self.bias = UninitializedParameter(**kind)
        else:
            self.register_parameter("bias", None)

    def reset_parameters(self):
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()

    def initialize_parameters(self, input, *args, **kwargs):
        if not self.has_uninitialized_params():
            return
        self.in_channels = self._get_in_channels(input)
        if self.in_channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        first, second = self.in_channels, self.out_channels
        if not self.transposed:
            first, second = second, first
        self.weight.materialize((first, second // self.groups, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()

    def _get_num_spatial_dims(self):
        return len(self.kernel_size)

    def _get_in_channels(self, input):
        dims = self._get_num_spatial_dims()
        if input.dim() not in (dims + 1, dims + 2):
            raise RuntimeError(f"Expected {dims + 1}D (unbatched) or {dims + 2}D (batched) input "
                               f"to {type(self).__name__}, but got input of size: {input.shape}"
                               )  # fmt: skip
        return input.shape[1] if input.dim() == dims + 2 else input.shape[0]


def _lazy(plain):
    """The lazy form of a convolution."""

    class Lazy(_LazyConvXdMixin, plain):
        cls_to_become = plain

        def __init__(self, out_channels, kernel_size, *args, **kwargs):
            super().__init__(0, out_channels, kernel_size, *args, **kwargs)

    doc = f"{plain.__name__} that learns its input channels from the first input."
    return named(Lazy, f"Lazy{plain.__name__}", doc)


LazyConv1d, LazyConv2d, LazyConv3d = map(_lazy, (Conv1d, Conv2d, Conv3d))
LazyConvTranspose1d, LazyConvTranspose2d, LazyConvTranspose3d = map(
    _lazy, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
)
