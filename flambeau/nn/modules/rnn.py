"""Recurrent layers and cells."""

import math
import numbers
import warnings

from flambeau import recurrent
from flambeau.nn import init
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter

GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


class RNNBase(Module):
    """What the layers share: their weights, l0 to the last, each forwards and maybe in reverse."""

    def __init__(self, mode, input_size, hidden_size, num_layers=1, bias=True, batch_first=False,
                 dropout=0.0, bidirectional=False, proj_size=0, device=None,
                 dtype=None):  # fmt: skip
        super().__init__()
        check_types(input_size=(input_size, int), hidden_size=(hidden_size, int),
                    bias=(bias, bool), batch_first=(batch_first, bool))  # fmt: skip
        check_settings(mode, input_size, hidden_size, num_layers, dropout, proj_size)
        self.mode, self.input_size, self.hidden_size = mode, input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional = float(dropout), bidirectional
        self.proj_size = proj_size
        self._all_weights = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse")[: self.directions]:
                self.add_weights(layer, suffix, {"device": device, "dtype": dtype})
        self.reset_parameters()

    @property
    def directions(self):
        return 2 if self.bidirectional else 1

    def add_weights(self, layer, suffix, kind):
        """The parameters of one layer in one direction."""
        from flambeau import empty

        rows, out = GATES[self.mode] * self.hidden_size, self.proj_size or self.hidden_size
        inputs = out * self.directions if layer else self.input_size
        sizes = {"weight_ih": (rows, inputs), "weight_hh": (rows, out)}
        if self.bias:
            sizes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            sizes["weight_hr"] = (self.proj_size, self.hidden_size)
        names = [f"{name}_l{layer}{suffix}" for name in sizes]
        for name, size in zip(names, sizes.values()):
            setattr(self, name, Parameter(empty(size, **kind)))
        self._all_weights.append(names)

    @property
    def _flat_weights_names(self):
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self):
        return [getattr(self, name, None) for name in self._flat_weights_names]

    @property
    def all_weights(self):
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def __getstate__(self):
        """In files the parameters also stand in a row, where PyTorch looks for them."""
        names, weights = self._flat_weights_names, self._flat_weights
        return {
            **super().__getstate__(), "_flat_weights_names": names, "_flat_weights": weights,
        }  # fmt: skip

    def __setstate__(self, state):
        flat = ("_flat_weights_names", "_flat_weights")
        super().__setstate__({k: v for k, v in state.items() if k not in flat})

    def flatten_parameters(self):
        """Nothing to do: parameters are used where they lie."""

    def reset_parameters(self):
        """Draw everything uniformly from ±1 / sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    # ---------------------------------------------------------------- checks

    def check_input(self, input, batch_sizes):
        """The input's type, dims and features."""
        weight = self._flat_weights[0]
        if input.dtype is not weight.dtype:
            raise ValueError(f"RNN input dtype ({input.dtype}) does not match weight dtype "
                             f"({weight.dtype}). Convert input: input.to({weight.dtype}), or "
                             f"convert model: model.to({input.dtype})")  # fmt: skip
        expected = 2 if batch_sizes is not None else 3
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if input.size(-1) != self.input_size:
            raise RuntimeError("input.size(-1) must be equal to input_size. Expected "
                               f"{self.input_size}, got {input.size(-1)}")  # fmt: skip

    def get_expected_hidden_size(self, input, batch_sizes):
        """The size of the outputs' state."""
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.size(0 if self.batch_first else 1)
        return self.num_layers * self.directions, batch, self.proj_size or self.hidden_size

    def check_hidden_size(self, hx, expected, msg="Expected hidden size {}, got {}"):
        if hx.size() != expected:
            raise RuntimeError(msg.format(expected, list(hx.size())))

    def check_forward_args(self, input, hidden, batch_sizes):
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx, permutation):
        """The state's sequences in another order."""
        return hx if permutation is None else hx.index_select(1, permutation)

    # ---------------------------------------------------------------- forward

    def forward(self, input, hx=None):
        from flambeau.nn.utils.rnn import PackedSequence

        if isinstance(input, PackedSequence):
            return self.forward_packed(input, hx)
        self.check_dims(input)
        batched = input.dim() == 3
        batch_dim = 0 if self.batch_first else 1
        if hx is not None:
            self.check_state_dims(hx, batched)
        if not batched:
            input = input.unsqueeze(batch_dim)
            hx = None if hx is None else on_all(lambda h: h.unsqueeze(1), hx)
        hx = self.first_state(input, None) if hx is None else hx
        self.check_forward_args(input, hx, None)
        output, *last = self.function(input, hx, self._flat_weights, self.bias, self.num_layers,
                                      self.dropout, self.training, self.bidirectional,
                                      self.batch_first)  # fmt: skip
        last = tuple(last) if self.mode == "LSTM" else last[0]
        if not batched:
            output, last = output.squeeze(batch_dim), on_all(lambda h: h.squeeze(1), last)
        return output, last

    def forward_packed(self, packed, hx):
        """The same for packed sequences."""
        from flambeau.nn.utils.rnn import PackedSequence

        data, batch_sizes, order, back = packed
        if hx is None:
            hx = self.first_state(data, batch_sizes)
        else:
            hx = self.permute_hidden(hx, order)
        self.check_forward_args(data, hx, batch_sizes)
        output, *last = self.function(data, batch_sizes, hx, self._flat_weights, self.bias,
                                      self.num_layers, self.dropout, self.training,
                                      self.bidirectional)  # fmt: skip
        last = tuple(last) if self.mode == "LSTM" else last[0]
        return PackedSequence(output, batch_sizes, order, back), self.permute_hidden(last, back)

    @property
    def function(self):
        return getattr(recurrent, self.mode.lower())

    def first_state(self, input, batch_sizes):
        """Zeros."""
        return input.new_zeros(self.get_expected_hidden_size(input, batch_sizes))

    def check_dims(self, input):
        if input.dim() not in (2, 3):
            raise ValueError(f"{self._get_name()}: Expected input to be 2D or 3D, got "
                             f"{input.dim()}D instead")  # fmt: skip

    def check_state_dims(self, hx, batched):
        dims = 3 if batched else 2
        kind = "batched" if batched else "unbatched"
        if hx.dim() != dims:
            raise RuntimeError(f"For {kind} {dims}-D input, hx should also be {dims}-D but got "
                               f"{hx.dim()}-D tensor")  # fmt: skip

    def extra_repr(self):
        shown = f"{self.input_size}, {self.hidden_size}"
        usual = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False,
                 "dropout": 0, "bidirectional": False}  # fmt: skip
        for name, default in usual.items():
            if getattr(self, name) != default:
                shown += f", {name}={getattr(self, name)}"
        return shown


