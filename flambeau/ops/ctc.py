"""Rows of the CTC loss (A. Graves et al., 2006): NumPy, in float64, over whole batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec
from flambeau.ops.declare import structured
from flambeau.ops.functions import function_of
from flambeau.ops.samples import no_samples
from flambeau.trace.modes import Mode

Array = np.ndarray


def padded_targets(target: Array, lengths: Array) -> Array:
    """Targets (batch, longest), from those or from all of them one after the other."""
    longest = int(lengths.max(initial=0))
    if target.ndim == 2:
        if longest > target.shape[1]:
            raise RuntimeError(f"Expected tensor to have size at least {longest} at dimension 1, "
                               f"but got size {target.shape[1]} for argument #2 'targets' (while "
                               "checking arguments for ctc_loss_allocate_outputs)")  # fmt: skip
        return target[:, :longest]
    out = np.zeros((len(lengths), longest), np.int64)
    start = 0
    for row, n in zip(out, lengths):
        row[:n] = target[start : start + n]
        start += n
    return out


class Lattice:
    """The paths of each sample: blank, first label, blank, …, blank; probabilities as logarithms.

    emitted (time, batch, places) is what each place emits.
    """

    def __init__(self, logs: Array, target: Array, times: Array, lengths: Array,
                 blank: int) -> None:  # fmt: skip
        if (times > len(logs)).any():
            raise RuntimeError(f"Expected input_lengths to have value at most {len(logs)}, but got "
                               f"value {times.max()} (while checking arguments for "
                               "ctc_loss_allocate_outputs)")  # fmt: skip
        labels = padded_targets(target, lengths)
        batch, longest = labels.shape
        self.labels = np.full((batch, 2 * longest + 1), blank)
        self.labels[:, 1::2] = labels
        self.times, self.ends, self.logs = times, 2 * lengths, logs
        self.rows = np.arange(batch)
        self.emitted = np.take_along_axis(
            logs, np.broadcast_to(self.labels, (len(logs), *self.labels.shape)), 2
        )
        self.skips = np.zeros(self.labels.shape, bool)  # places that may follow the last but one
        self.skips[:, 3::2] = labels[:, 1:] != labels[:, :-1]

    def forward(self) -> Array:
        """The probability of all beginnings that end in a place at a time."""
        alpha = np.full(self.emitted.shape, -np.inf)
        for t in range(len(alpha)):
            if t == 0:
                alpha[0, :, 0] = 0
                alpha[0, :, 1:2] = np.where(self.ends[:, None] > 0, 0, -np.inf)
            else:
                alpha[t] = reached(alpha[t - 1], self.skips)
            alpha[t] += self.emitted[t]
        return alpha

    def losses(self, alpha: Array) -> Array:
        """-log of the probability of all paths of each sample."""
        last = np.maximum(self.times - 1, 0)
        blank = alpha[last, self.rows, self.ends]
        label = alpha[last, self.rows, np.maximum(self.ends - 1, 0)]
        total = np.where(self.ends > 0, np.logaddexp(blank, label), blank)
        return np.where(self.times > 0, -total, np.where(self.ends > 0, np.inf, 0))

    def backward(self) -> Array:
        """The probability of all ends that begin in a place at a time."""
        beta = np.full(self.emitted.shape, -np.inf)
        place = np.arange(self.labels.shape[1])
        is_end = (place == self.ends[:, None]) | (
            (place == self.ends[:, None] - 1) & (self.ends[:, None] > 0)
        )
        skips = np.zeros_like(self.skips)
        skips[:, :-2] = self.skips[:, 2:]
        for t in range(len(beta) - 1, -1, -1):
            if t + 1 < len(beta):
                beta[t] = reached(beta[t + 1][:, ::-1], skips[:, ::-1])[:, ::-1]
            starts = (self.times - 1 == t)[:, None]
            beta[t] = np.where(starts, np.where(is_end, 0, -np.inf), beta[t]) + self.emitted[t]
        return beta


def reached(before: Array, skips: Array) -> Array:
    """From a place itself, the one before it, or the one before that where it may be skipped."""
    out = before.copy()
    out[:, 1:] = np.logaddexp(out[:, 1:], before[:, :-1])
    out[:, 2:] = np.where(skips[:, 2:], np.logaddexp(out[:, 2:], before[:, :-2]), out[:, 2:])
    return out


def ctc_numpy(input: Array, target: Array, index: Array, mask: Array, blank: int,
              zero_infinity: bool) -> Array:  # fmt: skip
    """The loss of each sample; index: lengths of the inputs, mask: lengths of the targets."""
    if not len(index):
        return np.zeros(0, input.dtype)
    paths = Lattice(input.astype(np.float64), target, index, mask, blank)
    losses = paths.losses(paths.forward())
    losses = np.where(np.isinf(losses), 0, losses) if zero_infinity else losses
    return losses.astype(input.dtype)


def ctc_back(g: Array, input: Array, target: Array, index: Array, mask: Array, blank: int,
             zero_infinity: bool) -> Array:  # fmt: skip
    """exp(input) minus the share of paths through each class: as if softmax came before."""
    out = np.zeros(input.shape)
    if not len(index):
        return out.astype(input.dtype)
    paths = Lattice(input.astype(np.float64), target, index, mask, blank)
    alpha = paths.forward()
    losses = paths.losses(alpha)
    through = alpha + paths.backward() - paths.emitted + losses[:, None]
    shares = np.zeros(input.shape)
    for place in range(paths.labels.shape[1]):
        inside = place <= paths.ends
        rows = paths.rows[inside]
        shares[:, rows, paths.labels[inside, place]] += np.exp(through[:, inside, place])
    here = np.arange(len(input))[:, None] < paths.times
    out = np.where(here[..., None], (np.exp(paths.logs) - shares) * g[:, None], 0)
    if zero_infinity:
        out = np.where(np.isinf(losses)[:, None], 0, out)
    return out.astype(input.dtype)


def ctc_shape(mode: Mode, input: Spec, target: Spec, index: Spec, mask: Spec, blank: int,
              zero_infinity: bool) -> Any:  # fmt: skip
    if input.dtype not in (dt.float32, dt.float64):
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{input.dtype.legacy}'")
    batch, classes = input.size[1], input.size[2]
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    if index.size != (batch,):
        raise RuntimeError("input_lengths must be of size batch_size")
    if mask.size != (batch,):
        raise RuntimeError("target_lengths must be of size batch_size")
    return (((batch,), input.dtype),)


ctc_backward = structured(
    "_ctc_loss_backward(grad, input, target, index, mask, blank, zero_infinity)",
    public="",
    shape=lambda mode, grad, input, *rest: ((input.size, input.dtype),),
    numpy=ctc_back,
    samples=no_samples,  # tests/nn/test_losses.py has its tests: lengths cannot be arbitrary
)
BACK = function_of(ctc_backward)

ctc_loss = structured(
    "_ctc_loss(input, target, index, mask, blank, zero_infinity)",
    public="",
    node="CtcLossBackward0",
    shape=ctc_shape,
    numpy=ctc_numpy,
    grad=dict(
        input=lambda g, input, target, index, mask, call: BACK(
            g, input, target, index, mask, call.blank, call.zero_infinity
        )
    ),
    samples=no_samples,
    may_fail=True,
)
