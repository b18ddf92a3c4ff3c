"""Whole training programs give the same losses under Flambeau as under PyTorch from the same seed.

To add a program, write a generator function `def name(torch)` under `@program`; all the numbers
that it yields must agree. The programs of the benchmark take part at small sizes.
"""

import itertools
import random

import pytest

from benchmarks import training
from flambeau.settings import settings

STEPS = 12  # numbers compared where a program would go on for ever
RELATIVE, ABSOLUTE = 1e-4, 1e-6
CASES = {}


def program(function):
    """Make a test of a program."""
    CASES[function.__name__] = (function, {})
    return function


def small(function, **sizes):
    """Make a test of one of the benchmark's programs, at small sizes."""
    CASES["-".join([function.__name__, *map(str, sizes.values())])] = (function, sizes)


small(training.linear_by_hand, batch=10, inputs=2, batches=4)
small(training.linear_with_nn, batch=10, inputs=3, batches=4)
small(training.logistic, points=40, inputs=2)
small(training.softmax_by_hand, batch=8, inputs=12, classes=4, batches=3)
small(training.softmax_batches, batch=8, inputs=12, classes=4, batches=3)
small(training.softmax_loader, batch=8, inputs=12, classes=4, batches=3)
for optimizer, lr in {"SGD": 0.1, "Adam": 0.01, "AdamW": 0.01}.items():
    small(training.mlp, optimizer=optimizer, batch=8, inputs=12, hidden=16, classes=4, batches=3,
          lr=lr)
small(training.rnn_by_hand, steps=5, batch=4, hidden=16, vocabulary=7, stretches=3)


def data(torch, count=32, inputs=6, classes=4):
    """A little data with something to learn in it."""
    return training.classified(torch, count, inputs, classes)


def layers(torch, *widths, between):
    """Linear layers with an activation between them."""
    modules = []
    for n, m in itertools.pairwise(widths):
        modules += [torch.nn.Linear(n, m), between()]
    return torch.nn.Sequential(*modules[:-1])


@program
def polynomial_by_hand(torch):
    """Fit a sine with a cubic, gradients worked out on paper: no autograd at all."""
    x = torch.linspace(-3, 3, 200)
    y = torch.sin(x)
    a, b, c, d = (torch.randn(()) for _ in range(4))
    while True:
        error = a + b * x + c * x ** 2 + d * x ** 3 - y
        yield error.pow(2).mean().item()
        a -= 1e-2 * 2 * error.mean()
        b -= 1e-2 * (2 * error * x).mean()
        c -= 1e-3 * (2 * error * x ** 2).mean()
        d -= 1e-3 * (2 * error * x ** 3).mean()


@program
def evaluated_in_the_middle(torch):
    """Train, then evaluate without gradients, after every step; dropout is on and off in turn."""
    x, y = data(torch)
    nn = torch.nn
    net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2, momentum=0.9)
    while True:
        net.train()
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        net.eval()
        with torch.no_grad():
            scores = net(x)
        yield loss.item()
        yield (scores.argmax(1) == y).float().mean().item()
        yield nn.functional.nll_loss(torch.log_softmax(scores, 1), y).item()


@program
def last_batch_is_short(torch):
    """A loader whose last batch is smaller than the others."""
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(*data(torch, count=21)), batch_size=8, shuffle=True)
    net = layers(torch, 6, 8, 4, between=torch.nn.ReLU)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    return training.train(torch, net, lambda: loader, optimizer)


@program
def accumulated_gradients(torch):
    """Two backward passes for each step, and a gradient norm that is looked at in between."""
    x, y = data(torch)
    net = layers(torch, 6, 8, 4, between=torch.nn.Sigmoid)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5, weight_decay=0.01)
    while True:
        optimizer.zero_grad()
        for half in (slice(0, 16), slice(16, 32)):
            loss = torch.nn.functional.cross_entropy(net(x[half]), y[half]) / 2
            loss.backward()
        yield sum((p.grad ** 2).sum() for p in net.parameters()).sqrt().item()
        optimizer.step()
        yield loss.item()


@program
def falling_learning_rate(torch):
    """The learning rate is another number at every step, set through param_groups."""
    x, y = data(torch)
    net = layers(torch, 6, 4, between=torch.nn.Identity)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0, momentum=0.5, nesterov=True)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 1.0 / (1 + step)
        loss = torch.nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


