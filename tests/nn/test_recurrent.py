"""Recurrent networks beside PyTorch's: the same numbers, gradients and initial weights."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")

SETTINGS = [
    {},
    {"num_layers": 2, "bidirectional": True},
    {"batch_first": True, "bias": False},
    {"num_layers": 2, "dropout": 0.4},
]


def both(run):
    """What `run(torch)` gives under both, as NumPy arrays."""
    results = []
    for framework in (flambeau, torch):
        framework.manual_seed(3)
        results.append([np.asarray(r.detach().numpy()) for r in run(framework)])
    return results


def assert_same(run):
    mine, theirs = both(run)
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def flat(state):
    return list(state) if isinstance(state, tuple) else [state]


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_layers(name, settings):
    def run(torch):
        net = getattr(torch.nn, name)(3, 5, **settings)
        x = torch.randn(4, 6, 3, requires_grad=True)
        out, state = net(x)
        (out.sin().sum() + sum((s * s).sum() for s in flat(state))).backward()
        return [out, *flat(state), x.grad, *[p.grad for p in net.parameters()]]

    assert_same(run)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("directions", [1, 2])
def test_packed_sequences(name, directions):
    def run(torch):
        rnn = torch.nn.utils.rnn
        net = getattr(torch.nn, name)(3, 5, 2, bidirectional=directions == 2)
        rows = [torch.randn(n, 3) for n in (2, 5, 1, 5)]
        packed = rnn.pack_sequence(rows, enforce_sorted=False)
        packed.data.requires_grad_()
        out, state = net(packed)
        padded, lengths = rnn.pad_packed_sequence(out, batch_first=True, padding_value=-1.0)
        (padded.sum() + sum((s * s).sum() for s in flat(state))).backward()
        return [padded, lengths, *flat(state), packed.data.grad,
                *[p.grad for p in net.parameters()]]  # fmt: skip

    assert_same(run)


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells(name):
    def run(torch):
        cell, state = getattr(torch.nn, name)(3, 5), None
        for _ in range(3):
            state = cell(torch.randn(2, 3), state)
        flat(state)[0].sum().backward()
        return [*flat(state), *[p.grad for p in cell.parameters()]]

    assert_same(run)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_projections_and_states():
    def run(torch):
        net = torch.nn.LSTM(3, 5, 2, proj_size=2, bidirectional=True)
        state = torch.randn(4, 6, 2), torch.randn(4, 6, 5)
        out, (h, c) = net(torch.randn(7, 6, 3), state)
        return [out, h, c, net(torch.randn(7, 3))[0]]

    assert_same(run)


def test_second_derivatives():
    def run(torch):
        results = []
        for name in ("LSTM", "GRU"):
            net = getattr(torch.nn, name)(2, 3).double()
            x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
            (g,) = torch.autograd.grad(net(x)[0].sum(), x, create_graph=True)
            (g * g).sum().backward()
            results += [x.grad, net.weight_hh_l0.grad]
        return results

    assert_same(run)


@pytest.mark.parametrize("steps", [1, 40])
def test_training_gives_the_same_losses(steps):
    """Long enough that programs are compiled."""

    def run(torch):
        net, head = torch.nn.GRU(2, 8), torch.nn.Linear(8, 1)
        parameters = [*net.parameters(), *head.parameters()]
        optimizer = torch.optim.SGD(parameters, lr=0.05)
        losses = []
        for _ in range(steps):
            x = torch.randn(6, 4, 2)
            loss = (head(net(x)[0][-1]) - x.sum((0, 2)).unsqueeze(1)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return losses

    assert_same(run)


def test_gradients_of_many_parts_gather_in_one_tensor():
    """Of all indices, of overlapping slices, and beside a use of the whole."""

    def run(torch):
        x = torch.randn(5, 4, requires_grad=True)
        y = x * 2
        total = sum((part * n).sum() for n, part in enumerate(y.unbind(0)))
        total = total + sum(part.square().sum() for part in y.chunk(2, 1))
        total = total + y[1:4].sum() + y[::2, 1:].sin().sum() + y[2].exp().sum() + y.cos().sum()
        (first,) = torch.autograd.grad(total, x, create_graph=True)
        first.square().sum().backward()
        again = x.grad
        x.grad = None
        total = sum((part * n).sin().sum() for n, part in enumerate((x * 3).unbind(1)))
        total.backward()
        return [first, again, x.grad]

    assert_same(run)


EXPRESSIONS = """
nn.LSTM(3, 4, 2, bias=False, dropout=0.5, bidirectional=True, proj_size=1)
nn.GRU(3, 4, batch_first=True), nn.RNN(3, 4, nonlinearity='relu'), nn.RNNCell(3, 4, False, 'relu')
list(nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2).state_dict())
nn.LSTM(3, 4).all_weights[0][1].shape
nn.LSTM(3, 4)(torch.ones(5, 2, 7))
nn.LSTM(3, 4)(torch.ones(5))
nn.RNN(3, 4)(torch.ones(5))
nn.LSTM(3, 4)(torch.ones(5, 2, 3), (torch.zeros(1, 2, 5), torch.zeros(1, 2, 4)))
nn.LSTM(3, 4)(torch.ones(5, 2, 3), (torch.zeros(2, 4), torch.zeros(2, 4)))
nn.GRU(3, 4)(torch.ones(2, 3), torch.zeros(1, 2, 4))
nn.GRU(3, 4)(torch.ones(5, 2, 3), torch.zeros(1, 2, 5))
nn.GRU(3, 4)(torch.ones(5, 2, 3).double())
nn.GRU(3, 4)(torch.ones(0, 2, 3))
nn.GRU(3, 4, proj_size=2)
nn.LSTM(3, 4, proj_size=4)
nn.LSTM(3, 4, dropout=2)
nn.LSTM(3, 4, dropout=0.5)
nn.LSTM(0, 4)
nn.RNN(3, 4, nonlinearity='x')
nn.RNNCell(3, 4, nonlinearity='x')(torch.ones(2, 3))
nn.LSTMCell(3, 4)(torch.ones(2, 5))
nn.LSTMCell(3, 4)(torch.ones(2, 3), (torch.zeros(3, 4), torch.zeros(2, 4)))
nn.GRUCell(3, 4)(torch.ones(2, 3), torch.zeros(2, 5))
nn.GRUCell(3, 4)(torch.ones(1, 2, 3))
rnn.pack_padded_sequence(torch.ones(4, 3, 2), [4, 2, 1])
rnn.pack_padded_sequence(torch.arange(8).reshape(4, 2), [1, 4], enforce_sorted=False)
rnn.pack_padded_sequence(torch.ones(4, 3, 2), [1, 2, 3])
rnn.pack_padded_sequence(torch.ones(4, 3, 2), [3, 2, 0])
rnn.pack_padded_sequence(torch.ones(4, 3, 2), [3, 2])
rnn.pad_packed_sequence(rnn.pack_sequence([torch.ones(3), torch.ones(1)]), total_length=2)
rnn.pad_packed_sequence(rnn.pack_sequence([torch.ones(3), torch.ones(1)]), total_length=4)
rnn.pad_sequence([torch.ones(2), torch.ones(3)], padding_value=7, padding_side='left')
rnn.pad_sequence([torch.ones(2), torch.ones(3)], padding_side='x')
rnn.pad_sequence(3)
rnn.pad_sequence([])
rnn.unpad_sequence(torch.ones(3, 2), torch.tensor([2, 3]))
rnn.unpack_sequence(rnn.pack_sequence([torch.ones(1), torch.ones(3)], enforce_sorted=False))
rnn.PackedSequence(torch.ones(3), torch.tensor([2, 1]), torch.tensor([1, 0])).double()
rnn.PackedSequence(torch.ones(3))
""".strip().splitlines()


def shown(torch, expression):
    """What an expression gives or raises, as text."""
    names = {"torch": torch, "nn": torch.nn, "rnn": torch.nn.utils.rnn}
    try:
        return str(eval(expression, names)).split("grad_fn")[0]
    except Exception as error:
        return f"{type(error).__name__}: {error}".replace("flambeau.", "torch.")


@pytest.mark.filterwarnings("ignore:dropout option")
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_shows_what_pytorch_shows(expression):
    assert shown(flambeau, expression) == shown(torch, expression)
