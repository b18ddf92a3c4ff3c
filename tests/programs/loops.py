"""Programs that differ in how they go on: what is looked at, drawn, kept, or written in place."""

import itertools

from benchmarks import training
from tests.programs.catalogue import STEPS, data, layers, program


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
