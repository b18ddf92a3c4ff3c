"""Padding layers: a value, or the input's own elements mirrored, repeated or from the other end."""

from flambeau.nn import functional as F
from flambeau.nn.modules.conv import each, named
from flambeau.nn.modules.module import Module


class _ConstantPadNd(Module):
    def __init__(self, padding, value):
        super().__init__()
        self.padding, self.value = each(padding, 2 * self.dims), value

    def forward(self, input):
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self):
        return f"padding={self.padding}, value={self.value}"


def _constant(dims):
    name = f"ConstantPad{dims}d"
    kind = type(name, (_ConstantPadNd,), {"dims": dims, "__module__": __name__})
    return named(kind, name, f"A value around the last {dims} dims.")


ConstantPad1d, ConstantPad2d, ConstantPad3d = map(_constant, (1, 2, 3))


def _zero(constant):
    class ZeroPad(constant):
        def __init__(self, padding):
            super().__init__(padding, 0.0)

        def extra_repr(self):
            return f"{self.padding}"

    name = constant.__name__.replace("Constant", "Zero")
    return named(ZeroPad, name, f"Zeros around the last {constant.dims} dims.")


ZeroPad1d, ZeroPad2d, ZeroPad3d = map(_zero, (ConstantPad1d, ConstantPad2d, ConstantPad3d))


class _PadNd(Module):
    """Padding with the input's own elements."""

    def __init__(self, padding):
        super().__init__()
        self.padding = each(padding, 2 * self.dims)

    def forward(self, input):
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self):
        return f"{self.padding}"


class _ReflectionPadNd(_PadNd):
    mode = "reflect"


class _ReplicationPadNd(_PadNd):
    mode = "replicate"


class _CircularPadNd(_PadNd):
    mode = "circular"

    def forward(self, input):
        if input.dim() not in (self.dims + 1, self.dims + 2):
            raise ValueError(f"expected {self.dims + 1}D or {self.dims + 2}D input (got "
                             f"{input.dim()}D input)")  # fmt: skip
        return super().forward(input)


def _own(base, word, dims):
    name = f"{word}Pad{dims}d"
    kind = type(name, (base,), {"dims": dims, "__module__": __name__})
    return named(kind, name, f"The input's own elements around its last {dims} dims.")


ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = (
    _own(_ReflectionPadNd, "Reflection", dims) for dims in (1, 2, 3)
)
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = (
    _own(_ReplicationPadNd, "Replication", dims) for dims in (1, 2, 3)
)
CircularPad1d, CircularPad2d, CircularPad3d = (
    _own(_CircularPadNd, "Circular", dims) for dims in (1, 2, 3)
)
