"""torch.fft: discrete Fourier transforms, their frequencies, and shifts.

Of real input and of results that are real, only one half of the spectrum is handled: r… take real
signals, h… real spectra. `norm` is "backward" (the default: the inverse is divided by n), "forward"
or "ortho". The transforms themselves are rows in ops/fft.py.
"""

from __future__ import annotations

from flambeau.creation import check_supported, finish, get_default_dtype
from flambeau.device import check_device
from flambeau.filling import fill
from flambeau.ir import dtype as dt
from flambeau.ops.rules import one_dim
from flambeau.tensor import FUNCTIONS, from_array

C2C, R2C, C2R = (FUNCTIONS[f"_fft_{name}"] for name in ("c2c", "r2c", "c2r"))
SCALES = {True: {None: "none", "backward": "none", "forward": "n", "ortho": "root"},
          False: {None: "n", "backward": "n", "forward": "none", "ortho": "root"}}  # fmt: skip

# ------------------------------------------------------------------ arguments


def scale_of(norm, forward):
    if norm not in SCALES[True]:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return SCALES[forward][norm]


def as_complex(x):
    """Floats and integers as complex numbers."""
    x = as_float(x)
    return x if x.dtype.kind == "c" else x.to(x.dtype.to_complex())


def as_float(x):
    """Integers as floats."""
    if x.dtype.kind in "biu":
        return x.to(get_default_dtype())
    if x.dtype.itemsize < (4 if x.dtype.kind == "f" else 8):
        raise RuntimeError(f"Unsupported dtype {x.dtype.legacy}")
    return x


def as_real(x, name):
    if x.dtype.kind == "c":
        raise RuntimeError(f"{name} expects a real input tensor, but got {x.dtype.legacy}")
    return as_float(x)


def place(x, dim):
    """A dim from the front; a tensor without dims has none."""
    if not x.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return one_dim(dim, x.ndim)


def check_points(n):
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")


def resized(x, dim, n):
    """x with n points along a dim: cut off, or zeros added."""
    check_points(n)
    have = x.shape[dim]
    if n <= have:
        return x if n == have else x.narrow(dim, 0, n)
    return x.constant_pad_nd((0, 0) * (x.ndim - 1 - dim) + (0, n - have))


def sizes_and_dims(x, s, dim):
    """The sizes to transform, and the dims; without dims the last ones, or all."""
    s = None if s is None else (s,) if isinstance(s, int) else tuple(s)
    dims = None if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if dims is not None:
        dims = tuple(place(x, d) for d in dims)
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
        if s is not None and len(s) != len(dims):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    elif s is not None:
        if len(s) > x.ndim:
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has "
                               f"{x.ndim} dimensions.")  # fmt: skip
        dims = tuple(range(x.ndim - len(s), x.ndim))
    else:
        dims = tuple(range(x.ndim))
    sizes = [x.shape[d] if n == -1 else n for d, n in zip(dims, s or [-1] * len(dims))]
    for n in sizes:
        check_points(n)
    return sizes, dims


def all_resized(x, sizes, dims):
    for n, d in zip(sizes, dims):
        x = resized(x, d, n)
    return x


def given(name, result, out):
    """`out=`: complex results need a complex tensor, real ones a floating one."""
    if out is not None:
        kind = "complex" if result.dtype.kind == "c" else "floating point"
        if out.dtype.kind != result.dtype.kind:
            raise RuntimeError(f"{name} expects a {kind} output tensor, but got "
                               f"{out.dtype.legacy}")  # fmt: skip
    return fill(name, result, out, False)


# ------------------------------------------------------------------ one dim


def one(x, n, dim, norm, forward):
    """fft and ifft: of a real signal both halves come from one."""
    scale = scale_of(norm, forward)
    x = as_float(x)
    dim = place(x, dim)
    x = resized(x, dim, x.shape[dim] if n is None else n)
    if x.dtype.kind == "c":
        return C2C(x, (dim,), scale, forward)
    spectrum = R2C(x, (dim,), scale, False)
    return spectrum if forward else spectrum.conj()


def fft(input, n=None, dim=-1, norm=None, *, out=None):
    """The spectrum of a signal along a dim."""
    return given("fft", one(input, n, dim, norm, True), out)


def ifft(input, n=None, dim=-1, norm=None, *, out=None):
    """The signal of a spectrum along a dim."""
    return given("ifft", one(input, n, dim, norm, False), out)


def rfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The first half of the spectrum of a real signal."""
    x = as_real(input, "rfft")
    dim = place(x, dim)
    x = resized(x, dim, x.shape[dim] if n is None else n)
    return given("rfft", R2C(x, (dim,), scale_of(norm, True), True), out)


def ihfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The first half of the signal of a real spectrum."""
    x = as_real(input, "ihfft")
    dim = place(x, dim)
    x = resized(x, dim, x.shape[dim] if n is None else n)
    return given("ihfft", R2C(x, (dim,), scale_of(norm, False), True).conj(), out)


