"""Training loops of every shape, as generators: one yield an iteration, with what was looked at.

Each is called as `loop(torch, steps)` under PyTorch and under Flambeau. test_loops.py demands that
none of them makes a new program, or compiles one, after it has warmed up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

Loop = Callable[[Any], Iterator[Any]]
LOOPS: dict[str, Loop] = {}
PERIOD: dict[str, int] = {}  # iterations after which a loop repeats itself


def loop(period: int = 1) -> Callable[[Loop], Loop]:
    """Enter a loop into the table."""

    def note(function: Loop) -> Loop:
        LOOPS[function.__name__], PERIOD[function.__name__] = function, period
        return function

    return note


def data(torch: Any, count: int = 60) -> tuple[Any, Any]:
    x = torch.randn(count, 4)
    return x, x @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]]) + 0.1 * torch.randn(count, 1)


def network(torch: Any) -> Any:
    nn = torch.nn
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


def mse(torch: Any, net: Any, x: Any, y: Any) -> Any:
    return torch.nn.functional.mse_loss(net(x), y)


@loop()
def offsets_that_move(torch):
    """Slices whose start is another number each time."""
    x, y = data(torch)
    net = network(torch)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    while True:
        for i in range(0, 60, 10):
            loss = mse(torch, net, x[i : i + 10], y[i : i + 10])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()


@loop()
def offset_that_wanders(torch):
    """One window that starts anywhere, and a result written where it came from."""
    x = torch.randn(100)
    out = torch.zeros(100)
    places = random.Random(3)
    while True:
        i, j = places.randrange(90), places.randrange(90)
        out[j : j + 10] = x[i : i + 10].tanh() + out[i : i + 10]
        yield out.sum().item()


@loop()
def metrics_over_an_epoch(torch):
    """Sums that live through an epoch and are looked at at its end."""
    x, y = data(torch)
    net = network(torch)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    while True:
        total, right, count = 0.0, torch.zeros(()), 0
        for i in range(0, 60, 20):
            prediction = net(x[i : i + 20])
            loss = torch.nn.functional.mse_loss(prediction, y[i : i + 20])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total = total + loss.detach() * 20
            right += ((prediction > 0) == (y[i : i + 20] > 0)).sum()
            count += 20
        yield (total / count).item(), right.item()


@loop(period=10)
def printed_every_tenth_step(torch):
    x, y = data(torch)
    net = network(torch)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    while True:
        for step in range(10):
            loss = mse(torch, net, x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item() if step == 9 else None


@loop()
def looked_at_between_forward_and_backward(torch):
    x, y = data(torch)
    net = network(torch)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    while True:
        loss = mse(torch, net, x, y)
        yield loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@loop()
def accumulated_gradients(torch):
    x, y = data(torch)
    net = network(torch)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    while True:
        optimizer.zero_grad()
        for i in range(0, 60, 20):
            (mse(torch, net, x[i : i + 20], y[i : i + 20]) / 3).backward()
        optimizer.step()
        yield net[0].weight.grad.norm().item()


@loop()
def gradients_that_stay(torch):
    """zero_grad(set_to_none=False): the gradients' memory stays."""
    x, y = data(torch)
    net = network(torch)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    while True:
        loss = mse(torch, net, x, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        yield loss.item()


@loop()
def falling_learning_rate(torch):
    x, y = data(torch)
    net = network(torch)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.97)
    while True:
        loss = mse(torch, net, x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        yield loss.item()


@loop()
def alternating_optimizers(torch):
    """Two networks that are trained against each other."""
    x, _ = data(torch)
    one, two = network(torch), torch.nn.Linear(1, 1)
    first = torch.optim.Adam(one.parameters(), lr=0.01)
    second = torch.optim.SGD(two.parameters(), lr=0.01)
    while True:
        first.zero_grad()
        loss = (two(one(x)) ** 2).mean() - one(x).mean()
        loss.backward()
        first.step()
        second.zero_grad()
        other = (two(one(x).detach()) - 1).abs().mean()
        other.backward()
        second.step()
        yield loss.item(), other.item()


@loop(period=3)
def evaluated_under_no_grad(torch):
    x, y = data(torch)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.25), torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    while True:
        for _ in range(3):
            net.train()
            loss = mse(torch, net, x[:40], y[:40])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()
        net.eval()
        with torch.no_grad():
            yield mse(torch, net, x[40:], y[40:]).item()