@program
def two_optimizers(torch):
    """Two networks that share a loss, each with its own optimizer."""
    x, _ = data(torch)
    encoder = layers(torch, 6, 8, 2, between=torch.nn.Tanh)
    decoder = layers(torch, 2, 8, 6, between=torch.nn.Tanh)
    updates = [torch.optim.Adam(encoder.parameters(), lr=0.02),
               torch.optim.AdamW(decoder.parameters(), lr=0.01, weight_decay=0.1)]
    while True:
        loss = torch.nn.functional.mse_loss(decoder(encoder(x)), x)
        for update in updates:
            update.zero_grad()
        loss.backward()
        for update in updates:
            update.step()
        yield loss.item()


@program
def embedded_words(torch):
    """A bag of words: embeddings, their mean, a linear layer."""
    words = torch.randint(0, 20, (32, 5))
    y = (words.sum(1) % 3)
    embedding, linear = torch.nn.Embedding(20, 8), torch.nn.Linear(8, 3)
    params = [*embedding.parameters(), *linear.parameters()]
    optimizer = torch.optim.Adam(params, lr=0.05)
    while True:
        loss = torch.nn.functional.cross_entropy(linear(embedding(words).mean(1)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


@program
def factors_of_a_matrix(torch):
    """Matrix factorisation on gathered entries, updated through .data."""
    target = torch.randn(8, 3) @ torch.randn(3, 9)
    rows, columns = torch.randint(0, 8, (40,)), torch.randint(0, 9, (40,))
    u, v = (torch.randn(n, 3, requires_grad=True) for n in (8, 9))
    while True:
        error = (u[rows] * v[columns]).sum(1) - target[rows, columns]
        loss = error.pow(2).mean() + 1e-3 * (u.pow(2).sum() + v.pow(2).sum())
        loss.backward()
        for param in (u, v):
            param.data.sub_(0.1 * param.grad)
            param.grad = None
        yield loss.item()


@program
def attention_by_hand(torch):
    """Causal self-attention and layer normalisation, written out."""
    x = torch.randn(2, 7, 8)
    w_qkv, w_out = (torch.randn(8, n).mul_(0.3).requires_grad_() for n in (24, 8))
    hidden = torch.ones(7, 7).tril() == 0
    optimizer = torch.optim.AdamW([w_qkv, w_out], lr=0.02)
    while True:
        centred = x - x.mean(-1, keepdim=True)
        normal = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
        q, k, v = (part.reshape(2, 7, 2, 4).transpose(1, 2)
                   for part in (normal @ w_qkv).split(8, dim=-1))
        scores = (q @ k.transpose(-2, -1) / 2).masked_fill(hidden, float("-inf"))
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(2, 7, 8)
        loss = ((mixed @ w_out)[:, :-1] - x[:, 1:]).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


@program
def gated_recurrence(torch):
    """A gated recurrent cell written by hand, unrolled over sequences of changing length."""
    w_x, w_h = (torch.randn(n, 18).mul_(0.3).requires_grad_() for n in (3, 6))
    for steps in [4, 4, 6, 4, 6, 5, 6, 4]:
        h, x = torch.zeros(2, 6), torch.randn(steps, 2, 3)
        for inputs in x:
            r_x, z_x, n_x = (inputs @ w_x).chunk(3, dim=1)
            r_h, z_h, n_h = (h @ w_h).chunk(3, dim=1)
            reset, update = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
            h = (1 - update) * torch.tanh(n_x + reset * n_h) + update * h
        loss = (h.sum(1) - x.sum((0, 2)).tanh()).pow(2).mean()
        loss.backward()
        training.sgd(torch, [w_x, w_h], 0.1)
        yield loss.item()


@program
def gradient_penalty(torch):
    """A loss that contains a gradient: backward through backward."""
    x = torch.randn(16, 2)
    net = layers(torch, 2, 8, 1, between=torch.nn.Tanh)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    while True:
        points = x.clone().requires_grad_()
        scores = net(points)
        (slopes,) = torch.autograd.grad(scores.sum(), points, create_graph=True)
        penalty = (slopes.pow(2).sum(1).sqrt() - 1).pow(2).mean()
        loss = scores.pow(2).mean() + penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()
        yield penalty.item()


@program
def branches_on_values(torch):
    """What runs next depends on a value: where the loss went up, the step is undone and halved."""
    x, y = data(torch)
    w, rate, last = torch.zeros(6, 4, requires_grad=True), 30.0, float("inf")
    kept = w.detach().clone()
    for _ in range(STEPS):
        loss = torch.nn.functional.cross_entropy(x @ w, y)
        yield loss.item()
        if loss > last:
            rate /= 2
            with torch.no_grad():
                w.copy_(kept)
            continue
        last, kept = loss.item(), w.detach().clone()
        (grad,) = torch.autograd.grad(loss, [w])
        with torch.no_grad():
            w -= rate * grad


@program
def best_of_three_restarts(torch):
    """Parameters are saved with state_dict and loaded into a network of the same shape."""
    x, y = data(torch)
    best, best_loss = None, float("inf")
    for _ in range(3):
        net = layers(torch, 6, 5, 4, between=torch.nn.ReLU)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
        losses = training.train(torch, net, lambda: [(x, y)], optimizer)
        *_, loss = itertools.islice(losses, 4)
        yield loss
        if loss < best_loss:
            best_loss = loss
            best = {name: value.clone() for name, value in net.state_dict().items()}
    net = layers(torch, 6, 5, 4, between=torch.nn.ReLU)
    net.load_state_dict(best)
    yield torch.nn.functional.cross_entropy(net(x), y).item()


@program
def noise_every_step(torch):
    """Random numbers of several kinds drawn in every step, some of them never used."""
    x, y = data(torch)
    w = torch.zeros(6, 4, requires_grad=True)
    while True:
        order = torch.randperm(len(x))[:16]
        noisy = x[order] + 0.1 * torch.randn(16, 6)
        torch.rand(3)
        mask = (torch.rand(16, 6) > 0.2).float()
        loss = torch.nn.functional.cross_entropy((noisy * mask) @ w, y[order])
        loss.backward()
        training.sgd(torch, [w], 0.3)
        yield loss.item()


@program
def never_looked_at(torch):
    """Losses are summed as tensors, and the sum is looked at only after every third step."""
    x, y = data(torch)
    w = torch.zeros(6, 4, requires_grad=True)
    total = torch.zeros(())
    for step in range(3 * STEPS):
        loss = torch.nn.functional.cross_entropy(x @ w, y)
        loss.backward()
        training.sgd(torch, [w], 0.3)
        total += loss.detach()
        if step % 3 == 2:
            yield total.item()


@program
def weights_written_through_views(torch):
    """Columns are scaled in place, one row is frozen by writing zeros over its gradient."""
    x, y = data(torch)
    w = torch.randn(6, 4, requires_grad=True)
    while True:
        loss = torch.nn.functional.cross_entropy(x @ w, y)
        loss.backward()
        w.grad[0] = 0
        with torch.no_grad():
            w.sub_(w.grad, alpha=0.5)
            w[:, 1].mul_(0.9)
            w.t()[2:].clamp_(-1, 1)
        w.grad.zero_()
        yield loss.item()
        yield w[0].sum().item()


@program
def shared_with_numpy(torch):
    """The bias lies in a NumPy array that is read and written while training goes on."""
    x, y = data(torch)
    w, b = torch.zeros(6, 4, requires_grad=True), torch.zeros(4, requires_grad=True)
    seen = b.detach().numpy()
    while True:
        loss = torch.nn.functional.cross_entropy(x @ w + b, y)
        loss.backward()
        training.sgd(torch, [w, b], 0.3)
        seen *= 0.9
        yield float(seen.sum() + seen[0])
        yield loss.item()


@program
def a_module_of_modules(torch):
    """Submodules in a list, a buffer that is updated in forward, and weights that are shared."""
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])
            self.head = nn.Linear(6, 4)
            self.register_buffer("seen", torch.zeros(6))
            self.scale = nn.Parameter(torch.ones(6))

        def forward(self, x):
            for block in [*self.blocks, self.blocks[0]]:
                x = x + torch.relu(block(x * self.scale))
            self.seen.mul_(0.9).add_(0.1 * x.detach().mean(0))
            return self.head(x - self.seen)

    net = Net()
    x, y = data(torch)
    optimizer = torch.optim.SGD([{"params": net.blocks.parameters(), "lr": 0.01},
                                 {"params": [net.scale, *net.head.parameters()]}], lr=0.1)
    yield sum(p.numel() for p in net.parameters())
    yield from itertools.islice(training.train(torch, net, lambda: [(x, y)], optimizer), STEPS)
    yield net.state_dict()["seen"].sum().item()


def numbers(torch, name):
    """What the program yields, from fixed random numbers."""
    function, sizes = CASES[name]
    random.seed(1)
    torch.manual_seed(1)
    return list(itertools.islice(function(torch, **sizes), STEPS))


TIERS = {"compiled": {}, "call by call": {"compile": False}, "eager": {"eager": True}}


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", CASES)
def test_same_numbers(name, tier, theirs, ours):
    expected = numbers(theirs, name)
    assert len(expected) >= 4
    with settings.override(**TIERS[tier]):
        got = numbers(ours, name)
    assert got == pytest.approx(expected, rel=RELATIVE, abs=ABSOLUTE, nan_ok=True)