def half_resized(x, dim, n):
    """The half of a spectrum that makes n real points (2 · (size - 1) unless given), and n."""
    n = 2 * (x.shape[dim] - 1) if n is None else n
    check_points(n)
    return resized(x, dim, n // 2 + 1), n


def irfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The real signal of which this is the first half of the spectrum."""
    x = as_complex(input)
    dim = place(x, dim)
    x, n = half_resized(x, dim, n)
    return given("irfft", C2R(x, (dim,), scale_of(norm, False), n), out)


def hfft(input, n=None, dim=-1, norm=None, *, out=None):
    """The real spectrum of which this is the first half of the signal."""
    x = as_complex(input)
    dim = place(x, dim)
    x, n = half_resized(x, dim, n)
    return given("hfft", C2R(x.conj(), (dim,), scale_of(norm, True), n), out)


# ------------------------------------------------------------------ several dims


def fftn(input, s=None, dim=None, norm=None, *, out=None):
    """The spectrum along several dims, all unless given."""
    x = as_complex(input)
    sizes, dims = sizes_and_dims(x, s, dim)
    return given("fftn", C2C(all_resized(x, sizes, dims), dims, scale_of(norm, True), True), out)


def ifftn(input, s=None, dim=None, norm=None, *, out=None):
    """The signal of a spectrum along several dims, all unless given."""
    x = as_complex(input)
    sizes, dims = sizes_and_dims(x, s, dim)
    return given("ifftn", C2C(all_resized(x, sizes, dims), dims, scale_of(norm, False), False), out)


def at_least_one(name, dims):
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")


def rfftn(input, s=None, dim=None, norm=None, *, out=None):
    """The spectrum of a real signal along several dims, the first half along the last."""
    x = as_real(input, "rfftn")
    sizes, dims = sizes_and_dims(x, s, dim)
    at_least_one("rfftn", dims)
    return given("rfftn", R2C(all_resized(x, sizes, dims), dims, scale_of(norm, True), True), out)


def ihfftn(input, s=None, dim=None, norm=None, *, out=None):
    """The signal of a real spectrum along several dims, the first half along the last."""
    x = as_real(input, "ihfftn")
    sizes, dims = sizes_and_dims(x, s, dim)
    at_least_one("ihfftn", dims)
    scale = scale_of(norm, False)
    half = R2C(all_resized(x, sizes, dims), dims[-1:], scale, True).conj()
    return given("ihfftn", C2C(half, dims[:-1], scale, False) if dims[1:] else half, out)


def real_many(name, x, s, dim):
    """The half of a spectrum, the dims, and the length of the result along the last."""
    x = as_complex(x)
    last_given = s is not None and tuple(s if not isinstance(s, int) else (s,))[-1:] != (-1,)
    sizes, dims = sizes_and_dims(x, s, dim)
    at_least_one(name, dims)
    x = all_resized(x, sizes[:-1], dims[:-1])
    x, length = half_resized(x, dims[-1], sizes[-1] if last_given else None)
    return x, dims, length


def irfftn(input, s=None, dim=None, norm=None, *, out=None):
    """The real signal of half a spectrum along several dims."""
    x, dims, length = real_many("irfftn", input, s, dim)
    return given("irfftn", C2R(x, dims, scale_of(norm, False), length), out)


def hfftn(input, s=None, dim=None, norm=None, *, out=None):
    """The real spectrum of half a signal along several dims."""
    x, dims, length = real_many("hfftn", input, s, dim)
    return given("hfftn", C2R(x.conj(), dims, scale_of(norm, True), length), out)


def _two(many, says):
    """The same for two dims, the last ones unless given."""

    def function(input, s=None, dim=(-2, -1), norm=None, *, out=None):
        return many(input, s, dim, norm, out=out)

    function.__name__ = function.__qualname__ = many.__name__[:-1] + "2"
    function.__doc__ = says
    return function


fft2 = _two(fftn, "The spectrum along two dims.")
ifft2 = _two(ifftn, "The signal of a spectrum along two dims.")
rfft2 = _two(rfftn, "The spectrum of a real signal along two dims, half of it along the last.")
irfft2 = _two(irfftn, "The real signal of half a spectrum along two dims.")
hfft2 = _two(hfftn, "The real spectrum of half a signal along two dims.")
ihfft2 = _two(ihfftn, "The signal of a real spectrum along two dims, half of it along the last.")

# ------------------------------------------------------------------ frequencies, shifts


def _frequencies(name, points):
    def function(n, d=1.0, *, out=None, dtype=None, layout=None, device=None,
                 requires_grad=False):  # fmt: skip
        import numpy as np

        check_device(device)
        dtype = dtype or (out.dtype if out is not None else get_default_dtype())
        if dtype.kind not in "fc":
            raise RuntimeError(f"{name} requires a floating point or complex dtype")
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
        check_supported(dtype)
        work = dt.compute_dtype(dtype).numpy
        with np.errstate(all="ignore"):
            step = np.float64(1) / (np.float64(n) * d)
            values = (points(np, n) * step).astype(work)
        return finish(from_array(dt.narrow(values, dtype), dtype), requires_grad, out)

    function.__name__ = function.__qualname__ = name
    return function


fftfreq = _frequencies("fftfreq", lambda np, n: (np.arange(n) + n // 2) % max(n, 1) - n // 2)
rfftfreq = _frequencies("rfftfreq", lambda np, n: np.arange(n // 2 + 1))
fftfreq.__doc__ = "The frequencies of n points that are d apart, in the order of fft's results."
rfftfreq.__doc__ = "The frequencies of n points that are d apart, in the order of rfft's results."


def moved(input, dim, half):
    dims = range(input.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    dims = tuple(place(input, d) for d in dims)
    return input.roll(tuple(half(input.shape[d]) for d in dims), dims)


def fftshift(input, dim=None):
    """The frequency 0 goes to the middle."""
    return moved(input, dim, lambda n: n // 2)


def ifftshift(input, dim=None):
    """The frequency 0 goes back to the front."""
    return moved(input, dim, lambda n: (n + 1) // 2)


__all__ = """fft ifft rfft irfft hfft ihfft fft2 ifft2 rfft2 irfft2 hfft2 ihfft2 fftn ifftn rfftn
    irfftn hfftn ihfftn fftfreq rfftfreq fftshift ifftshift""".split()