@loop()
def kept_from_the_step_before(torch):
    """A variable that survives into the next step."""
    x, y = data(torch)
    net = network(torch)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    before = torch.zeros(())
    while True:
        loss = mse(torch, net, x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield (loss - before).item()
        before = loss.detach()


@loop()
def smoothed(torch):
    """A moving average of the parameters, written in place."""
    x, y = data(torch)
    net, slow = network(torch), network(torch)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    while True:
        loss = mse(torch, net, x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for a, b in zip(slow.parameters(), net.parameters()):
                a.mul_(0.9).add_(b, alpha=0.1)
        yield slow(x).mean().item()


@loop()
def written_by_hand(torch):
    """Data by a generator, updates under no_grad, gradients zeroed in place."""
    x, y = data(torch)
    w, b = torch.zeros(4, 1, requires_grad=True), torch.zeros(1, requires_grad=True)

    def batches(size):
        order = list(range(len(x)))
        random.Random(5).shuffle(order)
        for i in range(0, len(x), size):
            index = torch.tensor(order[i : i + size])
            yield x[index], y[index]

    while True:
        for features, labels in batches(10):
            loss = ((features @ w + b - labels) ** 2 / 2).mean()
            loss.backward()
            with torch.no_grad():
                for parameter in (w, b):
                    parameter -= 0.1 * parameter.grad
                    parameter.grad.zero_()
        with torch.no_grad():
            yield ((x @ w + b - y) ** 2).mean().item()


@loop()
def data_written(torch):
    """Updates through .data, gradients set to None."""
    x, y = data(torch)
    w = torch.zeros(4, 1, requires_grad=True)
    while True:
        loss = ((x @ w - y) ** 2).mean()
        loss.backward()
        w.data -= 0.1 * w.grad.data
        w.grad = None
        yield loss.item()


@loop()
def random_noise(torch):
    """Draws in every step, of which some are thrown away."""
    x, y = data(torch)
    w = torch.zeros(4, 1, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.05)
    while True:
        torch.randn(3)
        noisy = x + 0.1 * torch.randn(60, 4)
        mask = torch.rand(60, 1) < 0.9
        loss = (((noisy @ w - y) ** 2) * mask).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


@loop()
def seeded_anew(torch):
    """manual_seed inside the loop."""
    w = torch.zeros(5)
    for step in range(1 << 30):
        torch.manual_seed(step % 7)
        w = w * 0.5 + torch.rand(5)
        yield w.sum().item()


@loop()
def a_number_that_changes(torch):
    """Python floats and ints that differ in every step."""
    x = torch.arange(10.0)
    for step in range(1 << 30):
        y = x * (step * 0.1) + step
        yield (y.clamp(min=step / 2) - 1 / (step + 1)).sum().item()


@loop()
def clipped(torch):
    """The norm of the gradients is clipped."""
    x, y = data(torch)
    net = network(torch)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    while True:
        loss = mse(torch, net, x, y)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        yield norm.item()


@loop()
def unrolled(torch):
    """A state that is carried through time, cut off between windows."""
    x = torch.randn(200)
    cell, state = torch.nn.Linear(2, 1), torch.zeros(1)
    optimizer = torch.optim.SGD(cell.parameters(), lr=0.01)
    places = random.Random(1)
    while True:
        start = places.randrange(190)
        state, loss = state.detach(), torch.zeros(())
        for t in range(start, start + 5):
            state = torch.tanh(cell(torch.stack([x[t], state[0]])))
            loss = loss + (state[0] - x[t + 1]) ** 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


@loop()
def second_derivatives(torch):
    """A penalty on the gradient."""
    x, y = data(torch)
    w = torch.full((4, 1), 0.1, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.01)
    while True:
        loss = ((x @ w - y) ** 2).mean()
        (g,) = torch.autograd.grad(loss, w, create_graph=True)
        total = loss + 0.1 * (g**2).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        yield total.item()


@loop(period=2)
def two_backward_passes(torch):
    """retain_graph, then a second loss over the same graph."""
    x, y = data(torch)
    w = torch.zeros(4, 1, requires_grad=True)
    while True:
        out = x @ w
        ((out - y) ** 2).mean().backward(retain_graph=True)
        out.abs().mean().backward()
        with torch.no_grad():
            w -= 0.05 * w.grad
        w.grad = None
        yield w.sum().item()
