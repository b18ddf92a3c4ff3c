"""Short-time Fourier transforms and their inverse, and the windows with a period.

They are made of views, products and the transforms of fft.py, so derivatives follow.
"""

from __future__ import annotations

import warnings
from typing import Any

from flambeau.complexes import view_as_real
from flambeau.creation import check_supported, finish, get_default_dtype
from flambeau.device import check_device, strided
from flambeau.ir import dtype as dt
from flambeau.tensor import FUNCTIONS, from_array

# ------------------------------------------------------------------ forth


def described(name: str, input: Any, **arguments: Any) -> str:
    """The call, for the text of an error."""
    window = arguments.pop("window")
    parts = [f"torch.{input.dtype.legacy}Tensor{list(input.shape)}"]
    parts += [f"{k}={v}" for k, v in arguments.items()]
    shown = None if window is None else f"torch.{window.dtype.legacy}Tensor{{{list(window.shape)}}}"
    return f"{name}({', '.join(parts)}, window={shown})"


def stft(input, n_fft, hop_length=None, win_length=None, window=None, center=True,
         pad_mode="reflect", normalized=False, onesided=None, return_complex=None,
         align_to_window=None):  # fmt: skip
    """The spectra of windows of n_fft samples, hop_length apart: [batch, frequencies, windows].

    input: [samples] or [batch, samples]. Of a real signal only half of each spectrum is kept,
    unless `onesided` is False; `center` pads, so that the first window's middle is sample 0.
    """
    if center:
        if align_to_window is not None:
            raise RuntimeError("stft align_to_window should only be set when center = false")
        input = centered(input, n_fft // 2, pad_mode)
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length
    call = described("stft", input, n_fft=n_fft, hop_length=hop_length, win_length=win_length,
                     window=window)  # fmt: skip
    real = input.dtype.kind != "c" and (window is None or window.dtype.kind != "c")
    return_complex = complex_result(input, window, return_complex)
    check_stft(call, input, n_fft, hop_length, win_length, window)
    if window is None:
        warn_rectangular(",which is known to cause spectral leakage. Other windows such as "
                         "torch.hann_window or torch.hamming_window are recommended to reduce "
                         "spectral leakage.")  # fmt: skip
    onesided = real if onesided is None else onesided
    if onesided and not real:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    x = input.unsqueeze(0) if input.ndim == 1 else input
    if align_to_window:
        side = (n_fft - win_length) // 2
        x = x.constant_pad_nd((side, side))
    frames = x.unfold(-1, n_fft, hop_length)
    if window is not None:
        frames = frames * widened(window, n_fft)
    spectra = transformed(frames, onesided, "root" if normalized else "none").transpose(1, 2)
    spectra = spectra.squeeze(0) if input.ndim == 1 else spectra
    return spectra if return_complex else view_as_real(spectra)


def transformed(frames, onesided, scale):
    if frames.dtype.kind == "c":
        return FUNCTIONS["_fft_c2c"](frames, (frames.ndim - 1,), scale, True)
    return FUNCTIONS["_fft_r2c"](frames, (frames.ndim - 1,), scale, bool(onesided))


def centered(input, by, mode):
    """The samples with padding on both sides."""
    from flambeau.nn.functional import pad

    if input.ndim > 2:
        return input
    lead = 3 - input.ndim
    padded = pad(input.reshape((*(1,) * lead, *input.shape)), (by, by), mode=mode)
    return padded.reshape((*input.shape[:-1], padded.shape[-1]))


def warn_rectangular(why):
    warnings.warn(f"A window was not provided. A rectangular window will be applied{why}To "
                  "suppress this warning and use a rectangular window, explicitly set "
                  "`window=torch.ones(n_fft, device=<device>)`.", stacklevel=3)  # fmt: skip


def check_stft(call, input, n_fft, hop_length, win_length, window):
    if input.dtype.kind not in "fc":
        raise RuntimeError(f"{call} : expected a tensor of floating point or complex values")
    if input.ndim not in (1, 2):
        raise RuntimeError(f"{call} : expected a 1D or 2D tensor")
    length = input.shape[-1]
    if not 0 < n_fft <= length:
        raise RuntimeError(f"{call} : expected 0 < n_fft < {length}, but got n_fft={n_fft}")
    if hop_length <= 0:
        raise RuntimeError(f"{call} : expected hop_length > 0, but got hop_length={hop_length}")
    if not 0 < win_length <= n_fft:
        raise RuntimeError(f"{call} : expected 0 < win_length <= n_fft, but got "
                           f"win_length={win_length}")  # fmt: skip
    if window is not None and tuple(window.shape) != (win_length,):
        raise RuntimeError(f"{call} : expected a 1D window tensor of size equal to "
                           f"win_length={win_length}, but got window with size "
                           f"{list(window.shape)}")  # fmt: skip


def complex_result(input, window, asked):
    """Whether the result is complex rather than pairs of real numbers, which is going out."""
    if asked is not None:
        if not asked:
            warnings.warn("stft with return_complex=False is deprecated. In a future pytorch "
                          "release, stft will return complex tensors for all inputs, and "
                          "return_complex=False will raise an error.\nNote: you can still call "
                          "torch.view_as_real on the complex output to recover the old return "
                          "format.", stacklevel=3)  # fmt: skip
        return asked
    if input.dtype.kind != "c" and (window is None or window.dtype.kind != "c"):
        raise RuntimeError("stft requires the return_complex parameter be given for real inputs, "
                           "and will further require that return_complex=True in a future PyTorch "
                           "release.")  # fmt: skip
    return True


def widened(window, n_fft):
    """A window in the middle of n_fft places."""
    left = (n_fft - window.shape[0]) // 2
    right = n_fft - window.shape[0] - left
    return window.constant_pad_nd((left, right)) if left or right else window


# ------------------------------------------------------------------ back


def istft(input, n_fft, hop_length=None, win_length=None, window=None, center=True,
          normalized=False, onesided=None, length=None, return_complex=False):  # fmt: skip
    """The signal whose windows have these spectra, by least squares (Griffin & Lim 1984, "Signal
    estimation from modified short-time Fourier transform")."""
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length
    call = described("istft", input, n_fft=n_fft, hop_length=hop_length, win_length=win_length,
                     window=window)  # fmt: skip
    if window is None:
        warn_rectangular(".Please provide the same window used by stft to make the inversion "
                         "lossless.")  # fmt: skip
    if input.ndim < 2:
        raise IndexError("Dimension out of range (expected to be in range of [-2, 1], but got -3)")
    onesided = input.shape[-2] != n_fft if onesided is None else onesided
    check_istft(call, input, n_fft, hop_length, win_length, window, onesided)
    check_complex(window, onesided, return_complex)
    real = input.dtype.to_real()
    window = input.new_ones((win_length,), dtype=real) if window is None else window
    window = widened(window, n_fft)
    x = input.unsqueeze(0) if input.ndim == 2 else input
    frames = signals(x.transpose(1, 2), n_fft, onesided, return_complex, normalized) * window
    total = overlapped(frames, hop_length)
    weight = overlapped((window * window).expand((1, *frames.shape[1:])), hop_length)
    start = n_fft // 2 if center else 0
    whole = total.shape[-1]
    stop = whole - start if center and length is None else whole
    stop = stop if length is None else min(start + length, whole)
    total, weight = total[..., start:stop], weight[..., start:stop]
    check_weight(call, weight)
    result = total / weight
    if length is not None and length > stop - start:
        warnings.warn("The length of signal is shorter than the length parameter. Result is being "
                      "padded with zeros in the tail. Please check your center and hop_length "
                      "settings.", stacklevel=2)  # fmt: skip
        result = result.constant_pad_nd((0, length - (stop - start)))
    return result.squeeze(0) if input.ndim == 2 else result


def check_istft(call, input, n_fft, hop_length, win_length, window, onesided):
    if input.dtype.kind != "c":
        raise RuntimeError("istft requires a complex-valued input tensor matching the output from "
                           "stft with return_complex=True.")  # fmt: skip
    if not input.numel():
        raise RuntimeError(f"{call} : input tensor cannot be empty.")
    if input.ndim not in (2, 3):
        raise RuntimeError(f"{call} : expected a tensor with 3 or 4 dimensions, but got "
                           f"{input.ndim + 1}")  # fmt: skip
    expected, words = (n_fft // 2 + 1, "n_fft / 2 + 1") if onesided else (n_fft, "n_fft")
    if input.shape[-2] != expected:
        raise RuntimeError(f"{call} : expected the frequency dimension (3rd to the last) of the "
                           f"input tensor to match {words} when onesided={bool(onesided)}, but got "
                           f"{input.shape[-2]}")  # fmt: skip
    if not 0 < hop_length <= win_length:
        raise RuntimeError(f"{call} : expected 0 < hop_length <= win_length")
    if not 0 < win_length <= n_fft:
        raise RuntimeError(f"{call} : expected 0 < win_length <= n_fft")
    if window is not None and tuple(window.shape) != (win_length,):
        raise RuntimeError(f"{call} : Invalid window shape. window has to be 1D and length of "
                           "`win_length`")  # fmt: skip


def check_complex(window, onesided, return_complex):
    if return_complex:
        if onesided:
            raise RuntimeError("Cannot have onesided output if window or input is complex")
    elif window is not None and window.dtype.kind == "c":
        raise RuntimeError("Complex windows are incompatible with return_complex=False")


def signals(x, n_fft, onesided, return_complex, normalized):
    """The windows of the spectra in the last dim."""
    scale, last = "root" if normalized else "n", (x.ndim - 1,)
    if return_complex:
        return FUNCTIONS["_fft_c2c"](x, last, scale, False)
    half = x if onesided else x[..., : n_fft // 2 + 1]
    return FUNCTIONS["_fft_c2r"](half, last, scale, n_fft)


def overlapped(frames, hop):
    """[batch, windows, samples] added up where each window lies."""
    batch, count, n = frames.shape
    starts = frames.new_ones((count,), dtype=dt.int64).cumsum(0).sub(1).mul(hop)
    inside = frames.new_ones((n,), dtype=dt.int64).cumsum(0).sub(1)
    places = (starts.unsqueeze(1) + inside).reshape((-1,))
    total = frames.new_zeros((batch, (count - 1) * hop + n))
    return total.index_add(1, places, frames.reshape((batch, count * n)))


def check_weight(call, weight):
    """Every sample must lie in some window that is not 0 there."""
    if not bool((weight.detach().abs() > 1e-11)._memory().all()):
        raise RuntimeError(f"{call} window overlap add min: 1")


# ------------------------------------------------------------------ windows with a period


def periodic_window(name: str, formula: Any, length: int, periodic: bool, dtype: Any, layout: Any,
                    device: Any, requires_grad: bool) -> Any:  # fmt: skip
    """One of the old windows."""
    from flambeau.signal.windows import sampled

    check_device(device)
    if isinstance(length, float):
        raise TypeError(f"{name}(): argument 'window_length' (position 1) must be int, not float")
    dtype = get_default_dtype() if dtype is None else dtype
    if layout not in (None, strided):
        raise RuntimeError(f"{name} is not implemented for sparse types, got: {layout}")
    if dtype.kind not in "fc":
        raise RuntimeError(f"{name} expects floating point dtypes, got: {dtype}")
    if dtype.kind == "c":
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{dtype.legacy}'")
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got "
                           f"window_length={length}")  # fmt: skip
    values = sampled(formula, int(length), bool(periodic))
    return finish(from_array(dt.narrow(values, check_supported(dtype)), dtype), requires_grad)


def hann_window(window_length, periodic=True, *, dtype=None, layout=None, device=None,
                pin_memory=False, requires_grad=False):  # fmt: skip
    """0.5 - 0.5·cos."""
    from flambeau.signal.windows import cosines

    return periodic_window("hann_window", lambda t: cosines(t, (0.5, 0.5)), window_length, periodic,
                           dtype, layout, device, requires_grad)  # fmt: skip


def hamming_window(window_length, periodic=True, alpha=0.54, beta=0.46, *, dtype=None, layout=None,
                   device=None, pin_memory=False, requires_grad=False):  # fmt: skip
    """alpha - beta·cos."""
    from flambeau.signal.windows import cosines

    return periodic_window("hamming_window", lambda t: cosines(t, (alpha, beta)), window_length,
                           periodic, dtype, layout, device, requires_grad)  # fmt: skip


def blackman_window(window_length, periodic=True, *, dtype=None, layout=None, device=None,
                    pin_memory=False, requires_grad=False):  # fmt: skip
    """0.42 - 0.5·cos + 0.08·cos of twice."""
    from flambeau.signal.windows import cosines

    return periodic_window("blackman_window", lambda t: cosines(t, (0.42, 0.5, 0.08)),
                           window_length, periodic, dtype, layout, device,
                           requires_grad)  # fmt: skip


def bartlett_window(window_length, periodic=True, *, dtype=None, layout=None, device=None,
                    pin_memory=False, requires_grad=False):  # fmt: skip
    """A triangle."""
    from flambeau.signal.windows import triangle

    return periodic_window("bartlett_window", triangle, window_length, periodic, dtype, layout,
                           device, requires_grad)  # fmt: skip


def kaiser_window(window_length, periodic=True, beta=12.0, *, dtype=None, layout=None, device=None,
                  pin_memory=False, requires_grad=False):  # fmt: skip
    """The window of the Bessel function I0."""
    from flambeau.signal.windows import bessel

    return periodic_window("kaiser_window", lambda t: bessel(t, beta), window_length, periodic,
                           dtype, layout, device, requires_grad)  # fmt: skip


METHODS = ["stft", "istft"]
PUBLIC = """stft istft hann_window hamming_window blackman_window bartlett_window
    kaiser_window""".split()
