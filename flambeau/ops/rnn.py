"""Composite rows: what the gates of recurrent cells do in one step, as one call each way.

LSTM: S. Hochreiter, J. Schmidhuber, 1997, with the forget gate of F. Gers et al., 2000; GRU:
K. Cho et al., 2014, in the form that needs one product a step. The gates lie beside each other, in
PyTorch's order: input, forget, cell, output; reset, update, new.
"""

from __future__ import annotations

from typing import Any

from flambeau.ir.layout import Spec
from flambeau.ops.declare import composite
from flambeau.ops.functions import function_of
from flambeau.ops.join import cat
from flambeau.ops.rules import to_float, wanted_again
from flambeau.ops.samples import Sample, no_samples
from flambeau.ops.softmax import wide
from flambeau.trace.modes import Mode

CAT: Any = function_of(cat)


def like(gates: Any, result: Any) -> Any:
    """A result in the type of the gates, unless that cannot hold it."""
    return result.to(gates.dtype) if gates.dtype.kind == "f" else result


# ------------------------------------------------------------------ LSTM


def lstm_parts(gates: Any) -> tuple[Any, ...]:
    """The four gates after their nonlinearities."""
    i, f, c, o = wide(gates).chunk(4, 1)
    return i.sigmoid(), f.sigmoid(), c.tanh(), o.sigmoid()


def lstm_expand(gates: Any, cell: Any) -> tuple[Any, Any]:
    """c' = f c + i g and h' = o tanh(c')."""
    i, f, g, o = lstm_parts(gates)
    new = f * wide(cell) + i * g
    return like(gates, o * new.tanh()), like(gates, new)


def lstm_to_cell(gh: Any, gc: Any, gates: Any, new: Any) -> tuple[Any, ...]:
    """The four gates, tanh(c'), and the gradient that reaches c' from both results."""
    i, f, g, o = lstm_parts(gates)
    t = wide(new).tanh()
    return i, f, g, o, t, wide(gh) * o * (1 - t * t) + wide(gc)


def lstm_gates_back(gh: Any, gc: Any, gates: Any, cell: Any, new: Any) -> Any:
    """The gradient of the gates before their nonlinearities."""
    i, f, g, o, t, at_cell = lstm_to_cell(gh, gc, gates, new)
    parts = [
        at_cell * g * (i * (1 - i)),
        at_cell * wide(cell) * (f * (1 - f)),
        at_cell * i * (1 - g * g),
        wide(gh) * t * (o * (1 - o)),
    ]
    return CAT([p.to(gates.dtype) for p in parts], 1)


def lstm_cell_back(gh: Any, gc: Any, gates: Any, new: Any) -> Any:
    """The gradient of the cell state."""
    _, f, _, _, _, at_cell = lstm_to_cell(gh, gc, gates, new)
    return (at_cell * f).to(gates.dtype)


lstm_gates_backward = composite(
    "_lstm_gates_backward(input, other, mat, vec, vec2)",
    public="",
    shape=lambda mode, gh, gc, gates, cell, new: ((gates.size, gates.dtype),),
    expand=lstm_gates_back,
    samples=no_samples,
)

lstm_cell_backward = composite(
    "_lstm_cell_backward(input, other, mat, vec)",
    public="",
    shape=lambda mode, gh, gc, gates, new: ((new.size, new.dtype),),
    expand=lstm_cell_back,
    samples=no_samples,
)
GATES_BACK, CELL_BACK = function_of(lstm_gates_backward), function_of(lstm_cell_backward)


def lstm_input_grad(g: Any, input: Any, other: Any, out1: Any) -> Any:
    """As one call, unless it has to be differentiated again."""
    arguments = (*g, input, other, out1)
    back: Any = lstm_gates_back if wanted_again(*arguments) else GATES_BACK
    return back(*arguments)


def lstm_other_grad(g: Any, input: Any, out1: Any) -> Any:
    arguments = (*g, input, out1)
    back: Any = lstm_cell_back if wanted_again(*arguments) else CELL_BACK
    return back(*arguments)


def lstm_shape(mode: Mode, gates: Spec, cell: Spec) -> Any:
    dtype = to_float(mode, gates)[1]
    return (cell.size, dtype), (cell.size, dtype)


lstm_gates = composite(
    "_lstm_gates(input, other)",
    public="",
    node="MulBackward0",
    shape=lstm_shape,
    expand=lstm_expand,
    grad=dict(input=lstm_input_grad, other=lstm_other_grad),
    samples=lambda new: (Sample(new(b, 4 * h), new(b, h)) for b, h in ((2, 3), (17, 20), (0, 2))),
)