def check_types(**settings):
    """Settings of the right type."""
    for name, (value, kind) in settings.items():
        if not isinstance(value, kind):
            raise TypeError(
                f"{name} should be of type {kind.__name__}, got: {type(value).__name__}"
            )


def check_settings(mode, input_size, hidden_size, num_layers, dropout, proj_size):
    """Refuse settings that make no network."""
    if (not isinstance(dropout, numbers.Number) or isinstance(dropout, bool)
            or not 0 <= dropout <= 1):  # fmt: skip
        raise ValueError("dropout should be a number in range [0, 1] representing the probability "
                         "of an element being zeroed")  # fmt: skip
    if dropout > 0 and num_layers == 1:
        warnings.warn("dropout option adds dropout after all but last recurrent layer, so non-zero "
                      f"dropout expects num_layers greater than 1, but got dropout={dropout} and "
                      f"num_layers={num_layers}", stacklevel=4)  # fmt: skip
    if input_size <= 0:
        raise ValueError("input_size must be greater than zero")
    if hidden_size <= 0:
        raise ValueError("hidden_size must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")
    if mode not in GATES:
        raise ValueError("Unrecognized RNN mode: " + mode)


def on_all(change, state):
    """A state changed: one tensor, or each of several."""
    return tuple(map(change, state)) if isinstance(state, tuple) else change(state)


class RNN(RNNBase):
    """h' = tanh(W x + b + V h + c), or relu instead of tanh, over all time steps."""

    def __init__(self, *args, **kwargs):
        refuse_projection(kwargs)
        if len(args) > 3:
            self.nonlinearity = args[3]
            args = args[:3] + args[4:]
        else:
            self.nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if self.nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{self.nonlinearity}'. Select from 'tanh' or "
                             "'relu'.")  # fmt: skip
        super().__init__(f"RNN_{self.nonlinearity.upper()}", *args, **kwargs)

    def check_dims(self, input):
        if input.dim() not in (2, 3):
            raise ValueError(
                f"RNN: Expected input to be 2D or 3D, got {input.dim()}D tensor instead"
            )


