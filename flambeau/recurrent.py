"""Recurrent networks as functions: torch.lstm, torch.gru, torch.rnn_tanh, and one step of each.

One product makes the gates' input for all time steps; then each step is one product with the state
and one call for the gates (ops/rnn.py). The modules of torch.nn call these functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.products import linear
from flambeau.tensor import FUNCTIONS as row
from flambeau.tensor import Tensor

State = tuple[Any, ...]  # (h,), or (h, c)


class Weights:
    """What one layer has in one direction; `biases` are two vectors, or None."""

    def __init__(self, given: Sequence[Any], biased: bool, gates: int) -> None:
        self.input, hidden = given[0], given[1]
        self.biases = (given[2], given[3]) if biased else None
        rest = given[4:] if biased else given[2:]
        self.projection = rest[0].t() if rest else None
        self.hidden = hidden.t()
        self.separate = gates == 3  # a GRU's reset gate acts on the state's part and its bias

    def from_input(self, x: Any) -> Any:
        """What the input adds to the gates, both biases included where they may be."""
        if self.biases is None:
            return linear(x, self.input)
        first, second = self.biases
        return linear(x, self.input, first if self.separate else first + second)

    def from_state(self, x: Any, h: Any) -> Any:
        """The gates: the input's part plus the state's."""
        return row["addmm"](x, h, self.hidden)


def lstm_step(x: Any, state: State, weights: Weights) -> State:
    h, c = row["_lstm_gates"](weights.from_state(x, state[0]), state[1])
    return (h if weights.projection is None else h.mm(weights.projection)), c


def gru_step(x: Any, state: State, weights: Weights) -> State:
    (h,) = state
    if weights.biases is None:
        own = h.mm(weights.hidden)
    else:
        own = weights.from_state(weights.biases[1], h)
    return (row["_gru_gates"](x, own, h),)


def tanh_step(x: Any, state: State, weights: Weights) -> State:
    return (weights.from_state(x, state[0]).tanh(),)


def relu_step(x: Any, state: State, weights: Weights) -> State:
    return (weights.from_state(x, state[0]).relu(),)


# ------------------------------------------------------------------ over time


def over_time(step: Callable[..., State], x: Any, state: State, weights: Weights,
              reverse: bool) -> tuple[Any, State]:  # fmt: skip
    """All outputs of one direction of a layer, and its last state; x is (time, batch, features)."""
    times = weights.from_input(x).unbind(0)
    outputs = []
    for now in reversed(times) if reverse else times:
        state = step(now, state, weights)
        outputs.append(state[0])
    return row["stack"](outputs[::-1] if reverse else outputs), state


def over_packed(step: Callable[..., State], x: Any, sizes: list[int], state: State,
                weights: Weights, reverse: bool) -> tuple[Any, State]:  # fmt: skip
    """The same for packed sequences, of which `sizes[t]` are at least t + 1 long."""
    times = weights.from_input(x).split(sizes)
    outputs, first, done = [], state, []
    state = tuple(s[: sizes[-1]] for s in first) if reverse else state
    for now in reversed(times) if reverse else times:
        before, size = state[0].shape[0], now.shape[0]
        if size > before:  # backwards: longer sequences join, with their first state
            state = tuple(row["cat"]([s, f[before:size]]) for s, f in zip(state, first))
        elif size < before:  # forwards: shorter ones are done
            done.append(tuple(s[size:] for s in state))
            state = tuple(s[:size] for s in state)
        state = step(now, state, weights)
        outputs.append(state[0])
    done.append(state)
    last = tuple(row["cat"](parts[::-1]) if len(parts) > 1 else parts[0] for parts in zip(*done))
    return row["cat"](outputs[::-1] if reverse else outputs), last


class Network:
    """The arguments that all recurrent networks share."""

    def __init__(self, step: Callable[..., State], gates: int, params: Sequence[Any],
                 has_biases: bool, num_layers: int, dropout: float, train: bool,
                 bidirectional: bool) -> None:  # fmt: skip
        self.step, self.layers, self.directions = step, num_layers, 2 if bidirectional else 1
        self.dropout = dropout if train else 0.0
        many = len(params) // (num_layers * self.directions)
        groups = [params[i : i + many] for i in range(0, len(params), many)]
        self.weights = [Weights(group, has_biases, gates) for group in groups]

    def run(self, x: Any, sizes: list[int] | None, states: State) -> tuple[Any, State]:
        """Every layer on the outputs of the one before it; the last states, stacked."""
        from flambeau.nn.functional import dropout

        if not x.shape[0]:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        firsts = list(zip(*(s.unbind(0) for s in states)))
        lasts = []
        for layer in range(self.layers):
            if layer and self.dropout:
                x = dropout(x, self.dropout, True)
            outputs = []
            for direction in range(self.directions):
                number = layer * self.directions + direction
                out, last = self.run_one(x, sizes, firsts[number], number, direction == 1)
                outputs.append(out)
                lasts.append(last)
            x = outputs[0] if len(outputs) == 1 else row["cat"](outputs, outputs[0].ndim - 1)
        return x, tuple(row["stack"](list(parts)) for parts in zip(*lasts))

    def run_one(self, x: Any, sizes: list[int] | None, first: State, number: int,
                reverse: bool) -> tuple[Any, State]:  # fmt: skip
        if sizes is None:
            return over_time(self.step, x, first, self.weights[number], reverse)
        return over_packed(self.step, x, sizes, first, self.weights[number], reverse)


def network(name: str, step: Callable[..., State], gates: int) -> Any:
    """torch.name(input, hx, params, …, batch_first), or (data, batch_sizes, hx, params, …)."""

    def function(input: Any, hx: Any, *rest: Any, **named: Any) -> Any:
        second = rest[0] if rest else named.get("params", named.get("hx"))
        packed = "batch_sizes" in named or isinstance(hx, Tensor) and (
            isinstance(second, Tensor) or gates == 4)  # fmt: skip
        return (of_packed if packed else of_padded)(input, hx, *rest, **named)

    def of_padded(
        input: Any,
        hx: Any,
        params: Any,
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> Any:
        net = Network(step, gates, params, has_biases, num_layers, dropout, train, bidirectional)
        x = input.transpose(0, 1) if batch_first else input
        out, last = net.run(x, None, (hx,) if isinstance(hx, Tensor) else tuple(hx))
        return (out.transpose(0, 1) if batch_first else out, *last)

    def of_packed(
        data: Any,
        batch_sizes: Any,
        hx: Any,
        params: Any,
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
    ) -> Any:
        net = Network(step, gates, params, has_biases, num_layers, dropout, train, bidirectional)
        state = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        out, last = net.run(data, batch_sizes.tolist(), state)
        return (out, *last)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"All time steps of an {name} network; its outputs and its last state."
    return function


lstm, gru = network("lstm", lstm_step, 4), network("gru", gru_step, 3)
rnn_tanh, rnn_relu = network("rnn_tanh", tanh_step, 1), network("rnn_relu", relu_step, 1)


# ------------------------------------------------------------------ one step


def check_cell(input: Any, h: Any, w_ih: Any, number: int = 0) -> None:
    """Sizes that fit, in PyTorch's words."""
    if input.shape[1] != w_ih.shape[1]:
        raise RuntimeError(f"input has inconsistent input_size: got {input.shape[1]} expected "
                           f"{w_ih.shape[1]}")  # fmt: skip
    if input.shape[0] != h.shape[0]:
        raise RuntimeError(f"Input batch size {input.shape[0]} doesn't match hidden{number} batch "
                           f"size {h.shape[0]}")  # fmt: skip