# ------------------------------------------------------------------ GRU


def gru_parts(x: Any, h: Any) -> tuple[Any, ...]:
    """The reset and update gates, the new state, and what the reset gate lets through."""
    (xr, xz, xn), (hr, hz, hn) = wide(x).chunk(3, 1), wide(h).chunk(3, 1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return r, z, (xn + r * hn).tanh(), hn


def gru_expand(x: Any, h: Any, state: Any) -> Any:
    """h' = n + z (h - n)."""
    _, z, n, _ = gru_parts(x, h)
    return like(x, n + z * (wide(state) - n))


def gru_slopes(g: Any, x: Any, h: Any, state: Any) -> tuple[Any, ...]:
    """The gradients of the three sums before the nonlinearities, and the reset gate."""
    r, z, n, hn = gru_parts(x, h)
    g = wide(g)
    new = g * (1 - z) * (1 - n * n)
    update = g * (wide(state) - n) * (z * (1 - z))
    return new * hn * (r * (1 - r)), update, new, r


def gru_x_back(g: Any, x: Any, h: Any, state: Any) -> Any:
    """The gradient of the input's part."""
    reset, update, new, _ = gru_slopes(g, x, h, state)
    return CAT([p.to(x.dtype) for p in (reset, update, new)], 1)


def gru_h_back(g: Any, x: Any, h: Any, state: Any) -> Any:
    """The gradient of the state's part."""
    reset, update, new, r = gru_slopes(g, x, h, state)
    return CAT([p.to(x.dtype) for p in (reset, update, new * r)], 1)


def gru_state_back(g: Any, x: Any, h: Any) -> Any:
    """The gradient of the state that is carried on."""
    _, z, _, _ = gru_parts(x, h)
    return (wide(g) * z).to(x.dtype)


gru_x_backward = composite(
    "_gru_x_backward(input, other, mat, vec)",
    public="",
    shape=lambda mode, g, x, h, state: ((x.size, x.dtype),),
    expand=gru_x_back,
    samples=no_samples,
)

gru_h_backward = composite(
    "_gru_h_backward(input, other, mat, vec)",
    public="",
    shape=lambda mode, g, x, h, state: ((h.size, h.dtype),),
    expand=gru_h_back,
    samples=no_samples,
)

gru_state_backward = composite(
    "_gru_state_backward(input, other, mat)",
    public="",
    shape=lambda mode, g, x, h: ((g.size, g.dtype),),
    expand=gru_state_back,
    samples=no_samples,
)
X_BACK, H_BACK = function_of(gru_x_backward), function_of(gru_h_backward)
STATE_BACK = function_of(gru_state_backward)


def gru_input_grad(g: Any, input: Any, other: Any, mat: Any) -> Any:
    again = wanted_again(g, input, other, mat)
    return (gru_x_back if again else X_BACK)(g, input, other, mat)


def gru_other_grad(g: Any, input: Any, other: Any, mat: Any) -> Any:
    again = wanted_again(g, input, other, mat)
    return (gru_h_back if again else H_BACK)(g, input, other, mat)


def gru_mat_grad(g: Any, input: Any, other: Any) -> Any:
    again = wanted_again(g, input, other)
    return (gru_state_back if again else STATE_BACK)(g, input, other)


gru_gates = composite(
    "_gru_gates(input, other, mat)",
    public="",
    node="AddBackward0",
    shape=lambda mode, x, h, state: ((state.size, to_float(mode, x)[1]),),
    expand=gru_expand,
    grad=dict(input=gru_input_grad, other=gru_other_grad, mat=gru_mat_grad),
    samples=lambda new: (
        Sample(new(b, 3 * h), new(b, 3 * h), new(b, h)) for b, h in ((2, 3), (17, 20), (0, 2))
    ),
)

# ------------------------------------------------------------------ packed sequences

pack_padded = composite(
    "_pack_padded(input, index)",
    public="",
    node="PackPaddedSequenceBackward0",
    shape=lambda mode, input, index: (((index.numel, *input.size[1:]), input.dtype),),
    expand=lambda input, index: input.index_select(0, index),
    grad=dict(input=lambda g, index, call: g.new_zeros(call.input.size).index_add(0, index, g)),
    samples=lambda new: (Sample(new(6, *rest), new.index(4, high=6)) for rest in ((), (3,))),
    may_fail=True,
)