class LSTM(RNNBase):
    """Long short-term memory (S. Hochreiter, J. Schmidhuber, 1997) over all time steps."""

    def __init__(self, *args, **kwargs):
        super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(self, input, batch_sizes):
        layers, batch, _ = self.get_expected_hidden_size(input, batch_sizes)
        return layers, batch, self.hidden_size

    def first_state(self, input, batch_sizes):
        return (super().first_state(input, batch_sizes),
                input.new_zeros(self.get_expected_cell_size(input, batch_sizes)))  # fmt: skip

    def check_state_dims(self, hx, batched):
        dims = 3 if batched else 2
        kind = "batched" if batched else "unbatched"
        if hx[0].dim() != dims or hx[1].dim() != dims:
            raise RuntimeError(f"For {kind} {dims}-D input, hx and cx should also be {dims}-D but "
                               f"got ({hx[0].dim()}-D, {hx[1].dim()}-D) tensors")  # fmt: skip

    def check_forward_args(self, input, hidden, batch_sizes):
        self.check_input(input, batch_sizes)
        sizes = (self.get_expected_hidden_size(input, batch_sizes),
                 self.get_expected_cell_size(input, batch_sizes))  # fmt: skip
        for number, (state, size) in enumerate(zip(hidden, sizes)):
            self.check_hidden_size(state, size, f"Expected hidden[{number}] size {{}}, got {{}}")

    def permute_hidden(self, hx, permutation):
        return on_all(lambda h: super(LSTM, self).permute_hidden(h, permutation), hx)


class GRU(RNNBase):
    """Gated recurrent units (K. Cho et al., 2014) over all time steps."""

    def __init__(self, *args, **kwargs):
        refuse_projection(kwargs)
        super().__init__("GRU", *args, **kwargs)


def refuse_projection(kwargs):
    if "proj_size" in kwargs:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


# ------------------------------------------------------------------ one step


class RNNCellBase(Module):
    """What the cells share: their weights."""

    def __init__(self, input_size, hidden_size, bias, num_chunks, device=None, dtype=None):
        from flambeau import empty

        super().__init__()
        kind = {"device": device, "dtype": dtype}
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty((rows, input_size), **kind))
        self.weight_hh = Parameter(empty((rows, hidden_size), **kind))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, **kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw everything uniformly from ±1 / sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self):
        shown = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            shown += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            shown += f", nonlinearity={self.nonlinearity}"
        return shown

    def one_step(self, function, input, hx):
        """The next state, of a batch or of one sequence; without a state, from zeros."""
        states = hx if isinstance(hx, tuple) else (hx,)
        self.check_dims("input", input)
        for state in states:
            if state is not None:
                self.check_dims("hidden" if len(states) == 1 else "hx", state)
        batched = input.dim() == 2
        if not batched:
            input = input.unsqueeze(0)
            states = [None if s is None else s.unsqueeze(0) for s in states]
        if states[0] is None:
            zeros = input.new_zeros((input.size(0), self.hidden_size))
            states = [zeros] * len(states)
        given = states[0] if len(states) == 1 else tuple(states)
        new = function(input, given, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return new if batched else on_all(lambda h: h.squeeze(0), new)

    def check_dims(self, what, tensor):
        if tensor.dim() not in (1, 2):
            raise ValueError(f"{self._get_name()}: Expected {what} to be 1D or 2D, got "
                             f"{tensor.dim()}D instead")  # fmt: skip


class RNNCell(RNNCellBase):
    """One step of RNN."""

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh", device=None,
                 dtype=None):  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        function = getattr(recurrent, f"rnn_{self.nonlinearity}_cell", None)
        if function is None:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self.one_step(function, input, hx)


class LSTMCell(RNNCellBase):
    """One step of LSTM."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        return self.one_step(recurrent.lstm_cell, input, (None, None) if hx is None else tuple(hx))


class GRUCell(RNNCellBase):
    """One step of GRU."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        return self.one_step(recurrent.gru_cell, input, hx)