def check_state(h: Any, w_hh: Any, number: int = 0) -> None:
    if h.shape[1] != w_hh.shape[1]:
        raise RuntimeError(f"hidden{number} has inconsistent hidden_size: got {h.shape[1]}, "
                           f"expected {w_hh.shape[1]}")  # fmt: skip


def cell(name: str, step: Callable[..., State], gates: int) -> Any:
    """torch.name(input, hx, w_ih, w_hh, b_ih=None, b_hh=None)."""

    def function(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None,
                 b_hh: Any = None) -> Any:  # fmt: skip
        states = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        for number, h in enumerate(states):
            check_cell(input, h, w_ih, number)
            check_state(h, w_hh, number)
        biased = b_ih is not None
        weights = Weights((w_ih, w_hh, b_ih, b_hh) if biased else (w_ih, w_hh), biased, gates)
        result = step(weights.from_input(input), states, weights)
        return result if gates == 4 else result[0]

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"One step of an {name.removesuffix('_cell')} network: the next state."
    return function


lstm_cell, gru_cell = cell("lstm_cell", lstm_step, 4), cell("gru_cell", gru_step, 3)
rnn_tanh_cell = cell("rnn_tanh_cell", tanh_step, 1)
rnn_relu_cell = cell("rnn_relu_cell", relu_step, 1)

PUBLIC = "lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell".split()
