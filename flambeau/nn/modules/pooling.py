"""Pools: max, average, power, adaptive, fractional, and back from max."""

from flambeau.nn import functional as F
from flambeau.nn.modules.conv import each, named
from flambeau.nn.modules.module import Module


def given(*names):
    """An extra_repr that shows these attributes."""

    def extra_repr(self):
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)

    return extra_repr


class _MaxPoolNd(Module):
    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, return_indices=False,
                 ceil_mode=False):  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    extra_repr = given("kernel_size", "stride", "padding", "dilation", "ceil_mode")


def _max_pool(dims):
    function = f"max_pool{dims}d"

    class MaxPool(_MaxPoolNd):
        def forward(self, input):
            return getattr(F, function)(
                input, self.kernel_size, self.stride, self.padding, self.dilation,
                ceil_mode=self.ceil_mode, return_indices=self.return_indices,
            )  # fmt: skip

    return named(MaxPool, f"MaxPool{dims}d", f"The largest of every window, in {dims} dims.")


MaxPool1d, MaxPool2d, MaxPool3d = map(_max_pool, (1, 2, 3))


class _MaxUnpoolNd(Module):
    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        dims = self.dims
        self.kernel_size = each(kernel_size, dims)
        self.stride = each(stride if stride is not None else kernel_size, dims)
        self.padding = each(padding, dims)

    extra_repr = given("kernel_size", "stride", "padding")

    def forward(self, input, indices, output_size=None):
        function = getattr(F, f"max_unpool{self.dims}d")
        return function(input, indices, self.kernel_size, self.stride, self.padding, output_size)


def _max_unpool(dims):
    kind = type(f"MaxUnpool{dims}d", (_MaxUnpoolNd,), {"dims": dims, "__module__": __name__})
    return named(kind, f"MaxUnpool{dims}d", "Zeros, with values where a max pool took them from.")


MaxUnpool1d, MaxUnpool2d, MaxUnpool3d = map(_max_unpool, (1, 2, 3))


class _AvgPoolNd(Module):
    extra_repr = given("kernel_size", "stride", "padding")


class AvgPool1d(_AvgPoolNd):
    """The average of every window along the last dim."""

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False,
                 count_include_pad=True):  # fmt: skip
        super().__init__()
        self.kernel_size = each(kernel_size, 1)
        self.stride = each(stride if stride is not None else kernel_size, 1)
        self.padding = each(padding, 1)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input):
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                            self.count_include_pad)  # fmt: skip


def _avg_pool(dims):
    function = f"avg_pool{dims}d"

    class AvgPool(_AvgPoolNd):
        def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False,
                     count_include_pad=True, divisor_override=None):  # fmt: skip
            super().__init__()
            self.kernel_size = kernel_size
            self.stride = stride if stride is not None else kernel_size
            self.padding, self.ceil_mode = padding, ceil_mode
            self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

        def forward(self, input):
            return getattr(F, function)(input, self.kernel_size, self.stride, self.padding,
                                        self.ceil_mode, self.count_include_pad,
                                        self.divisor_override)  # fmt: skip

    return named(AvgPool, f"AvgPool{dims}d", f"The average of every window, in {dims} dims.")


AvgPool2d, AvgPool3d = map(_avg_pool, (2, 3))


class _LPPoolNd(Module):
    def __init__(self, norm_type, kernel_size, stride=None, ceil_mode=False):
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    extra_repr = given("norm_type", "kernel_size", "stride", "ceil_mode")

    def forward(self, input):
        function = getattr(F, f"lp_pool{self.dims}d")
        norm_type = float(self.norm_type)
        return function(input, norm_type, self.kernel_size, self.stride, self.ceil_mode)


def _lp_pool(dims):
    kind = type(f"LPPool{dims}d", (_LPPoolNd,), {"dims": dims, "__module__": __name__})
    return named(kind, f"LPPool{dims}d", "The p-th root of the sum of p-th powers of each window.")


LPPool1d, LPPool2d, LPPool3d = map(_lp_pool, (1, 2, 3))


class _AdaptiveAvgPoolNd(Module):
    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    extra_repr = given("output_size")

    def forward(self, input):
        return getattr(F, f"adaptive_avg_pool{self.dims}d")(input, self.output_size)


class _AdaptiveMaxPoolNd(Module):
    def __init__(self, output_size, return_indices=False):
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    extra_repr = given("output_size")

    def forward(self, input):
        function = getattr(F, f"adaptive_max_pool{self.dims}d")
        return function(input, self.output_size, self.return_indices)


def _adaptive(base, word, dims):
    name = f"Adaptive{word}Pool{dims}d"
    kind = type(name, (base,), {"dims": dims, "__module__": __name__})
    return named(kind, name, f"A pool over windows that cut the input into so many, {dims} dims.")


AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d = (
    _adaptive(_AdaptiveAvgPoolNd, "Avg", dims) for dims in (1, 2, 3)
)
AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d = (
    _adaptive(_AdaptiveMaxPoolNd, "Max", dims) for dims in (1, 2, 3)
)


def _fractional(dims):
    name = f"FractionalMaxPool{dims}d"

    class FractionalMaxPool(Module):
        def __init__(self, kernel_size, output_size=None, output_ratio=None, return_indices=False,
                     _random_samples=None):  # fmt: skip
            super().__init__()
            self.kernel_size = each(kernel_size, dims)
            self.return_indices = return_indices
            self.register_buffer("_random_samples", _random_samples)
            self.output_size = each(output_size, dims) if output_size is not None else None
            self.output_ratio = each(output_ratio, dims) if output_ratio is not None else None
            if output_size is None and output_ratio is None:
                raise ValueError(
                    f"{name} requires specifying either an output size, or a pooling ratio"
                )
            if output_size is not None and output_ratio is not None:
                raise ValueError("only one of output_size and output_ratio may be specified")
            if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
                raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

        def forward(self, input):
            return getattr(F, f"fractional_max_pool{dims}d")(
                input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
                _random_samples=self._random_samples,
            )  # fmt: skip

    return named(FractionalMaxPool, name, "The largest of windows that overlap at random.")


FractionalMaxPool2d, FractionalMaxPool3d = map(_fractional, (2, 3))
